import { setTimeout as pause } from 'node:timers/promises';

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 100;

/**
 * Tries `attempt` until it neither throws nor gives `false`, and gives what it gave.
 * @throws Error with the description and the last failure, once `timeoutMs` (default 30 s) have passed
 */
export async function eventually<T>(
  description: string,
  attempt: () => T | Promise<T>,
  { timeoutMs = 30_000 }: { timeoutMs?: number } = {},
): Promise<Exclude<T, false>> {
  const deadline = Date.now() + timeoutMs;
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    let failure: unknown = 'it was false';
    try {
      const result = await attempt();
      if (result !== false) return result as Exclude<T, false>;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > deadline) {
      const reason = failure instanceof Error ? failure.message : String(failure);
      throw new Error(`waited ${timeoutMs} ms in vain until ${description}: ${reason}`, { cause: failure });
    }
    await pause(pauseMs);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}
