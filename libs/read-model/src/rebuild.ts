import {
  instantOf,
  READ_MODEL_STREAM_PREFIXES,
  REDIS_TAGS,
  redisNames,
  streams,
  type RecordedEvent,
} from '@keyledger/contracts';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { differences, digestOf } from './digest.js';
import { runsNow } from './heartbeat.js';
import { keepLease } from './lease.js';
import type { RedisLink } from './link.js';
import { assertSameLog, markOf, markText, type LogMark } from './log-mark.js';
import type { Log } from './log.js';
import { positionText, readMeta, type Building, type Meta, type RebuildReport } from './meta.js';
import { Overlap } from './overlap.js';
import {
  announceImported,
  BATCH_SIZE,
  BATCHES_AT_ONCE,
  projectInto,
  rewriteKeys,
  type LedgerSource,
} from './project.js';
import { groupByStream, PROJECTION_VERSION, streamsOf } from './projection.js';
import { abandonBuild, clearField, extend, goLive, setWhileLive } from './scripts.js';
import { deleteGeneration, sweepGenerations } from './sweep.js';

const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
const SHOWN_DIFFERENCES = 20;
/** Keys that are written anew from their streams when a comparison found them different. */
const REPAIRED = 1000;

export interface RebuilderOptions {
  link: RedisLink;
  store: LedgerSource;
  log: Log;
  /** How long a generation that is live no more is still written. Longer than any reader's view may be old. */
  retireAfterMs: number;
}

/** Why a build cannot go on; it is thrown away, and begun anew while there is a cause. */
class BuildAbandoned extends Error {}

/**
 * Builds generations beside the live one. One worker at a time does, by a lease in Redis; one that loses it finds out
 * before it could switch, because the switch asks for the token under which the build is registered.
 *
 * Why no change is lost: the build is registered first and the head of the log is read after that. Every event up to
 * that head is replayed into the new generation; whoever applies a later one reads which generations there are after the
 * append, finds the new one and writes it too.
 */
export class Rebuilder {
  /** What is being built here, and how many events that has taken so far. */
  current: (Building & { eventsApplied: number }) | undefined;
  /** Events applied and records compared here since this process began. */
  done = 0;

  constructor(private readonly options: RebuilderOptions) {}

  /**
   * Looks once whether there is something to build or to clear away, and does it if no other worker does.
   * @param broken a generation that was found incomplete.
   * @throws what keeps it from being done; the next look tries again.
   */
  async attend(broken: string | undefined, signal: AbortSignal): Promise<void> {
    const { link } = this.options;
    const seen = await readMeta(link);
    if (causeIn(seen, broken) === undefined && seen.retiring === undefined) return;
    const token = randomUUID();
    const takenAt = performance.now();
    const [taken] = await link.batch([{ call: 'set', key: redisNames.lease, args: [token, 'NX', 'PX', LEASE_MS] }]);
    if (taken !== 'OK') return;
    const lost = new AbortController();
    const done = new AbortController();
    const extendBy = async (ms: number): Promise<boolean> => {
      const [held] = await link.batch([{ call: extend, key: redisNames.lease, args: [token, ms] }]);
      return held === 1;
    };
    const lease = { takenAt, holdsMs: LEASE_MS, renewEveryMs: RENEW_MS, extend: () => extendBy(LEASE_MS) };
    const keeping = keepLease(lease, done.signal).catch((error: unknown) => lost.abort(error));
    try {
      await this.work(token, broken, AbortSignal.any([signal, lost.signal]));
    } finally {
      done.abort();
      await keeping;
      await extendBy(0).catch(() => undefined);
    }
  }

