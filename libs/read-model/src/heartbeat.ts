import { REDIS_TAGS, redisNames } from '@keyledger/contracts';
import type { KeyCommand, RedisLink } from './link.js';

/**
 * A projector's word that the live generation is current: for these runs of Redis servers, and for so long. Age is told
 * by what is left of the key's time to live, so that clocks need not agree.
 */
export interface Heartbeat {
  runs: ReadonlySet<string>;
  ageMs: number;
}

export function heartbeatWrite(runs: Iterable<string>, ttlMs: number): KeyCommand {
  return { call: 'set', key: redisNames.heartbeat, args: [`${ttlMs} ${[...runs].join(' ')}`, 'PX', ttlMs] };
}

export const HEARTBEAT_READ: readonly KeyCommand[] = [
  { call: 'get', key: redisNames.heartbeat },
  { call: 'pttl', key: redisNames.heartbeat },
];

export function parseHeartbeat(text: unknown, leftMs: unknown): Heartbeat | undefined {
  if (typeof text !== 'string' || typeof leftMs !== 'number' || leftMs < 0) return undefined;
  const [ttlMs, ...runs] = text.split(' ');
  return { runs: new Set(runs), ageMs: Math.max(Number(ttlMs) - leftMs, 0) };
}

/** The runs that answer for our keys now, or `undefined` while one of them is not known. */
export function runsNow(link: RedisLink): Set<string> | undefined {
  const runs = new Set<string>();
  for (const tag of REDIS_TAGS) {
    const run = link.runOf(tag);
    if (run === undefined) return undefined;
    runs.add(run);
  }
  return runs;
}

export function coveredBy(runs: ReadonlySet<string>, vouched: ReadonlySet<string>): boolean {
  return [...runs].every((run) => vouched.has(run));
}
