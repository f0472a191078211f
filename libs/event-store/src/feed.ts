import type { RecordedEvent } from '@keyledger/contracts';
import { setTimeout as pause } from 'node:timers/promises';
import { openRead } from './client-channel.js';
import { positionOf, type Decoder } from './codec.js';
import type { Connection } from './connection.js';
import { CorruptEvent } from './errors.js';
import { ReadCall } from './read-call.js';
import { Checkpoint, encodeSubscriptionRequest, type Position, type ReadNews } from './read-wire.js';

/** Events that arrived together. A batch may be empty: then only the position, or being live, is news. */
export interface EventBatch<T = RecordedEvent> {
  events: T[];
  /** All events at or before it are dealt with once this batch is; resume with `after: position`. */
  position: bigint;
  /**
   * Whether nothing more was waiting when this was read: the store had said so, and the local buffer was empty. How
   * far a slow reader is behind after that, `EventStore.head` tells.
   */
  live: boolean;
}

export interface SubscribeOptions {
  after: bigint | 'start';
  /** Prefixes of stream names, e.g. `key-`. */
  streamPrefixes: readonly string[];
  /** Events in one batch at most. Twice as many are read ahead of the reader at most. */
  maxBatch?: number;
  signal: AbortSignal;
  /**
   * Called and waited for when something has come and before it is read: what it finds out is younger than every event of
   * the batch that follows, and until then there are only bytes to keep. Must not throw.
   */
  beforeBatch?: () => Promise<void>;
  /** Told about every change; must not throw. A connection that is dead but not closed is noticed within 20 s. */
  onState?: (state: 'connected' | 'disconnected', error?: Error) => void;
}

const DEFAULT_MAX_BATCH = 500;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
/** The server tells how far it has looked each time it has looked at this many windows of 32 events. */
const CHECKPOINT_WINDOWS = 32;
/** While there is a log to catch up with, so long is waited for a batch that is worth its reader's round trips. */
const GATHER_MS = 5;
const WORTHWHILE = 250;

