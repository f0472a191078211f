import { AUDITED_STREAM_PREFIXES, type Instant, type RecordedEvent } from '@keyledger/contracts';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Marks } from './marks.js';
import { KEY_PREFIX, merged, tailOf, type Begin, type FoundKey } from './merge.js';
import type { Cut } from './replay.js';
import { lineOf, readSnapshot, SNAPSHOT_FORMAT, SnapshotDamaged, type SnapshotLine } from './snapshot-file.js';
import { Snapshots, type Snapshot } from './snapshots.js';

/** What this needs of the event store. */
export interface LogReader {
  readAll(options: {
    direction: 'forwards' | 'backwards';
    from?: bigint;
    inclusive?: boolean;
    streamPrefixes: readonly string[];
    limit?: number;
    signal?: AbortSignal;
  }): AsyncIterable<RecordedEvent[]>;
}

export interface HistoryOptions {
  /** Where derived files are kept; without it every question is answered by a full replay. */
  folder?: string;
  /** Of this program: what another version folded is not believed. */
  version: string;
  /** Events of keys between two snapshots, at least. Large snapshots stand further apart. */
  spacing?: number;
  /** How many snapshots are kept. */
  mostSnapshots?: number;
  /** Keys and events of keys held in memory at once, while a question is answered or a snapshot is made. */
  mostHeld?: number;
}

/**
 * A snapshot is written whole, so the next one waits for an event for so many bytes of the last. Their cost grows with
 * the log then, not with its square, and an answer still reads few events beside the keys.
 */
const BYTES_PER_EVENT = 256;
/** Events of keys that an answer has to read beside a snapshot, at most. */
const MOST_BETWEEN = 25_000;
/** A snapshot is made beside all that the process has to do: it holds less at once, and reads more often. */
const HELD_IN_MAKING = 10_000;

/**
 * All keys as they were, at bounded memory: the newest snapshot before the moment, merged with the events since.
 * `keepUp` makes the snapshots and the marks of time as the log grows; both are derived, are checked before they are
 * believed, and missing or damaged ones cost time and nothing else. Of the log nothing is held between two calls but
 * counts and positions.
 */
export class History {
  /** Where in the log a moment lies. */
  readonly marks = new Marks();
  private readonly snapshots: Snapshots;
  private readonly spacing: number;
  private readonly mostHeld: number;
  private opened = false;
  private reached = 0n;
  /** What the next snapshot is made from, and the events of keys behind it that were seen. */
  private next: { base: Snapshot | undefined; events: number } = { base: undefined, events: 0 };

  constructor(
    private readonly store: LogReader,
    private readonly options: HistoryOptions,
  ) {
    const { spacing = 5_000, mostSnapshots = 48, mostHeld = 50_000 } = options;
    this.spacing = spacing;
    this.mostHeld = mostHeld;
    this.snapshots = new Snapshots(mostSnapshots);
  }

