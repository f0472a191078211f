import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Address } from './conversation.js';
import { UpMisconfigured, UpRefused } from './refusal.js';

const POLL_MS = 100;

export interface WantedPort extends Address {
  service: string;
  /** Which sets the port. */
  variable: string;
  /** Which sets the host, where one does. */
  hostVariable?: string;
}

/** What is wrong is the host: no such name, not of this machine, or of a kind that it does not speak. */
const WRONG_HOST = ['ENOTFOUND', 'EAI_AGAIN', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'];

/**
 * Sees that every port can be had, before anything is started.
 * @param patienceMs how long to wait for ports that what was left of a killed run is about to give up
 * @throws UpRefused naming every taken port with its variable; UpMisconfigured where no waiting and no freeing would help
 */
export async function refuseTakenPorts(wanted: readonly WantedPort[], patienceMs: number): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const wrong = new Set(doubles(wanted));
    const problems: string[] = [];
    for (const port of wanted) {
      const error = await tryToListen(port);
      if (!error) continue;
      if (port.hostVariable !== undefined && WRONG_HOST.includes(error.code ?? '')) {
        wrong.add(wrongHost(port.hostVariable, port.host, error));
      } else {
        problems.push(`port ${port.port} of ${port.service} ${whyNot(port, error)}; ${way(port)}`);
      }
    }
    const all = [...wrong, ...problems].join('\n');
    if (wrong.size > 0) throw new UpMisconfigured(all);
    if (problems.length === 0) return;
    if (Date.now() >= deadline) throw new UpRefused(all);
    await pause(POLL_MS);
  }
}

function wrongHost(variable: string, host: string, { code }: NodeJS.ErrnoException): string {
  return `${variable} is "${host}", which cannot be bound (${code}); right would be an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them`;
}

function way({ service, variable }: WantedPort): string {
  const instead = {
    redis: ' (or REDIS_URL to the Redis that it is)',
    eventstore: ' (or EVENTSTORE_URL to that store)',
  };
  return `free it, or set ${variable} to another port${instead[service as keyof typeof instead] ?? ''}`;
}

function* doubles(wanted: readonly WantedPort[]): Generator<string> {
  for (const [index, port] of wanted.entries()) {
    const first = wanted.slice(0, index).find((other) => other.port === port.port && port.port !== 0);
    if (first) yield `${first.variable} and ${port.variable} are both ${port.port}; each needs a port of its own`;
  }
}

function whyNot({ host }: Address, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return 'is taken by another process';
  if (code === 'EACCES') return 'may not be opened by this user';
  return `cannot be opened on ${host} (${message})`;
}

async function tryToListen({ host, port }: Address): Promise<NodeJS.ErrnoException | undefined> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  server.close();
  await once(server, 'close');
  return undefined;
}
