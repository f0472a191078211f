import { AUDITED_STREAM_PREFIXES } from '@keyledger/contracts';
import { setTimeout as pause } from 'node:timers/promises';
import { positionOf, type Decoder, type Resolved } from './codec.js';
import type { Connection } from './connection.js';
import { feed, type EventBatch, type SubscribeOptions } from './feed.js';

/** How many of the newest events are held for readers who are not there yet. An event of ours takes a few KB. */
const HELD = 2048;
/** A reader who is only passed by is told so often how far the log has come. */
const TELL_EVERY = HELD / 2;
const DEFAULT_MAX_BATCH = 500;
/**
 * A reader who was just given more than a few events is given the next ones so long after them, with what has come in that
 * time. Under load what he does for a batch (round trips, checkpoints) costs him more than what he does for an event; where
 * there is none, a change is not kept from him.
 */
const GATHER_MS = 20;
const FEW = 8;

/** An event of the log, read from the wire once; what its readers make of it is made once for all who make the same. */
class Held {
  private readonly made = new Map<Decoder<unknown>, unknown>();

  constructor(
    readonly stream: string,
    readonly position: bigint,
    private readonly resolved: Resolved,
  ) {}

  as<T>(decode: Decoder<T>): T | undefined {
    if (!this.made.has(decode)) this.made.set(decode, decode(this.resolved));
    return this.made.get(decode) as T | undefined;
  }
}

/**
 * The end of the log, followed once for all readers of a process who have caught up: one subscription on the wire, each
 * event parsed once, the newest of them held. It begins with its first reader and ends with its last. A reader who
 * falls further behind than what is held has to catch up by itself.
 */
export class Tail {
  private held: Held[] = [];
  /** How many events went before the first that is held. */
  private dropped = 0;
  /** Everything behind it and up to `position` that is ours is held. */
  private floor = 0n;
  private position = 0n;
  /** `undefined` until the store has said anything. */
  private live: boolean | undefined;
  /** Grows when the log has come further by nothing of ours. */
  private passed = 0;
  private failure: Error | undefined;
  private readonly readers = new Set<Reader<unknown>>();
  private running: AbortController | undefined;

  constructor(private readonly open: () => Connection) {}

  /** Whether a reader of these streams who has dealt with everything up to `after` misses nothing by following here. */
  admits(streamPrefixes: readonly string[], after: bigint): boolean {
    const ours = streamPrefixes.every((one) => AUDITED_STREAM_PREFIXES.some((prefix) => one.startsWith(prefix)));
    return ours && (!this.running || after >= this.floor);
  }

