import { AUDITED_STREAM_PREFIXES, type Instant, type RecordedEvent } from '@keyledger/contracts';
import { mkdir, readdir, readFile, rm, appendFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KEY_PREFIX, merged, Tail, tailOf, type Begin, type FoundKey } from './merge.js';
import { lineOf, readSnapshot, SnapshotDamaged, writeSnapshot, type SnapshotLine } from './snapshot-file.js';
import type { Cut } from './replay.js';

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
  /** Events of keys between two snapshots. */
  spacing?: number;
  /** How many snapshots are kept; every other one goes when there are more. */
  mostSnapshots?: number;
  /** Events held in memory at once. */
  mostEvents?: number;
}

/** How many events lie between two marks of time. */
const MARK_EVERY = 500;
const MARKS_FILE = 'marks';
const FROM_FIRST: Begin = { after: '' };

interface Mark {
  position: bigint;
  recordedAt: Instant;
  id: string;
}

interface Snapshot {
  path: string;
  position: bigint;
  recordedAt: Instant;
}

/**
 * All keys as they were, at bounded memory: the newest snapshot before the moment, merged with the events since. Also
 * where in the log a moment lies. `keepUp` makes the snapshots and the marks as the log grows; both are derived, are
 * checked before they are believed, and missing or damaged ones cost time and nothing else.
 */
export class History {
  private readonly spacing: number;
  private readonly mostSnapshots: number;
  private readonly mostEvents: number;
  private snapshots: Snapshot[] = [];
  private marks: Mark[] = [];
  private directory: string | undefined;
  private readonly sound = new Map<string, string>();
  /** Where the making of snapshots has come to, and the events that no snapshot holds yet. */
  private pending: { tail: Tail; count: number; last?: RecordedEvent } | undefined;
  private reached = 0n;
  private sinceMark = 0;

  constructor(
    private readonly store: LogReader,
    private readonly options: HistoryOptions,
  ) {
    const { spacing = 25_000, mostSnapshots = 48, mostEvents = 100_000 } = options;
    this.spacing = spacing;
    this.mostSnapshots = mostSnapshots;
    this.mostEvents = mostEvents;
  }

