import { AUDITED_STREAM_PREFIXES, type Instant, type RecordedEvent } from '@keyledger/contracts';
import { mkdir, readdir, readFile, rm, appendFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KEY_PREFIX, merged, Tail, tailOf, type Begin, type FoundKey } from './merge.js';
import {
  lineOf,
  readSnapshot,
  readSnapshotHead,
  SNAPSHOT_FORMAT,
  SnapshotDamaged,
  TEMPORARY,
  writeSnapshot,
  type SnapshotLine,
} from './snapshot-file.js';
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
  /** Events of keys between two snapshots, at least. Large snapshots stand further apart. */
  spacing?: number;
  /** How many snapshots are kept. */
  mostSnapshots?: number;
  /** Keys and events of keys held in memory at once. */
  mostHeld?: number;
}

/**
 * A snapshot is written whole, so the next one waits for an event for so many bytes of the last, as far as memory lets
 * it. Their cost grows with the log then, not with its square, and an answer still reads few events beside the keys.
 */
const BYTES_PER_EVENT = 256;
/** Events that wait for the next snapshot, at most: they are held for as long as the api runs. */
const MOST_WAITING = 25_000;
/** A file in the making that is as old as this was left behind. */
const ABANDONED_MS = 3_600_000;

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
  bytes: number;
}

/**
 * All keys as they were, at bounded memory: the newest snapshot before the moment, merged with the events since. Also
 * where in the log a moment lies. `keepUp` makes the snapshots and the marks as the log grows; both are derived, are
 * checked before they are believed, and missing or damaged ones cost time and nothing else.
 */
export class History {
  private readonly spacing: number;
  private readonly mostSnapshots: number;
  private readonly mostHeld: number;
  private snapshots: Snapshot[] = [];
  private marks: Mark[] = [];
  private directory: string | undefined;
  private readonly sound = new Map<string, string>();
  /** Where the making of snapshots has come to, and the events that no snapshot holds yet. */
  private pending: { base: Snapshot | undefined; tail: Tail; count: number; last?: RecordedEvent } | undefined;
  private reached = 0n;
  private sinceMark = 0;

  constructor(
    private readonly store: LogReader,
    private readonly options: HistoryOptions,
  ) {
    const { spacing = 5_000, mostSnapshots = 48, mostHeld = 50_000 } = options;
    this.spacing = spacing;
    this.mostSnapshots = mostSnapshots;
    this.mostHeld = mostHeld;
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
      const tail = await tailOf(events, cut, begin, this.mostHeld);
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
      const tail = await tailOf(behind(events, from), { recordedUntil: to }, begin, this.mostHeld);
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
    this.pending ??= { base: this.snapshots.at(-1), tail: new Tail(FROM_FIRST, Infinity, true), count: 0 };
    if (!recorded.stream.startsWith(KEY_PREFIX)) return;
    this.pending.tail.add(recorded);
    this.pending.count += 1;
    this.pending.last = recorded;
    if (this.pending.count < this.due()) return;
    try {
      await this.snapshot();
    } catch (error) {
      // What could not be written is read again, so that it does not pile up here.
      if (error instanceof SnapshotDamaged) await this.forget(this.pending?.base);
      this.pending = undefined;
      this.reached = this.snapshots.at(-1)?.position ?? 0n;
      throw error;
    }
  }

  private due(): number {
    const whole = (this.snapshots.at(-1)?.bytes ?? 0) / BYTES_PER_EVENT;
    return Math.max(this.spacing, Math.min(whole, MOST_WAITING));
  }

  private async snapshot(): Promise<void> {
    const { pending } = this;
    if (!pending?.last) return;
    const { position, recordedAt, id } = pending.last;
    const { base } = pending;
    // A question may have found it damaged meanwhile: then what came before these events is not there.
    if (base !== this.snapshots.at(-1)) throw new SnapshotDamaged(base?.path ?? '');
    const found = merged(base ? readSnapshot(base.path) : none(), pending.tail, FROM_FIRST);
    const path = this.pathOf(`${String(position).padStart(20, '0')}.gz`);
    await writeSnapshot(path, linesOf(found), { position, recordedAt, eventId: id });
    const { size: bytes } = await stat(path);
    this.snapshots.push({ path, position, recordedAt, bytes });
    this.pending = undefined;
    await this.thin();
  }

  /** Drops those whose neighbours are closest to each other. The newest is what the next one is made from, and stays. */
  private async thin(): Promise<void> {
    while (this.snapshots.length > Math.max(1, this.mostSnapshots)) {
      const gaps = this.snapshots.slice(0, -1).map((_, index) => {
        return (this.snapshots[index + 1]?.position ?? 0n) - (this.snapshots[index - 1]?.position ?? 0n);
      });
      const least = gaps.reduce((best, gap, index) => (gap < (gaps[best] ?? gap) ? index : best), 0);
      // Whoever reads it at this moment goes on: the file is gone only when it is closed.
      await this.forget(this.snapshots[least]);
    }
  }

  private async forget(snapshot: Snapshot | undefined): Promise<void> {
    if (!snapshot) return;
    this.snapshots = this.snapshots.filter((one) => one !== snapshot);
    await rm(snapshot.path, { force: true });
  }

  private async snapshotBefore({ position, recordedUntil, happenedUntil }: Cut): Promise<Snapshot | undefined> {
    // What was recorded before the time known, and before what is asked about, had happened by then too.
    const until = [recordedUntil, happenedUntil].filter((one) => one !== undefined).sort()[0];
    const early = ({ position: its, recordedAt }: Snapshot): boolean =>
      (position === undefined || its <= position) && (until === undefined || recordedAt <= until);
    for (const snapshot of this.snapshots.filter(early).reverse()) {
      if (await this.isSound(snapshot.path)) return snapshot;
      await this.forget(snapshot);
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

  /** Finds what an earlier run has left that is of this log and of this version; what other versions left goes. */
  private async open(signal: AbortSignal): Promise<boolean> {
    const { folder, version } = this.options;
    if (this.directory !== undefined || folder === undefined) return this.directory !== undefined;
    const first = await this.eventFrom(0n, signal);
    if (!first) return false;
    const own = `${first.id}-${version}-${SNAPSHOT_FORMAT}`;
    const directory = join(folder, own);
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(folder)) {
      if (name.startsWith(`${first.id}-`) && name !== own)
        await rm(join(folder, name), { recursive: true, force: true });
    }
    this.snapshots = [];
    for (const name of (await readdir(directory)).sort()) {
      const path = join(directory, name);
      if (name.endsWith('.gz')) await this.adopt(path, signal);
      else if (name.endsWith(TEMPORARY)) await removeAbandoned(path);
    }
    this.directory = directory;
    await this.adoptMarks(signal);
    this.reached = this.snapshots.at(-1)?.position ?? 0n;
    return true;
  }

  /** Takes a snapshot of this log; the rest of it is read and checked when it is needed. */
  private async adopt(path: string, signal: AbortSignal): Promise<void> {
    try {
      const { position, recordedAt, eventId } = await readSnapshotHead(path);
      if ((await this.eventAt(position, signal))?.id === eventId) {
        const { size: bytes } = await stat(path);
        this.snapshots.push({ path, position, recordedAt, bytes });
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

async function* linesOf(found: AsyncIterable<FoundKey[]>): AsyncGenerator<string[]> {
  for await (const keys of found) yield keys.map((one) => one.line ?? lineOf(one.keyId, one.key()));
}

async function removeAbandoned(path: string): Promise<void> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
  if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { force: true });
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
