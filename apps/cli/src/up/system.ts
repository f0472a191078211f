import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SETTINGS } from '@keyledger/platform';
import type { Terminal } from '../print.js';
import type { Address } from './conversation.js';
import { takeDataFolder, type DataFolder } from './data-folder.js';
import { refuseDeadAddress } from './external.js';
import { checkHealth } from './health.js';
import { LogFile } from './logs.js';
import { OwnKeys } from './own-keys.js';
import { Patience } from './patience.js';
import { APPS, planFrom, portsOf, reachable, type AppName, type Plan, type ServiceName } from './plan.js';
import { refuseTakenPorts } from './ports.js';
import { checkRedis, findRedisServer, shutDownOrphan, spawnRedis } from './redis-server.js';
import { Service, type ServiceOptions } from './service.js';
import { Watchdog } from './watchdog.js';

/** How long a killed run's processes, which stop by themselves, may still hold their ports. */
const ABANDONED_PORTS_MS = 15_000;
const STAGE: Record<ServiceName, number> = { api: 0, verifier: 0, worker: 0, eventstore: 1, redis: 2 };
/**
 * V8 keeps what is young in two halves of 16 MiB each by itself. A process of ours is no slower with 8 MiB, and stays that
 * much smaller. Can be said only when it starts; docker/Dockerfile says it, too.
 */
const YOUNG_MEMORY = '--max-semi-space-size=8';
const APPS_FOLDER = join(fileURLToPath(import.meta.url), '../../../..');

/**
 * Runs the system until `stop` is aborted, and leaves nothing of it running, whether it came up or not.
 * @throws UpRefused when it cannot be started
 */
export async function runSystem(
  terminal: Terminal,
  stop: AbortSignal,
  options: { only?: readonly ServiceName[]; env: NodeJS.ProcessEnv },
): Promise<void> {
  const plan = planFrom(options.env, options.only);
  const folder = takeDataFolder(plan.dataDir);
  try {
    await new System(terminal, plan, folder, options.env).run(stop);
  } finally {
    folder.release();
  }
}

class System {
  private readonly watchdog = new Watchdog();
  private readonly patience = new Patience();
  private readonly services: Service[] = [];
  private readonly logs: LogFile[] = [];
  /** Ports that the system gave to apps that asked for a free one. */
  private readonly ports = new Map<AppName, number>();
  private readonly keys: OwnKeys;

  constructor(
    private readonly terminal: Terminal,
    private readonly plan: Plan,
    private readonly folder: DataFolder,
    private readonly env: NodeJS.ProcessEnv,
  ) {
    this.keys = new OwnKeys(env, folder.path);
  }

