import { resolve } from 'node:path';
import { ConfigError, loadConfig, NotUsable, SETTINGS, unknownVariables, type Config } from '@keyledger/platform';
import type { Address } from './conversation.js';
import { UpMisconfigured } from './refusal.js';
import type { WantedPort } from './ports.js';

/** In the order in which they are started. */
export const SERVICES = ['redis', 'eventstore', 'api', 'verifier', 'worker'] as const;
export type ServiceName = (typeof SERVICES)[number];
export const APPS = ['api', 'verifier', 'worker'] as const satisfies readonly ServiceName[];
export type AppName = (typeof APPS)[number];

const LOOPBACK = '127.0.0.1';
/** A system that only this machine can reach may also talk to it: so that one can try webhooks without more. */
const LOOPBACK_TARGETS = '127.0.0.0/8,::1';
const NEEDS: Record<AppName, readonly ('redisUrl' | 'eventStoreUrl')[]> = {
  api: ['redisUrl', 'eventStoreUrl'],
  verifier: ['redisUrl'],
  worker: ['redisUrl', 'eventStoreUrl'],
};

// What an app must be told, `up` can find out by itself; ports that others have to know beforehand cannot be any.
const UP_SETTINGS = {
  ...SETTINGS,
  redisUrl: { ...SETTINGS.redisUrl, optional: true },
  eventStoreUrl: { ...SETTINGS.eventStoreUrl, optional: true },
  redisPort: { ...SETTINGS.redisPort, parse: fixedPort(SETTINGS.redisPort.parse) },
  eventStorePort: { ...SETTINGS.eventStorePort, parse: fixedPort(SETTINGS.eventStorePort.parse) },
};

/** What is to run, where, and what somebody else runs. */
export interface Plan {
  services: ReadonlySet<ServiceName>;
  dataDir: string;
  /** Where each binds; a port of 0 is a free one. */
  addresses: Record<ServiceName, Address>;
  redisUrl: string;
  eventStoreUrl: string;
  /** Where the worker may send messages besides public addresses. */
  allowedTargets: string;
  /** Set by the operator: to be there already. */
  external: { redisUrl?: string; eventStoreUrl?: string };
  warnings: string[];
}

/**
 * @param only the services to start; everything that is not given by REDIS_URL or EVENTSTORE_URL if left out
 * @throws UpMisconfigured naming every variable that cannot be used
 */
export function planFrom(env: NodeJS.ProcessEnv, only?: readonly ServiceName[]): Plan {
  const config = configFrom(env);
  const external = {
    ...(config.redisUrl !== undefined && { redisUrl: config.redisUrl }),
    ...(config.eventStoreUrl !== undefined && { eventStoreUrl: config.eventStoreUrl }),
  };
  const given: ServiceName[] = [
    ...(external.redisUrl === undefined ? [] : ['redis' as const]),
    ...(external.eventStoreUrl === undefined ? [] : ['eventstore' as const]),
  ];
  const services = new Set((only ?? SERVICES).filter((name) => !given.includes(name)));
  refuseUnmetNeeds(services, external);
  return {
    services,
    dataDir: resolve(config.dataDir),
    addresses: {
      redis: { host: LOOPBACK, port: config.redisPort },
      eventstore: { host: LOOPBACK, port: config.eventStorePort },
      api: { host: config.host, port: config.apiPort },
      verifier: { host: config.host, port: config.verifierPort },
      worker: { host: config.host, port: config.workerPort },
    },
    redisUrl: external.redisUrl ?? `redis://${LOOPBACK}:${config.redisPort}`,
    eventStoreUrl: external.eventStoreUrl ?? `kurrentdb://${LOOPBACK}:${config.eventStorePort}?tls=false`,
    allowedTargets: config.allowedTargets.join(',') || (isLoopback(config.host) ? LOOPBACK_TARGETS : ''),
    external,
    warnings: unknownVariables(UP_SETTINGS, env).map((name) => `nothing reads ${name}; is it misspelt?`),
  };
}

/** The ports of what is to be started, with what to change where one is taken. */
export function portsOf({ services, addresses }: Plan): WantedPort[] {
  const settings = { redis: 'redisPort', eventstore: 'eventStorePort' } as const;
  const apps = { api: 'apiPort', verifier: 'verifierPort', worker: 'workerPort' } as const;
  const variables = { ...settings, ...apps };
  return [...services].map((service) => ({
    service,
    variable: SETTINGS[variables[service]].name,
    ...(service in apps && { hostVariable: SETTINGS.host.name }),
    ...addresses[service],
  }));
}

/** Where a client on this machine finds what binds `address`. */
export function reachable({ host, port }: Address): Address {
  const anywhere = host === '0.0.0.0' || host === '::';
  return { host: anywhere ? LOOPBACK : host, port };
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

function configFrom(env: NodeJS.ProcessEnv): Config<typeof UP_SETTINGS> {
  try {
    return loadConfig(UP_SETTINGS, env);
  } catch (error) {
    if (error instanceof ConfigError) throw new UpMisconfigured(error.message);
    throw error;
  }
}

function refuseUnmetNeeds(services: ReadonlySet<ServiceName>, external: Plan['external']): void {
  const own = { redisUrl: 'redis', eventStoreUrl: 'eventstore' } as const;
  const unmet = APPS.filter((app) => services.has(app)).flatMap((app) =>
    NEEDS[app]
      .filter((need) => external[need] === undefined && !services.has(own[need]))
      .map((need) => `${app} needs ${own[need]}: add it to --only, or set ${SETTINGS[need].name}`),
  );
  if (unmet.length > 0) throw new UpMisconfigured(unmet.join('\n'));
}

function fixedPort(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    const port = parse(text);
    if (port === 0) throw new NotUsable('is any port', 'a number from 1 to 65535, because the apps must know it');
    return port;
  };
}
