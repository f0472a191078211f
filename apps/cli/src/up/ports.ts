import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Address } from './conversation.js';
import { UpRefused } from './refusal.js';

const POLL_MS = 100;

export interface WantedPort extends Address {
  service: string;
  variable: string;
}

/**
 * Sees that every port can be had, before anything is started.
 * @param patienceMs how long to wait for ports that what was left of a killed run is about to give up
 * @throws UpRefused naming every taken port with its variable
 */
export async function refuseTakenPorts(wanted: readonly WantedPort[], patienceMs: number): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const problems = [...doubles(wanted)];
    for (const port of wanted) {
      const problem = await whyNot(port);
      if (problem !== undefined) problems.push(`port ${port.port} of ${port.service} ${problem}; ${way(port)}`);
    }
    if (problems.length === 0) return;
    if (Date.now() >= deadline) throw new UpRefused(problems.join('\n'));
    await pause(POLL_MS);
  }
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

async function whyNot({ host, port }: Address): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') return 'is taken by another process';
    if (code === 'EACCES') return 'may not be opened by this user';
    return `cannot be opened on ${host} (${message})`;
  }
  server.close();
  await once(server, 'close');
  return undefined;
}