  private async work(token: string, broken: string | undefined, signal: AbortSignal): Promise<void> {
    const { link } = this.options;
    await this.retire(signal);
    const meta = await readMeta(link);
    const cause = causeIn(meta, broken);
    if (cause === undefined) return;
    await assertSameLog(this.options.store, meta.mark);
    const building: Building = {
      generation: nextGeneration(meta),
      version: PROJECTION_VERSION,
      rebuildId: meta.request?.rebuildId ?? randomUUID(),
      cause,
      startedAt: instantOf(Date.now()),
    };
    this.current = { ...building, eventsApplied: 0 };
    try {
      await this.build(token, building, meta, signal);
    } catch (error) {
      await this.discard(token, building.generation);
      throw error;
    } finally {
      this.current = undefined;
    }
    await this.retire(signal);
  }

  private async build(token: string, building: Building, meta: Meta, signal: AbortSignal): Promise<void> {
    const { link, store, log } = this.options;
    const { generation, cause, rebuildId } = building;
    const runs = runsNow(link);
    if (!runs) throw new BuildAbandoned('not every part of Redis is connected');
    const check = (): void => {
      signal.throwIfAborted();
      const now = runsNow(link);
      if (!now || [...now].some((run) => !runs.has(run))) throw new BuildAbandoned('Redis was restarted meanwhile');
    };

    const fields = ['building', JSON.stringify(building), 'builder', token, 'buildPosition', positionText(0n)];
    await link.batch([{ call: 'hset', key: redisNames.meta, args: fields }]);
    log.info({ generation, cause, rebuildId }, 'building a generation of the read model');
    // Left behind by a worker that died; the lease says that it is not at work.
    if (meta.building) await deleteGeneration(link, meta.building.generation);

    const { position, mark, keys } = await this.replay(generation, await store.head(), signal, check);
    const compared = await this.compare(building, meta, check);
    await link.batch(
      REDIS_TAGS.map((tag) => ({
        call: 'set',
        key: redisNames.marker(generation, tag),
        args: [positionText(position)],
      })),
    );
    check();
    const report: RebuildReport = {
      rebuildId,
      cause,
      generation,
      startedAt: building.startedAt,
      finishedAt: instantOf(Date.now()),
      eventsApplied: this.current?.eventsApplied ?? 0,
      keys,
      ...compared,
    };
    const args = [token, generation, PROJECTION_VERSION, [...runs].join(' '), positionText(position)];
    const [switched] = await link.batch([
      { call: goLive, key: redisNames.meta, args: [...args, JSON.stringify(report), meta.request?.text ?? ''] },
    ]);
    if (switched !== 1) throw new BuildAbandoned('another worker has begun to build');
    if (mark) {
      await link.batch([{ call: setWhileLive, key: redisNames.meta, args: [generation, 'mark', markText(mark)] }]);
    }
    log.info({ ...report }, 'a new generation of the read model is live');
  }

  /**
   * Every event up to the head, into the generation.
   * @returns the position that it has reached, the last event, and how many keys began.
   */
  private async replay(
    generation: string,
    head: bigint,
    signal: AbortSignal,
    check: () => void,
  ): Promise<{ position: bigint; keys: number; mark?: LogMark }> {
    const { link, store } = this.options;
    if (head <= 0n) return { position: 0n, keys: 0 };
    const enough = new AbortController();
    const subscription = store.subscribe({
      after: 'start',
      streamPrefixes: READ_MODEL_STREAM_PREFIXES,
      maxBatch: BATCH_SIZE,
      signal: AbortSignal.any([signal, enough.signal]),
    });
    const ground = { link, store, untrodden: new Set<string>() };
    const overlap = new Overlap(BATCHES_AT_ONCE, () => enough.abort());
    let position: bigint | undefined;
    let last: RecordedEvent | undefined;
    let keys = 0;
    try {
      for await (const batch of subscription) {
        const count = batch.events.length;
        last = batch.events.at(-1) ?? last;
        const groups = groupByStream(batch.events);
        for (const { events } of groups.keys) if (events[0]?.revision === 0) keys += 1;
        const reached = positionText(batch.position);
        await overlap.begin(
          streamsOf(groups),
          async () => {
            await announceImported(link, groups);
            await projectInto(ground, [generation], groups);
          },
          async () => {
            check();
            if (this.current) this.current.eventsApplied += count;
            this.done += count;
            await link.batch([{ call: 'hset', key: redisNames.meta, args: ['buildPosition', reached] }]);
          },
        );
        if (batch.live || batch.position >= head) {
          position = batch.position;
          break;
        }
      }
    } finally {
      enough.abort();
      await overlap.end();
    }
    if (position !== undefined) return { position, keys, ...(last && { mark: markOf(last) }) };
    signal.throwIfAborted();
    throw new BuildAbandoned('the subscription ended before the head');
  }