  /**
   * Every key there was as of the cut, in the order of ids, behind `after`.
   * @param options.replay whether to fold all events instead of beginning at a snapshot
   */
  async *keysAt(
    cut: Cut,
    options: { after?: string; replay?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<FoundKey[], void, undefined> {
    const { signal } = options;
    const base = options.replay ? undefined : await this.snapshotBefore(cut);
    for (let begin: Begin | undefined = { after: options.after ?? '' }; begin;) {
      const events = this.store.readAll({
        direction: 'forwards',
        ...(base && { from: base.position }),
        streamPrefixes: [KEY_PREFIX],
        ...(signal && { signal }),
      });
      const tail = await tailOf(events, cut, begin, this.mostEvents);
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
    const start = this.positionBefore(from);
    for (let begin: Begin | undefined = { after: options.after }; begin;) {
      const events = this.store.readAll({
        direction: 'forwards',
        ...(start !== undefined && { from: start }),
        streamPrefixes: [KEY_PREFIX],
        ...(options.signal && { signal: options.signal }),
      });
      const tail = await tailOf(behind(events, from), { recordedUntil: to }, begin, this.mostEvents);
      yield* tail.ids();
      begin = tail.end === undefined ? undefined : { from: tail.end };
    }
  }

  /** A position at or before which everything was recorded before the instant: where a search for it may begin. */
  positionBefore(instant: Instant): bigint | undefined {
    const at = lowerBound(this.marks, ({ recordedAt }) => recordedAt < instant);
    return at === 0 ? undefined : this.marks[at - 1]?.position;
  }

  /** A position at or behind which everything was recorded after the instant; `undefined`: none is known. */
  positionBehind(instant: Instant): bigint | undefined {
    return this.marks[lowerBound(this.marks, ({ recordedAt }) => recordedAt <= instant)]?.position;
  }

  /** The nearest known place of an event at or before a position, for stores that read from such places only. */
  placeBefore(position: bigint): bigint | undefined {
    const at = lowerBound(this.marks, (mark) => mark.position <= position);
    return at === 0 ? undefined : this.marks[at - 1]?.position;
  }

  /** The nearest known place of an event behind a position; `undefined`: read from the end. */
  placeBehind(position: bigint): bigint | undefined {
    return this.marks[lowerBound(this.marks, (mark) => mark.position <= position)]?.position;
  }

  /** How far the log is covered, for the curious. */
  get status(): { snapshots: number; marks: number; position: bigint } {
    return { snapshots: this.snapshots.length, marks: this.marks.length, position: this.reached };
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
      for (const recorded of batch) await this.take(recorded);
      await giveWay(performance.now() - began);
      began = performance.now();
    }
  }

  private async take(recorded: RecordedEvent): Promise<void> {
    const { position, recordedAt, id } = recorded;
    this.reached = position;
    this.sinceMark += 1;
    const newest = this.marks.at(-1);
    if (!newest || (position > newest.position && this.sinceMark >= MARK_EVERY)) {
      this.marks.push({ position, recordedAt, id });
      this.sinceMark = 0;
      await appendFile(this.pathOf(MARKS_FILE), `${position} ${recordedAt} ${id}\n`);
    }
    this.pending ??= { tail: new Tail(FROM_FIRST, Infinity), count: 0 };
    if (!recorded.stream.startsWith(KEY_PREFIX)) return;
    this.pending.tail.add(recorded);
    this.pending.count += 1;
    this.pending.last = recorded;
    if (this.pending.count < this.spacing) return;
    try {
      await this.snapshot();
    } catch (error) {
      // What could not be written is read again, so that it does not pile up here.
      this.pending = undefined;
      this.reached = this.snapshots.at(-1)?.position ?? 0n;
      throw error;
    }
  }

  private async snapshot(): Promise<void> {
    const { pending } = this;
    if (!pending?.last) return;
    const { position, recordedAt, id } = pending.last;
    const base = this.snapshots.at(-1);
    const found = merged(base ? readSnapshot(base.path) : none(), pending.tail, FROM_FIRST);
    const path = this.pathOf(`${String(position).padStart(20, '0')}.gz`);
    await writeSnapshot(path, linesOf(found), { position, recordedAt, eventId: id });
    this.snapshots.push({ path, position, recordedAt });
    this.pending = undefined;
    await this.thin();
  }

  /** The newest is what the next one is made from, and stays. */
  private async thin(): Promise<void> {
    if (this.snapshots.length <= this.mostSnapshots) return;
    const dropped = this.snapshots.filter((_, index) => index % 2 === 0 && index < this.snapshots.length - 1);
    this.snapshots = this.snapshots.filter((snapshot) => !dropped.includes(snapshot));
    // Whoever reads one of them at this moment goes on: the file is gone only when it is closed.
    for (const { path } of dropped) await rm(path, { force: true });
  }

  private async snapshotBefore({ position, recordedUntil, happenedUntil }: Cut): Promise<Snapshot | undefined> {
    // What was recorded before the time known, and before what is asked about, had happened by then too.
    const until = [recordedUntil, happenedUntil].filter((one) => one !== undefined).sort()[0];
    const early = ({ position: its, recordedAt }: Snapshot): boolean =>
      (position === undefined || its <= position) && (until === undefined || recordedAt <= until);
    for (const snapshot of this.snapshots.filter(early).reverse()) {
      if (await this.isSound(snapshot.path)) return snapshot;
      this.snapshots = this.snapshots.filter((one) => one !== snapshot);
    }
    return undefined;
  }

  /** Read through once, before it is believed; again only if the file has changed. */
  private async isSound(path: string): Promise<boolean> {
    const { mtimeMs, size } = await stat(path).catch(() => ({ mtimeMs: -1, size: -1 }));
    const mark = `${mtimeMs} ${size}`;
    if (size < 0) return false;
    if (this.sound.get(path) === mark) return true;
    try {
      for await (const _ of readSnapshot(path)) continue;
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error;
      return false;
    }
    this.sound.set(path, mark);
    return true;
  }

  /** Finds what an earlier run has left that is of this log and of this version. */
  private async open(signal: AbortSignal): Promise<boolean> {
    const { folder, version } = this.options;
    if (this.directory !== undefined || folder === undefined) return this.directory !== undefined;
    const first = await this.eventFrom(0n, signal);
    if (!first) return false;
    const directory = join(folder, `${first.id}-${version}`);
    await mkdir(directory, { recursive: true });
    this.directory = directory;
    for (const name of (await readdir(directory)).filter((one) => one.endsWith('.gz')).sort()) {
      await this.adopt(join(directory, name), signal);
    }
    await this.adoptMarks(signal);
    this.reached = this.snapshots.at(-1)?.position ?? 0n;
    return true;
  }

  private async adopt(path: string, signal: AbortSignal): Promise<void> {
    try {
      const lines = readSnapshot(path);
      for (let step = await lines.next(); ; step = await lines.next()) {
        if (!step.done) continue;
        const { position, recordedAt, eventId } = step.value;
        if ((await this.eventAt(position, signal))?.id !== eventId) break;
        const { mtimeMs, size } = await stat(path);
        this.sound.set(path, `${mtimeMs} ${size}`);
        this.snapshots.push({ path, position, recordedAt });
        return;
      }
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error;
    }
    await rm(path, { force: true });
  }

  private async adoptMarks(signal: AbortSignal): Promise<void> {
    const text = await readFile(this.pathOf(MARKS_FILE), 'utf8').catch(() => '');
    const read = text.split('\n').flatMap((line): Mark[] => {
      const [position = '', recordedAt = '', id = ''] = line.split(' ');
      return /^\d+$/.test(position) && id.length === 36 ? [{ position: BigInt(position), recordedAt, id }] : [];
    });
    const sorted = read.sort((one, other) => (one.position < other.position ? -1 : 1));
    const newest = sorted.at(-1);
    if (newest && (await this.eventAt(newest.position, signal))?.id === newest.id) this.marks = sorted;
    else await writeFile(this.pathOf(MARKS_FILE), '');
  }

  private eventAt(position: bigint, signal: AbortSignal): Promise<RecordedEvent | undefined> {
    return this.eventFrom(position, signal).then((event) => (event?.position === position ? event : undefined));
  }

  private async eventFrom(from: bigint, signal: AbortSignal): Promise<RecordedEvent | undefined> {
    const streamPrefixes = AUDITED_STREAM_PREFIXES;
    const options = { direction: 'forwards' as const, from, inclusive: true, limit: 1, streamPrefixes, signal };
    for await (const [event] of this.store.readAll(options)) return event;
    return undefined;
  }

  private pathOf(name: string): string {
    return join(this.directory as string, name);
  }
}

async function* none(): AsyncGenerator<SnapshotLine[]> {}

async function* behind(events: AsyncIterable<RecordedEvent[]>, from: Instant): AsyncGenerator<RecordedEvent[]> {
  for await (const batch of events) yield batch.filter(({ recordedAt }) => recordedAt > from);
}

async function* linesOf(found: AsyncIterable<FoundKey[]>): AsyncGenerator<string> {
  for await (const keys of found) for (const one of keys) yield one.line ?? lineOf(one.keyId, one.key());
}

/** How many items at the front fulfil what holds for a front of them only. */
function lowerBound<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}
