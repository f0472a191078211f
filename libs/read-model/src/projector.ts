import { READ_MODEL_STREAM_PREFIXES, REDIS_TAGS, redisNames } from '@keyledger/contracts';
import type { EventBatch } from '@keyledger/event-store';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisClient } from './connect.js';
import type { HandedOver } from './handed-over.js';
import { coveredBy, heartbeatWrite, runsNow } from './heartbeat.js';
import { RedisLink } from './link.js';
import { assertSameLog, markOf, markText, OtherLog, type LogMark } from './log-mark.js';
import { SILENT, type Log } from './log.js';
import { positionText, readMeta, writableGenerations, type Meta } from './meta.js';
import { Overlap } from './overlap.js';
import {
  announceImported,
  BATCH_SIZE,
  BATCHES_AT_ONCE,
  projectInto,
  type Ground,
  type LedgerSource,
} from './project.js';
import { groupByStream, PROJECTION_VERSION, streamsOf } from './projection.js';
import { Rebuilder } from './rebuild.js';
import { advance, noteProgress, setWhileLive } from './scripts.js';
import { beginSession, type Session } from './session.js';
import { sweepGenerations } from './sweep.js';

export interface ProjectorOptions {
  redis: RedisClient;
  store: LedgerSource;
  /** What this process decides itself, so that it need not be read again. */
  handedOver?: HandedOver;
  /** The bound after which verifiers no longer believe a model that nobody vouches for. Default 300. */
  maxStalenessSeconds?: number;
  /** How long a generation that is live no more is still written. Default 10,000. */
  retireAfterMs?: number;
  /** Events per batch, at most. */
  batchSize?: number;
  log?: Log;
  /** Told how many events each batch brought into the model. */
  onEvents?: (count: number) => void;
}

/** What a projector can say of itself. */
export interface ProjectorState {
  /** Whether the event store's subscription is up. */
  subscribed: boolean;
  /** Whether it says in Redis that the model is current. */
  vouching: boolean;
  /** Whether it had caught up with the log when it last read from it. */
  live: boolean;
  position: bigint;
  /** The newest position of the log that it has heard of. */
  head: bigint;
  eventsApplied: number;
  rebuilding: boolean;
  /** Events in the generation that is being built here, so far. */
  rebuildEvents: number;
  /** Grows with all that is done here: events applied, to generations being built too, and records compared. */
  done: number;
  lastError?: string;
}

/** How far a batch brings the projection; the events themselves are let go as soon as they are folded. */
interface Step {
  position: bigint;
  live: boolean;
  /** How many. */
  events: number;
  mark: LogMark | undefined;
}

const BEAT_MS = 1000;
const ATTEND_MS = 500;
const WAIT_MS = 100;
const LONGEST_WAIT_MS = 5000;
const HEAD_EVERY_BEATS = 5;

/**
 * Keeps the read model: one ordered loop from the event store's subscription into Redis.
 *
 * Its checkpoint lies in the 64 markers of the live generation, each in the slot of the records that it speaks for, and
 * written after them. Whatever a Redis node loses in a crash it loses from the end, so a marker never says more than its
 * records hold, and the oldest of the markers is always a safe place to begin. They only move forward, and a step that
 * was not written whole on the same runs of the servers does not move them. Several projectors at once do no harm.
 */
export class Projector {
  private readonly link: RedisLink;
  private readonly store: LedgerSource;
  private readonly ground: Ground;
  private readonly log: Log;
  private readonly maxStalenessMs: number;
  private readonly batchSize: number;
  private readonly onEvents: (count: number) => void;
  private readonly rebuilder: Rebuilder;
  private session: Session | undefined;
  private broken: string | undefined;
  private noting: Promise<unknown> | undefined;
  private disowned = false;
  private readonly told: Omit<ProjectorState, 'rebuilding' | 'rebuildEvents' | 'done' | 'lastError'> & {
    lastError: string | undefined;
  } = {
    subscribed: false,
    vouching: false,
    live: false,
    position: 0n,
    head: 0n,
    eventsApplied: 0,
    lastError: undefined,
  };

  constructor(options: ProjectorOptions) {
    const {
      redis,
      store,
      log = SILENT,
      maxStalenessSeconds = 300,
      retireAfterMs = 10_000,
      batchSize = BATCH_SIZE,
    } = options;
    this.link = RedisLink.of(redis);
    this.store = store;
    const { handedOver } = options;
    this.ground = { link: this.link, store, untrodden: new Set(), ...(handedOver && { handedOver }) };
    this.log = log;
    this.maxStalenessMs = maxStalenessSeconds * 1000;
    this.batchSize = batchSize;
    this.onEvents = options.onEvents ?? (() => undefined);
    this.rebuilder = new Rebuilder({ link: this.link, store, log, retireAfterMs });
  }

