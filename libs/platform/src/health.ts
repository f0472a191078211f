import type { FastifyInstance } from 'fastify';
import { redact } from './redact.js';

/** Token of what an app needs to be ready: `{ provide: READINESS, useFactory: (…) => ({ readModel: () => … }) }`. */
export const READINESS = Symbol('Readiness');

/** Checks by name; one that throws or takes longer than two seconds says that the app is not ready. */
export type Readiness = Record<string, () => void | Promise<void>>;

/** Thrown by a check of something that gets there by itself, however long the log is that it has to go through. */
export class OnItsWay extends Error {
  /** @param done grows with all that is done: whoever waits can tell work from a standstill */
  constructor(
    message: string,
    readonly done: number,
  ) {
    super(message);
    this.name = 'OnItsWay';
  }
}

const CHECK_TIMEOUT_MS = 2000;

/** What `GET /health/ready` answers. */
export interface Health {
  status: 'ok' | 'failing' | 'stopping';
  checks: Record<string, CheckResult>;
}

interface CheckResult {
  status: 'ok' | 'failing';
  detail?: string;
  /** See `OnItsWay`. */
  done?: number;
}

/**
 * `GET /health/live`: the process answers. `GET /health/ready`: it can do its work; 503 with the failing checks by name
 * otherwise, and from the moment when it is asked to stop.
 */
export function registerHealth(
  fastify: FastifyInstance,
  state: { readiness: () => Readiness; stopping: () => boolean },
): void {
  fastify.get('/health/live', async () => ({ status: 'ok' }));
  fastify.get('/health/ready', async (_request, reply) => {
    const names = Object.entries(state.readiness());
    const results = await Promise.all(names.map(async ([name, check]) => [name, await run(check)] as const));
    const checks = Object.fromEntries(results);
    const ready = !state.stopping() && results.every(([, { status }]) => status === 'ok');
    const status = ready ? 'ok' : state.stopping() ? 'stopping' : 'failing';
    return reply.code(ready ? 200 : 503).send({ status, checks } satisfies Health);
  });
}

async function run(check: () => void | Promise<void>): Promise<CheckResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CHECK_TIMEOUT_MS} ms`)), CHECK_TIMEOUT_MS);
  });
  try {
    await Promise.race([check(), late]);
    return { status: 'ok' };
  } catch (error) {
    const detail = redact(error instanceof Error ? error.message : String(error)).slice(0, 300);
    return { status: 'failing', detail, ...(error instanceof OnItsWay && { done: error.done }) };
  } finally {
    clearTimeout(timer);
  }
}