/** One subscription of its own for its reader, however many it takes on the wire. */
export async function* feed<T>(
  connection: Connection,
  { after, streamPrefixes, maxBatch = DEFAULT_MAX_BATCH, signal, beforeBatch, onState }: SubscribeOptions,
  decode: Decoder<T>,
): AsyncGenerator<EventBatch<T>, void, undefined> {
  let from = startBehind(after);
  let failures = 0;
  try {
    while (!signal.aborted) {
      const feed = new Feed(connection, {
        decode,
        from,
        streamPrefixes,
        maxBatch,
        signal,
        beforeBatch,
        onConnected: () => onState?.('connected'),
      });
      try {
        for (let batch = await feed.next(); batch; batch = await feed.next()) {
          failures = 0;
          from = feed.position;
          yield batch;
        }
      } catch (error) {
        if (error instanceof CorruptEvent) throw error;
        if (!signal.aborted) onState?.('disconnected', error as Error);
      } finally {
        feed.close();
      }
      const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures++);
      await pause(backoffMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await connection.close();
  }
}

/** No event of ours can stand at position 0, and an exclusive start there would skip the one that does. */
function startBehind(after: bigint | 'start'): Position | 'start' {
  return after === 'start' || after === 0n ? 'start' : { commit: after, prepare: after };
}

interface FeedOptions<T> {
  decode: Decoder<T>;
  from: Position | 'start';
  streamPrefixes: readonly string[];
  maxBatch: number;
  signal: AbortSignal;
  beforeBatch: SubscribeOptions['beforeBatch'] | undefined;
  onConnected: () => void;
}

interface Announced {
  most: number;
  told: Promise<void> | undefined;
}

/** One subscription on the wire, until it fails. Reads ahead by two batches and not further: then the server waits. */
class Feed<T> {
  private call: ReadCall | undefined;
  private readonly confirmation: NodeJS.Timeout;
  private readonly onNews = (): void => this.wake();
  private wake: () => void = () => undefined;
  private failure: Error | undefined;
  private unreadable = false;
  private caughtUp = false;
  private closed = false;
  private reached: Position | 'start';
  /** That a batch comes was said, and of how many messages at most. */
  private announced: Announced | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly options: FeedOptions<T>,
  ) {
    this.reached = options.from;
    const sentAt = performance.now();
    this.confirmation = setTimeout(() => {
      connection.unheard('channel', sentAt);
      this.fail(connection.unavailable(`did not begin a subscription within ${connection.timeoutMs} ms`, 'not-done'));
    }, connection.timeoutMs);
    options.signal.addEventListener('abort', this.onNews);
    this.open().catch((error: unknown) => this.fail(connection.translate(error, 'channel')));
  }

  /** Up to where everything was handed out. */
  get position(): Position | 'start' {
    return this.reached;
  }

  /** The next batch as soon as there is anything; `undefined` once the signal has aborted. Throws when the feed ends. */
  async next(): Promise<EventBatch<T> | undefined> {
    for (;;) {
      if (!this.announced && this.gathers()) await this.gather();
      const { most, told } = this.announced ?? this.announce();
      this.announced = undefined;
      await told;
      if (this.options.signal.aborted) return undefined;
      const batch = this.take(most);
      if (batch) {
        // Whoever is told of the next one has its answer when this one is dealt with.
        if (!this.caughtUp && (this.call?.waiting ?? 0) >= this.worthwhile) this.announced = this.announce();
        return batch;
      }
      // Of what came while somebody was told nobody is woken again.
      if ((this.call?.waiting ?? 0) > 0 && !this.unreadable) continue;
      const failure = this.failure ?? this.call?.failure;
      if (failure) throw failure;
      if (this.call?.ended) throw this.connection.unavailable('ended the subscription', 'not-done');
      await this.news();
    }
  }

  private announce(): Announced {
    const most = this.call?.waiting ?? 0;
    return { most, told: most > 0 && !this.unreadable ? this.options.beforeBatch?.() : undefined };
  }

  private get worthwhile(): number {
    return Math.min(WORTHWHILE, this.options.maxBatch);
  }

  /** Whether more is on its way, for all that is known, and too little has come. Once caught up nothing waits. */
  private gathers(): boolean {
    const { call, options } = this;
    if (!call || this.caughtUp || options.signal.aborted || this.failure || call.failure || call.ended) return false;
    return call.waiting > 0 && call.waiting < this.worthwhile;
  }

  private async gather(): Promise<void> {
    let enough = false;
    const timer = setTimeout(() => {
      enough = true;
      this.wake();
    }, GATHER_MS);
    while (!enough && this.gathers()) await this.news();
    clearTimeout(timer);
  }

  private news(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve));
  }

  /** Cancels the call. */
  close(): void {
    this.closed = true;
    clearTimeout(this.confirmation);
    this.options.signal.removeEventListener('abort', this.onNews);
    this.call?.leave();
  }

  private async open(): Promise<void> {
    const { connection, options, reached: from } = this;
    const { streamPrefixes, maxBatch } = options;
    const request = encodeSubscriptionRequest({ from, streamPrefixes, checkpointWindows: CHECKPOINT_WINDOWS });
    this.call = new ReadCall(connection, await openRead(connection.client, request), 2 * maxBatch, this.onNews);
    if (this.closed) this.call.leave();
  }

  /** @param most how many of the messages that wait it may read */
  private take(most: number): EventBatch<T> | undefined {
    const { call, options } = this;
    if (!call) return undefined;
    const events: T[] = [];
    let isNews = false;
    for (let read = 0; read < most && events.length < options.maxBatch && !this.unreadable; read++) {
      try {
        isNews = this.accept(call.take(), events) || isNews;
      } catch (error) {
        this.unreadable = true;
        this.failure = error as Error;
      }
    }
    if (!isNews) return undefined;
    const position = this.reached === 'start' ? 0n : this.reached.commit;
    return { events, position, live: this.caughtUp && call.waiting === 0 };
  }

  /** Takes one item in, in the order in which the server said it. If it throws, the position stays in front of it. */
  private accept(news: ReadNews, events: T[]): boolean {
    if (typeof news === 'string') return this.hear(news);
    if (news === undefined) return false;
    if (news instanceof Checkpoint) {
      this.reached = news.position;
      return true;
    }
    const event = this.options.decode(news);
    if (event) events.push(event);
    const commit = positionOf(news);
    this.reached = { commit, prepare: (news.link ?? news.event)?.position.prepare ?? commit };
    return true;
  }

  private hear(notice: ReadNews & string): boolean {
    if (notice === 'confirmed') {
      clearTimeout(this.confirmation);
      this.connection.heard('channel');
      this.options.onConnected();
      return false;
    }
    if (notice === 'stream-not-found') return false;
    this.caughtUp = notice === 'caught-up';
    return true;
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }
}