  state(): ProjectorState {
    const { lastError, ...told } = this.told;
    const { current } = this.rebuilder;
    return {
      ...told,
      rebuilding: current !== undefined,
      rebuildEvents: current?.eventsApplied ?? 0,
      done: told.eventsApplied + this.rebuilder.done,
      ...(lastError !== undefined && { lastError }),
    };
  }

  /** Works until the signal aborts. Never fails: what goes wrong is said, and tried again with a growing pause. */
  async run(signal: AbortSignal): Promise<void> {
    await this.link.opened(signal);
    await Promise.all([
      this.repeat('the projection', signal, 0, () => this.follow(signal)),
      this.repeat('the heartbeat', signal, BEAT_MS, () => this.beat()),
      this.repeat('the rebuild', signal, ATTEND_MS, () => this.rebuilder.attend(this.broken, signal)),
      this.repeat(
        'the sweep',
        signal,
        LONGEST_WAIT_MS,
        this.once(() => this.sweep()),
      ),
    ]);
  }

  private async repeat(
    what: string,
    signal: AbortSignal,
    everyMs: number,
    work: () => Promise<void | 'done'>,
  ): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        if ((await work()) === 'done') return;
        failures = 0;
        await pause(everyMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.told.lastError = error instanceof Error ? error.message : String(error);
        if (failures === 0) this.log.warn({ err: error }, `${what} was interrupted`);
        await pause(Math.min(WAIT_MS * 2 ** failures++, LONGEST_WAIT_MS), signal);
      }
    }
  }

  private once(work: () => Promise<boolean>): () => Promise<void | 'done'> {
    return async () => ((await work()) ? 'done' : undefined);
  }

  private async sweep(): Promise<boolean> {
    const meta = await readMeta(this.link);
    if (!meta.live) return false;
    await sweepGenerations(this.link, meta);
    return true;
  }

  /** One session, or one look at why there can be none yet. */
  private async follow(signal: AbortSignal): Promise<void> {
    const session = await beginSession(this.link, this.store, (meta) => this.assertSameLog(meta));
    if (session === undefined || 'broken' in session) {
      this.broken = session?.broken ?? this.broken;
      return pause(WAIT_MS, signal);
    }
    if (session.force) {
      const from = String(session.position);
      this.log.info({ from }, 'Redis was started anew; what it may have lost is replayed');
    }
    this.session = session;
    this.told.position = session.position;
    this.told.live = false;
    let looked: Meta | Error | undefined;
    try {
      if (session.proveUntil !== undefined && session.position >= session.proveUntil) await this.prove(session);
      const batches = this.store.subscribe({
        after: session.position === 0n ? 'start' : session.position,
        streamPrefixes: READ_MODEL_STREAM_PREFIXES,
        maxBatch: this.batchSize,
        signal: AbortSignal.any([signal, session.end.signal]),
        // Read after the events came: a generation that is registered later replays what they bring.
        beforeBatch: async () => {
          looked = await readMeta(this.link).catch((error: Error) => error);
        },
        onState: (state) => {
          this.told.subscribed = state === 'connected';
        },
      });
      const overlap = new Overlap(BATCHES_AT_ONCE, () => session.end.abort());
      let isSameLog = false;
      try {
        for await (const batch of batches) {
          if (!looked || looked instanceof Error) throw looked ?? new TypeError('a batch came without its look');
          if (!isSameLog) await this.assertSameLog(looked);
          isSameLog = true;
          await this.apply(session, overlap, batch, looked);
          if (session.end.signal.aborted) break;
        }
      } finally {
        await overlap.end();
      }
    } finally {
      session.end.abort();
      this.session = undefined;
      this.told.vouching = false;
      this.told.subscribed = false;
    }
  }

  /** Of another log nothing is projected, and nobody may go by what stands here. @throws OtherLog */
  private async assertSameLog({ mark }: Meta): Promise<void> {
    try {
      await assertSameLog(this.store, mark);
    } catch (error) {
      // Once: where another worker is right, its word comes back within a second, and stays.
      if (error instanceof OtherLog && !this.disowned) {
        await this.link.batch([{ call: 'del', key: redisNames.heartbeat }]);
        this.disowned = true;
      }
      throw error;
    }
  }

  private async apply(
    session: Session,
    overlap: Overlap,
    { events, position, live }: EventBatch,
    meta: Meta,
  ): Promise<void> {
    const last = events.at(-1);
    const step: Step = { position, live, events: events.length, mark: last && markOf(last) };
    const groups = groupByStream(events);
    const generations = writableGenerations(meta, PROJECTION_VERSION);
    const into = generations.length > 0 ? meta.live?.generation : undefined;
    await overlap.begin(
      streamsOf(groups),
      async () => {
        if (into === undefined || step.events === 0) return;
        if (!meta.holdsImported) await announceImported(this.link, groups);
        await projectInto(this.ground, generations, groups, session.force);
      },
      () => this.settle(session, into, step),
    );
  }

  /** After all that a batch brought, and everything before it, is written: moves on. */
  private async settle(session: Session, generation: string | undefined, step: Step): Promise<void> {
    if (session.end.signal.aborted || generation === undefined || !this.isOn(session)) return session.end.abort();
    session.position = step.position;
    session.mark = step.mark ?? session.mark;
    this.told.eventsApplied += step.events;
    this.onEvents(step.events);
    this.told.position = step.position;
    this.told.live = step.live;
    this.told.lastError = undefined;
    if (step.position > this.told.head) this.told.head = step.position;
    const { proveUntil } = session;
    if (proveUntil !== undefined && (step.live || step.position >= proveUntil)) await this.prove(session);
    this.note(generation, step.position);
  }

  /** Everything that may have been lost is written again: from here on these runs of Redis count. */
  private async prove(session: Session): Promise<void> {
    const { live } = await readMeta(this.link);
    if (!live || !this.isOn(session)) return session.end.abort();
    const args = [live.generation, 'vouched', [...session.runs].join(' ')];
    const [done] = await this.link.batch([{ call: setWhileLive, key: redisNames.meta, args }]);
    if (done !== 1) return session.end.abort();
    session.force = false;
    session.proveUntil = undefined;
    await this.beat('proven');
  }

  private isOn(session: Session): boolean {
    const runs = runsNow(this.link);
    return runs !== undefined && coveredBy(runs, session.runs);
  }

  /**
   * Moves the markers, and with all of them in place says that the model is current, if it is: the word is not renewed while
   * this projector is behind, and so ends by itself at its bound, whoever is started or dies meanwhile.
   */
  private async beat(proven?: 'proven'): Promise<void> {
    const { link, session } = this;
    if (!session) return;
    if (!this.isOn(session)) return session.end.abort();
    if (session.proveUntil !== undefined) {
      this.told.vouching = false;
      return;
    }
    const meta = await readMeta(link);
    const { live } = meta;
    if (!live) return session.end.abort();
    const { generation } = live;
    const position = positionText(session.position);
    // Checked and sent in one go: what goes out now reaches the servers that the session knows, or nobody.
    if (!this.isOn(session)) return session.end.abort();
    const replies = await link.batch(
      REDIS_TAGS.map((tag) => ({ call: advance, key: redisNames.marker(generation, tag), args: [position] })),
    );
    if (replies.includes(0)) {
      this.broken = generation;
      return session.end.abort();
    }
    if (!this.isOn(session)) return session.end.abort();
    if (proven || !this.isBehind(session, meta)) {
      await link.batch([heartbeatWrite(session.runs, this.maxStalenessMs)]);
      session.saidAt = performance.now();
    }
    this.told.vouching = session.saidAt !== undefined && performance.now() - session.saidAt <= this.maxStalenessMs;
    await this.noteMark(session, generation);
    await this.lookAtHead();
    this.note(generation, session.position);
  }

  /** Cut off from the log it is so only if an api has seen the log go on: without that nothing was decided meanwhile. */
  private isBehind({ position }: Session, { decided }: Meta): boolean {
    const { subscribed, live } = this.told;
    return subscribed || decided === undefined ? !live : decided > position;
  }

  private async noteMark(session: Session, generation: string): Promise<void> {
    const { mark } = session;
    if (!mark) return;
    await this.link.batch([{ call: setWhileLive, key: redisNames.meta, args: [generation, 'mark', markText(mark)] }]);
    if (session.mark === mark) session.mark = undefined;
  }

  private beats = 0;

  private async lookAtHead(): Promise<void> {
    if (this.beats++ % HEAD_EVERY_BEATS !== 0) return;
    const head = await this.store.head().catch(() => undefined);
    if (head !== undefined && head > this.told.head) this.told.head = head;
  }

  /** For whoever looks at the status: not waited for, and not needed to go on. */
  private note(generation: string, position: bigint): void {
    if (this.noting) return;
    const args = [generation, positionText(position), positionText(this.told.head)];
    this.noting = this.link
      .batch([{ call: noteProgress, key: redisNames.meta, args }])
      .catch(() => undefined)
      .finally(() => {
        this.noting = undefined;
      });
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