  /** Digests, and what differs where both generations ought to say the same. */
  private async compare(
    { generation, cause }: Building,
    { live }: Meta,
    check: () => void,
  ): Promise<Pick<RebuildReport, 'digestNew' | 'digestLive' | 'equal' | 'differing' | 'differingCount'>> {
    const { link, store } = this.options;
    if (!live || cause === 'missing') return { differing: [], differingCount: 0 };
    const onRead = (records: number): void => void (this.done += records);
    const { digest: digestNew } = await digestOf(link, generation, onRead);
    const none = { digestNew, differing: [], differingCount: 0 };
    const { digest: digestLive } = await digestOf(link, live.generation, onRead);
    check();
    if (digestLive === digestNew) return { ...none, digestLive, equal: true };
    if (live.version !== PROJECTION_VERSION) return { ...none, digestLive, equal: false };
    const found = await differences(link, live.generation, generation);
    check();
    if (found.length === 0) return { ...none, digestLive: digestNew, equal: true };
    const ids = [...new Set(found.map(({ id, name }) => id ?? name))];
    await rewriteKeys(
      link,
      store,
      generation,
      ids.slice(0, REPAIRED).map((id) => ({ stream: streams.key(id) })),
    );
    return {
      ...none,
      digestLive,
      equal: false,
      differing: ids.slice(0, SHOWN_DIFFERENCES),
      differingCount: ids.length,
    };
  }

  /** The generation before is written on until no reader can still be looking at it, then it goes. */
  private async retire(signal: AbortSignal): Promise<void> {
    const { link, log, retireAfterMs } = this.options;
    const { retiring } = await readMeta(link);
    if (retiring === undefined) return;
    await sleep(retireAfterMs, undefined, { signal });
    await link.batch([{ call: clearField, key: redisNames.meta, args: ['retiring', retiring] }]);
    const deleted = await sweepGenerations(link, await readMeta(link));
    log.info({ generation: retiring, deleted }, 'an old generation of the read model is deleted');
  }

  private async discard(token: string, generation: string): Promise<void> {
    const { link } = this.options;
    try {
      await link.batch([{ call: abandonBuild, key: redisNames.meta, args: [token] }]);
      // The switch may have happened and only its answer been lost.
      const { live } = await readMeta(link);
      if (live?.generation !== generation) await deleteGeneration(link, generation);
    } catch {
      // Redis is not there. What is left behind goes with the next build or sweep.
    }
  }
}

function causeIn(meta: Meta, broken: string | undefined): RebuildReport['cause'] | undefined {
  const { live, request } = meta;
  if (!live || live.generation === broken) return 'missing';
  if (live.version < PROJECTION_VERSION) return 'version';
  return request ? 'request' : undefined;
}

const GENERATION_WIDTH = 9;

/**
 * Ids grow and none is ever given twice, also where Redis has forgotten the ones before: a reader that still looks at an
 * emptied generation must not find a half-built one under its name.
 */
export function nextGeneration({ live, building, retiring }: Pick<Meta, 'live' | 'building' | 'retiring'>): string {
  const used = [live?.generation, building?.generation, retiring].map((id) =>
    id === undefined ? 0 : parseInt(id, 36),
  );
  return Math.max(Date.now(), ...used.map((id) => id + 1))
    .toString(36)
    .padStart(GENERATION_WIDTH, '0');
}