  /**
   * Every key there was as of the cut, in the order of ids, behind `after`.
   * @param options.replay whether to fold all events instead of beginning at a snapshot
   */
  async *keysAt(
    cut: Cut,
    options: { after?: string; replay?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<FoundKey[], void, undefined> {
    const { after = '', replay, signal } = options;
    // Asked for every pass: the one of the last pass may be gone, and any that is before the cut will do.
    const baseOf = async () => (replay ? undefined : this.snapshots.before(cut));
    yield* this.keysSince(baseOf, cut, { after, mostHeld: this.mostHeld, ...(signal && { signal }) });
  }

  /** The keys of a snapshot with the events since, in as many passes as memory needs. */
  private async *keysSince(
    baseOf: () => Promise<Snapshot | undefined>,
    cut: Cut,
    { after, mostHeld, asLines, signal }: { after: string; mostHeld: number; asLines?: boolean; signal?: AbortSignal },
  ): AsyncGenerator<FoundKey[], void, undefined> {
    for (let begin: Begin | undefined = { after }; begin;) {
      const base = await baseOf();
      const events = this.keyEvents(base?.position, signal);
      const tail = await tailOf(events, cut, begin, mostHeld, asLines);
      yield* merged(base ? readSnapshot(base.path) : none(), tail, begin);
      begin = tail.end === undefined ? undefined : { from: tail.end };
    }
  }

  /** The ids of the keys to which anything was recorded after `from` and until `to`, in order, behind `after`. */
  async *keysTouched(
    from: Instant,
    to: Instant,
    options: { after: string; signal?: AbortSignal },
  ): AsyncGenerator<string, void, undefined> {
    const start = this.marks.positionBefore(from);
    for (let begin: Begin | undefined = { after: options.after }; begin;) {
      const events = behind(this.keyEvents(start, options.signal), from);
      const tail = await tailOf(events, { recordedUntil: to }, begin, this.mostHeld);
      yield* tail.ids();
      begin = tail.end === undefined ? undefined : { from: tail.end };
    }
  }

  /** How far the log is covered. Tests ask it: of an answer nobody can see whether a snapshot was used. */
  get status(): { snapshots: number; marks: number; position: bigint } {
    return { snapshots: this.snapshots.count, marks: this.marks.count, position: this.reached };
  }

  /**
   * Reads the log on to its end and makes what is due. Gives way after every batch.
   * @throws what the event store throws; what the file system throws
   */
  async keepUp(signal: AbortSignal, giveWay: (busyMs: number) => Promise<void> = async () => undefined): Promise<void> {
    if (!(await this.open(signal))) return;
    let began = performance.now();
    const options = { direction: 'forwards' as const, streamPrefixes: AUDITED_STREAM_PREFIXES, signal };
    for await (const batch of this.store.readAll({ ...options, from: this.reached })) {
      for (const recorded of batch) {
        this.reached = recorded.position;
        await this.marks.take(recorded);
        if (!recorded.stream.startsWith(KEY_PREFIX)) continue;
        this.next.events += 1;
        if (this.next.events >= this.due()) await this.snapshot(recorded, signal);
      }
      await giveWay(performance.now() - began);
      began = performance.now();
    }
  }

  private due(): number {
    const whole = (this.snapshots.newest?.bytes ?? 0) / BYTES_PER_EVENT;
    return Math.max(this.spacing, Math.min(whole, MOST_BETWEEN));
  }

  /** Makes a snapshot that ends with an event: reads what lies behind the last one again, and nothing before. */
  private async snapshot({ position, recordedAt, id }: RecordedEvent, signal: AbortSignal): Promise<void> {
    const { base } = this.next;
    try {
      // A question may have found it damaged meanwhile: what was counted since is not all that is new then.
      if (base !== this.snapshots.newest) throw new SnapshotDamaged(base?.path ?? '');
      const mostHeld = Math.min(this.mostHeld, HELD_IN_MAKING);
      const found = this.keysSince(async () => base, { position }, { after: '', mostHeld, asLines: true, signal });
      await this.snapshots.add(linesOf(found), { position, recordedAt, eventId: id });
    } catch (error) {
      if (error instanceof SnapshotDamaged) await this.snapshots.forget(base);
      this.goOnBehindNewest();
      this.reached = this.next.base?.position ?? 0n;
      throw error;
    }
    this.goOnBehindNewest();
  }

  private goOnBehindNewest(): void {
    this.next = { base: this.snapshots.newest, events: 0 };
  }

  /** Finds what an earlier run has left that is of this log and of this version; what other versions left goes. */
  private async open(signal: AbortSignal): Promise<boolean> {
    const { folder, version } = this.options;
    if (this.opened || folder === undefined) return this.opened;
    const first = await this.eventFrom(0n, signal);
    if (!first) return false;
    const own = `${first.id}-${version}-${SNAPSHOT_FORMAT}`;
    const directory = join(folder, own);
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(folder)) {
      if (name.startsWith(`${first.id}-`) && name !== own)
        await rm(join(folder, name), { recursive: true, force: true });
    }
    const isStored = async (position: bigint, id: string): Promise<boolean> => {
      const event = await this.eventFrom(position, signal);
      return event?.position === position && event.id === id;
    };
    await this.snapshots.open(directory, ({ position, eventId }) => isStored(position, eventId));
    await this.marks.open(join(directory, 'marks'), ({ position, id }) => isStored(position, id));
    this.goOnBehindNewest();
    this.reached = this.next.base?.position ?? 0n;
    this.opened = true;
    return true;
  }

  private async eventFrom(from: bigint, signal: AbortSignal): Promise<RecordedEvent | undefined> {
    const streamPrefixes = AUDITED_STREAM_PREFIXES;
    const options = { direction: 'forwards' as const, from, inclusive: true, limit: 1, streamPrefixes, signal };
    for await (const [event] of this.store.readAll(options)) return event;
    return undefined;
  }

  private keyEvents(from: bigint | undefined, signal: AbortSignal | undefined): AsyncIterable<RecordedEvent[]> {
    return this.store.readAll({
      direction: 'forwards',
      ...(from !== undefined && { from }),
      streamPrefixes: [KEY_PREFIX],
      ...(signal && { signal }),
    });
  }
}

async function* none(): AsyncGenerator<SnapshotLine[]> {}

async function* behind(events: AsyncIterable<RecordedEvent[]>, from: Instant): AsyncGenerator<RecordedEvent[]> {
  for await (const batch of events) yield batch.filter(({ recordedAt }) => recordedAt > from);
}

async function* linesOf(found: AsyncIterable<FoundKey[]>): AsyncGenerator<string[]> {
  for await (const keys of found) yield keys.map((one) => one.line ?? lineOf(one.keyId, one.key()));
}
