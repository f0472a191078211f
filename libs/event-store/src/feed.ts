import type { RecordedEvent } from '@keyledger/contracts';
import type { AllStreamResolvedEvent, KurrentDBClient, Position } from '@kurrent/kurrentdb-client';
import type { Transform } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { positionOf, type Decoder } from './codec.js';
import type { Connection } from './connection.js';
import { CorruptEvent } from './errors.js';

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
  /** Events in one batch at most. The same number bounds what is read ahead of the reader. */
  maxBatch?: number;
  signal: AbortSignal;
  /** Told about every change; must not throw. A connection that is dead but not closed is noticed within 20 s. */
  onState?: (state: 'connected' | 'disconnected', error?: Error) => void;
}

const DEFAULT_MAX_BATCH = 500;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
/** The server tells how far it has looked each time it has looked at this many windows of 32 events. */
const CHECKPOINT_WINDOWS = 32;

/** One subscription of its own for its reader, however many it takes on the wire. */
export async function* feed<T>(
  connection: Connection,
  { after, streamPrefixes, maxBatch = DEFAULT_MAX_BATCH, signal, onState }: SubscribeOptions,
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
  onConnected: () => void;
}

/** News about the log that is no event, standing among the events where the server said it. */
class Marker {
  constructor(
    readonly caughtUp: boolean | undefined,
    readonly position?: Position,
  ) {}
}

/** One subscription on the wire, until it fails. Reads ahead by `maxBatch` items and not further: then the server waits. */
class Feed<T> {
  private readonly subscription: Transform & ReturnType<KurrentDBClient['subscribeToAll']>;
  private readonly confirmation: NodeJS.Timeout;
  private readonly onAbort = (): void => this.wake();
  private wake: () => void = () => undefined;
  private failure: Error | undefined;
  private unreadable = false;
  private caughtUp = false;
  private reached: Position | 'start';

  constructor(
    private readonly connection: Connection,
    private readonly options: FeedOptions<T>,
  ) {
    const { from, streamPrefixes, maxBatch, signal, onConnected } = options;
    this.reached = from;
    const filter = {
      filterOn: 'streamName' as const,
      prefixes: [...streamPrefixes],
      checkpointInterval: CHECKPOINT_WINDOWS,
      checkpointReached: (_: unknown, position: Position) => this.mark(new Marker(undefined, position)),
    };
    // What the client gives is a Transform, and it tells all news from inside its own transform step: what is pushed
    // into it then stands behind the events before and ahead of the events after.
    this.subscription = connection.client.subscribeToAll(
      { fromPosition: from, filter },
      { highWaterMark: maxBatch },
    ) as unknown as typeof this.subscription;
    const sentAt = performance.now();
    this.confirmation = setTimeout(() => {
      connection.unheard('none', sentAt);
      this.fail(connection.unavailable(`did not begin a subscription within ${connection.timeoutMs} ms`, 'not-done'));
    }, connection.timeoutMs);
    this.subscription
      .on('confirmation', () => {
        clearTimeout(this.confirmation);
        connection.heard('none');
        onConnected();
      })
      .on('caughtUp', () => this.mark(new Marker(true)))
      .on('fellBehind', () => this.mark(new Marker(false)))
      .on('readable', () => this.wake())
      .on('error', (error) => this.fail(connection.translate(error, 'none')))
      .on('end', () => this.fail(connection.unavailable('ended the subscription', 'not-done')));
    signal.addEventListener('abort', this.onAbort);
  }

  /** Up to where everything was handed out. */
  get position(): Position | 'start' {
    return this.reached;
  }

  /** The next batch as soon as there is anything; `undefined` once the signal has aborted. Throws when the feed ends. */
  async next(): Promise<EventBatch<T> | undefined> {
    for (;;) {
      if (this.options.signal.aborted) return undefined;
      const batch = this.take();
      if (batch) return batch;
      if (this.failure) throw this.failure;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** Cancels the call. The error listener stays: what the client says after this must not end the process. */
  close(): void {
    clearTimeout(this.confirmation);
    this.options.signal.removeEventListener('abort', this.onAbort);
    this.subscription.unsubscribe().catch(() => undefined);
    this.subscription.destroy();
  }

  private take(): EventBatch<T> | undefined {
    const events: T[] = [];
    let news = false;
    while (events.length < this.options.maxBatch && !this.unreadable) {
      const item = this.subscription.read() as AllStreamResolvedEvent | Marker | null;
      if (item === null) break;
      news = this.accept(item, events) || news;
    }
    if (!news) return undefined;
    const position = this.reached === 'start' ? 0n : this.reached.commit;
    return { events, position, live: this.caughtUp && this.subscription.readableLength === 0 };
  }

  /** Takes one item in; false if it cannot be read, and then the position stays in front of it. */
  private accept(item: AllStreamResolvedEvent | Marker, events: T[]): boolean {
    if (item instanceof Marker) {
      this.caughtUp = item.caughtUp ?? this.caughtUp;
      this.reached = item.position ?? this.reached;
      return true;
    }
    try {
      const event = this.options.decode(item);
      if (event) events.push(event);
    } catch (error) {
      this.unreadable = true;
      this.failure = error as Error;
      return false;
    }
    const commit = positionOf(item);
    this.reached = { commit, prepare: (item.link ?? item.event)?.position.prepare ?? commit };
    return true;
  }

  private mark(marker: Marker): void {
    this.subscription.push(marker);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }
}