  /**
   * As `feed`, for a reader who is admitted. It ends when the signal aborts, and when the reader has fallen too far behind.
   * @throws CorruptEvent once everything before that event was given
   */
  async *follow<T>(options: SubscribeOptions, decode: Decoder<T>): AsyncGenerator<EventBatch<T>, void, undefined> {
    const after = options.after === 'start' ? 0n : options.after;
    if (!this.running) this.begin(after);
    if (after < this.floor) return;
    const reader = new Reader(options, decode, after, this.dropped + this.placeBehind(after), this.state());
    const { signal } = options;
    const onAbort = (): void => reader.wake();
    this.readers.add(reader);
    signal.addEventListener('abort', onAbort);
    if (this.failure) reader.disconnected(this.failure);
    try {
      while (!signal.aborted && reader.next >= this.dropped) {
        const batch = reader.take(this.held, this.state());
        if (!batch) {
          await reader.news();
          continue;
        }
        await options.beforeBatch?.();
        const { length } = batch.events;
        const givenAt = performance.now();
        yield batch;
        const leftMs = givenAt + GATHER_MS - performance.now();
        // A full one was not all that there was.
        if (length <= FEW || length >= reader.maxBatch || leftMs < 1) continue;
        await pause(leftMs, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.readers.delete(reader);
      if (this.readers.size === 0) this.end();
    }
  }

  private state(): TailState {
    const { dropped, position, live, passed } = this;
    return { dropped, position, live, passed };
  }

  private placeBehind(position: bigint): number {
    const place = this.held.findIndex((held) => held.position > position);
    return place < 0 ? this.held.length : place;
  }

  private begin(after: bigint): void {
    this.held = [];
    this.floor = this.position = after;
    this.live = undefined;
    this.failure = undefined;
    this.running = new AbortController();
    void this.run(this.running.signal, after);
  }

  private end(): void {
    this.running?.abort();
    this.running = undefined;
    this.dropped += this.held.length;
    this.held = [];
  }

  /** Never fails: what cannot be read fails for the readers who want to read it. */
  private async run(signal: AbortSignal, after: bigint): Promise<void> {
    const onState = (state: 'connected' | 'disconnected', error?: Error): void => {
      if (signal.aborted) return;
      this.failure = state === 'connected' ? undefined : (error ?? new Error('the subscription ended'));
      if (this.failure) this.live = false;
      for (const reader of this.readers) {
        if (this.failure) reader.disconnected(this.failure);
        else reader.options.onState?.('connected');
      }
    };
    const options = { after, streamPrefixes: AUDITED_STREAM_PREFIXES, signal, onState };
    for await (const batch of feed(this.open(), options, hold)) {
      if (signal.aborted) return;
      this.add(batch);
    }
  }

  private add({ events, position, live }: EventBatch<Held>): void {
    for (const event of events) this.held.push(event);
    this.position = position;
    if (events.length === 0) this.passed += 1;
    const changed = live !== this.live;
    this.live = live;
    const end = this.dropped + this.held.length;
    for (const reader of this.readers) {
      if (changed || events.length === 0 || reader.wants(events) || end - reader.next >= TELL_EVERY) reader.wake();
    }
    const surplus = this.held.length - HELD;
    // Not one by one: what is dropped has to be moved up each time.
    if (surplus < HELD / 2) return;
    this.floor = this.held[surplus - 1]?.position ?? this.floor;
    this.held = this.held.slice(surplus);
    this.dropped += surplus;
  }
}

interface TailState {
  dropped: number;
  position: bigint;
  live: boolean | undefined;
  passed: number;
}

/** Where one reader stands in what the tail holds. `next` counts the events since the tail was made. */
class Reader<T> {
  wake: () => void = () => undefined;
  private failure: Error | undefined;
  /** What the reader knows. It has come here with everything, so it is told of it only when that changes. */
  private readonly told: { position: bigint; next: number; live: boolean; passed: number };
  readonly maxBatch: number;

  constructor(
    readonly options: SubscribeOptions,
    private readonly decode: Decoder<T>,
    after: bigint,
    public next: number,
    { live, passed }: TailState,
  ) {
    this.told = { position: after, next, live: live ?? true, passed };
    this.maxBatch = options.maxBatch ?? DEFAULT_MAX_BATCH;
  }

  wants(events: readonly Held[]): boolean {
    return events.some((held) => this.isWanted(held));
  }

  news(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve));
  }

  disconnected(failure: Error): void {
    this.told.live = false;
    this.options.onState?.('disconnected', failure);
  }

  /** What there is for this reader; `undefined`: nothing yet. */
  take(held: readonly Held[], tail: TailState): EventBatch<T> | undefined {
    const { told } = this;
    const end = tail.dropped + held.length;
    const events = this.failure === undefined ? this.read(held, tail.dropped) : [];
    const atEnd = this.next === end && this.failure === undefined;
    const reached = atEnd ? tail.position : (held[this.next - tail.dropped - 1]?.position ?? 0n);
    const position = reached > told.position ? reached : told.position;
    const live = atEnd && (tail.live ?? told.live);
    const passed = atEnd ? tail.passed : told.passed;
    const isNews = live !== told.live || passed !== told.passed || this.next - told.next >= TELL_EVERY;
    if (events.length === 0 && this.failure !== undefined) throw this.failure;
    if (events.length === 0 && !isNews) return undefined;
    Object.assign(told, { position, next: this.next, live, passed });
    return { events, position, live };
  }

  private read(held: readonly Held[], dropped: number): T[] {
    const { maxBatch } = this;
    const events: T[] = [];
    for (; this.next < dropped + held.length && events.length < maxBatch; this.next += 1) {
      const one = held[this.next - dropped] as Held;
      if (one.position <= this.told.position || !this.isWanted(one)) continue;
      try {
        const event = one.as(this.decode);
        if (event) events.push(event);
      } catch (error) {
        this.failure = error as Error;
        break;
      }
    }
    return events;
  }

  private isWanted({ stream }: Held): boolean {
    return this.options.streamPrefixes.some((prefix) => stream.startsWith(prefix));
  }
}

function hold(resolved: Resolved): Held | undefined {
  const { event, link } = resolved;
  if (link || !event || event.streamId.startsWith('$')) return undefined;
  return new Held(event.streamId, positionOf(resolved), resolved);
}
