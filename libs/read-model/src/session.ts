import { REDIS_TAGS, redisNames } from '@keyledger/contracts';
import { coveredBy, HEARTBEAT_READ, parseHeartbeat, runsNow } from './heartbeat.js';
import type { RedisLink } from './link.js';
import type { LogMark } from './log-mark.js';
import { positionFrom, readMeta, type Meta } from './meta.js';
import type { LedgerSource } from './project.js';
import { PROJECTION_VERSION } from './projection.js';

/** One run of the loop: from a safe position, on the same runs of Redis servers, until something makes it begin anew. */
export interface Session {
  runs: ReadonlySet<string>;
  position: bigint;
  /** The newest event that this session has brought in, where it was not noted in Redis yet. */
  mark: LogMark | undefined;
  /** Set until this position is reached: the model is not vouched for before. */
  proveUntil: bigint | undefined;
  /** When it was last said that the model is current, here or by the worker whose word this session carries on. */
  saidAt: number | undefined;
  /** Records may be lost although their pointers stand: nothing is believed until proven. */
  force: boolean;
  end: AbortController;
}

/**
 * Where to begin and what must be shown first; `undefined` while there is nothing to project into; or the live generation
 * if it is not whole.
 * @param assertSameLog throws if the log is not the one of which Redis was made.
 */
export async function beginSession(
  link: RedisLink,
  store: Pick<LedgerSource, 'head'>,
  assertSameLog: (meta: Meta) => Promise<void>,
): Promise<Session | { broken: string } | undefined> {
  const runs = runsNow(link);
  if (!runs) return undefined;
  if (link.evicts()) throw new Error('this Redis throws records away when it is full: set maxmemory-policy noeviction');
  const meta = await readMeta(link);
  if (!meta.live) return undefined;
  const { generation, version } = meta.live;
  if (version > PROJECTION_VERSION) {
    throw new Error(`the live generation is of projection ${version}, newer than ours; a rebuild would go back`);
  }

  const names = REDIS_TAGS.map((tag) => redisNames.marker(generation, tag));
  const markers = (await link.batch(names.map((key) => ({ call: 'get', key })))) as (string | null)[];
  if (markers.includes(null)) return { broken: generation };
  const position = markers.map(positionFrom).reduce((least, one) => (one < least ? one : least));
  const [text, leftMs] = await link.batch(HEARTBEAT_READ);
  const force = !coveredBy(runs, meta.vouched);
  // A word that still holds is carried on also while the event store is away; else there is something to show first.
  const word = force ? undefined : parseHeartbeat(text, leftMs);
  if (!word) await assertSameLog(meta);
  const proveUntil = word ? undefined : await store.head();
  const saidAt = word && performance.now() - word.ageMs;
  return { runs, position, mark: undefined, proveUntil, saidAt, force, end: new AbortController() };
}