  async run(stop: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      if (stop.aborted) resolve();
      stop.addEventListener('abort', () => resolve(), { once: true });
    });
    const started = this.start(stop);
    try {
      await Promise.race([started, stopped]);
      if (!stop.aborted) this.announce();
      await stopped;
    } finally {
      await this.stop(started);
    }
  }

  private async start(stop: AbortSignal): Promise<void> {
    const { plan } = this;
    for (const warning of plan.warnings) this.say(warning);
    // Before anything is started: an app would blame the variable by which it is told the key.
    if (plan.services.has('api') || plan.services.has('worker')) this.keys.sealing();
    if (plan.services.has('worker')) this.keys.signing();
    const redisServer = plan.services.has('redis') ? findRedisServer() : '';
    const redisFolder = join(this.folder.path, 'redis');
    if (plan.services.has('redis')) await shutDownOrphan(plan.addresses.redis, redisFolder);
    await refuseTakenPorts(portsOf(plan), this.folder.wasAbandoned ? ABANDONED_PORTS_MS : 0);
    const { redisUrl, eventStoreUrl } = plan.external;
    if (redisUrl !== undefined) await refuseDeadAddress('REDIS_URL', redisUrl);
    if (eventStoreUrl !== undefined) await refuseDeadAddress('EVENTSTORE_URL', eventStoreUrl);

    this.say(`starting ${[...plan.services].join(', ')}; data and logs are in ${this.folder.path}`);
    const redis = {
      spawn: () => spawnRedis(redisServer, plan.addresses.redis, redisFolder),
      checkReady: () => checkRedis(plan.addresses.redis),
    };
    const groups: [ServiceName, Omit<ServiceOptions, 'name' | 'stage'>][][] = [
      [['redis', redis]],
      [['eventstore', this.eventStore()]],
      APPS.map((name) => [name, this.app(name)]),
    ];
    for (const group of groups) {
      if (stop.aborted) return;
      const wanted = group.filter(([name]) => plan.services.has(name));
      await Promise.all(wanted.map(([name, rest]) => this.service(name, rest).start()));
    }
  }

  private service(name: ServiceName, rest: Omit<ServiceOptions, 'name' | 'stage'>): Service {
    const log = new LogFile(join(this.folder.path, 'logs'), name);
    const say = (line: string) => this.say(line);
    const { watchdog, patience } = this;
    const service = new Service({ name, stage: STAGE[name], ...rest }, { log, watchdog, patience, say });
    this.logs.push(log);
    this.services.push(service);
    return service;
  }

  private eventStore(): Omit<ServiceOptions, 'name' | 'stage'> {
    let listens = false;
    return {
      spawn: () => {
        listens = false;
        return this.fork('eventstore', { [SETTINGS.peppers.name]: undefined });
      },
      onMessage: (message) => {
        if (message.type === 'listening') listens = true;
      },
      checkReady: async () => {
        if (!listens) throw new Error('it does not listen yet');
      },
    };
  }

  private app(name: AppName): Omit<ServiceOptions, 'name' | 'stage'> {
    const { name: portVariable } = {
      api: SETTINGS.apiPort,
      verifier: SETTINGS.verifierPort,
      worker: SETTINGS.workerPort,
    }[name];
    return {
      spawn: () =>
        this.fork(name, {
          [SETTINGS.redisUrl.name]: this.plan.redisUrl,
          [SETTINGS.eventStoreUrl.name]: this.plan.eventStoreUrl,
          [portVariable]: String(this.addressOf(name).port),
          ...(name === 'worker' && { [SETTINGS.allowedTargets.name]: this.plan.allowedTargets }),
          ...(name === 'api' && { [SETTINGS.adminKey.name]: this.env[SETTINGS.adminKey.name] }),
          ...(name !== 'verifier' && { [SETTINGS.sealingKeys.name]: this.keys.sealing() }),
          // The worker alone signs the audit log, and knows where else its checkpoints go.
          ...(name === 'worker' && {
            [SETTINGS.signingKey.name]: this.keys.signing(),
            [SETTINGS.auditPublish.name]: this.env[SETTINGS.auditPublish.name],
          }),
        }),
      onMessage: (message) => {
        if (message.type === 'listening') this.ports.set(name, message.port);
        if (message.type === 'admin-key') this.showAdminKey(message.key);
      },
      checkReady: async () => {
        const address = this.addressOf(name);
        if (address.port === 0) throw new Error('it does not listen yet');
        await checkHealth(reachable(address));
      },
    };
  }

  /** Each process is told the secrets that it needs: none the key of the command line, the api alone the admin key. */
  private fork(name: AppName | 'eventstore', own: NodeJS.ProcessEnv): ChildProcess {
    const env: NodeJS.ProcessEnv = {
      // glibc otherwise keeps a heap for each thread, and what is free in one of them is of no use to the others.
      MALLOC_ARENA_MAX: '2',
      ...this.env,
      NODE_ENV: 'production',
      [SETTINGS.dataDir.name]: this.folder.path,
      [SETTINGS.adminKey.name]: undefined,
      [SETTINGS.sealingKeys.name]: undefined,
      [SETTINGS.signingKey.name]: undefined,
      [SETTINGS.auditPublish.name]: undefined,
      [SETTINGS.cliKey.name]: undefined,
      ...own,
    };
    const module = join(APPS_FOLDER, name, 'src/main.js');
    return fork(module, [], {
      env,
      execArgv: [YOUNG_MEMORY],
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
  }

  private async stop(started: Promise<void>): Promise<void> {
    const byStage = [0, 1, 2].map((stage) => this.services.filter(({ name }) => STAGE[name as ServiceName] === stage));
    if (this.services.length > 0) this.say('stopping');
    for (const services of byStage) await Promise.all(services.map((service) => service.stop()));
    // A start that was interrupted ends with its services; why it failed is known, or of no interest any more.
    await started.catch(() => undefined);
    await this.watchdog.end();
    for (const log of this.logs) log.close();
  }

  private addressOf(name: AppName): Address {
    const { host, port } = this.plan.addresses[name];
    return { host, port: port === 0 ? (this.ports.get(name) ?? 0) : port };
  }

  private announce(): void {
    const { services } = this.plan;
    const { redisUrl, eventStoreUrl } = this.plan;
    const url = (name: AppName) => {
      const { host, port } = reachable(this.addressOf(name));
      return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
    };
    const apps = APPS.filter((name) => services.has(name)).map((name) => `${name} ${url(name)}`);
    const docs = services.has('api') ? [`docs ${url('api')}/docs`] : [];
    const infrastructure = [`redis ${redisUrl}`, `eventstore ${eventStoreUrl}`];
    const parts = apps.length > 0 ? [...apps, ...docs] : infrastructure.filter((part) => isOwn(part, services));
    this.terminal.stdout.write(`keyledger is up: ${parts.join(', ')}\n`);
  }

  private showAdminKey(key: string): void {
    const lines = [
      'This is the first management key. It may do everything, and is shown only this once: keep it in a safe place.',
      `  export ${SETTINGS.cliKey.name}=${key}`,
    ];
    this.terminal.stdout.put(`\n${lines.join('\n\n')}\n\n`).catch((error: Error) => {
      const wayOut = 'nothing keeps it: stop, and start again on an empty data folder';
      this.say(`the first management key could not be shown (${error.message}), and ${wayOut}`);
    });
  }

  private say(line: string): void {
    this.terminal.stderr.write(`keyledger: ${line}\n`);
  }
}

function isOwn(part: string, services: ReadonlySet<ServiceName>): boolean {
  return services.has(part.split(' ')[0] as ServiceName);
}
