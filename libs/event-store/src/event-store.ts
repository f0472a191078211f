import type { RecordedEvent } from '@keyledger/contracts';
import type { KurrentDBClient, ResolvedEvent } from '@kurrent/kurrentdb-client';
import { setMaxListeners } from 'node:events';
import { Appending, APPENDS_WAITING, type Append, type Appended } from './appending.js';
import { decode, decodeStored, positionOf, type Decoder, type NewEvent, type StoredEvent } from './codec.js';
import { Connection } from './connection.js';
import { CorruptEvent } from './errors.js';
import type { EventBatch, SubscribeOptions } from './feed.js';
import { joinedSignal } from './joined-signal.js';
import { readLog, readNewest } from './log-reading.js';
import type { ReadDirection } from './read-wire.js';
import { readStored, type ReadStoredOptions } from './stored-reading.js';
import { subscribe } from './subscription.js';
import { Tail } from './tail.js';

export interface EventStoreOptions {
  /** A connection string of the official client: `kurrentdb://…`, `esdb://…`, `+discover`, several hosts. */
  url: string;
  /** How long one call may take; an append with its repetitions takes at most twice that. */
  timeoutMs?: number;
}

/** A pass over the log that ends. */
export interface ReadAllOptions {
  direction: ReadDirection;
  /** Exclusive: forwards what is behind it, backwards what is before it; left out, from the log's own end. */
  from?: bigint;
  /** Forwards: with the event at `from` itself. */
  inclusive?: boolean;
  streamPrefixes: readonly string[];
  /** Events at most; else as far as the log goes when this begins. */
  limit?: number;
  signal?: AbortSignal;
}

/** A pass over one stream that ends. */
export interface ReadStreamOptions {
  direction: ReadDirection;
  /** Inclusive; left out, from the stream's own end. */
  fromRevision?: number;
  limit?: number;
  signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 5000;

/**
 * The log of events, behind three verbs. Safe to share; one per process is enough. Every method throws what
 * `errors.ts` names and nothing else, and takes no longer than its bound.
 */
export class EventStore {
  private readonly url: string;
  private readonly timeoutMs: number;
  private readonly connection: Connection;
  private readonly appending: Appending;
  private readonly closing = new AbortController();
  private readonly tail: Tail;

  /** Connects on first use. @throws RangeError for a URL that cannot be read; no error ever shows its password */
  constructor({ url, timeoutMs = DEFAULT_TIMEOUT_MS }: EventStoreOptions) {
    this.url = url;
    this.timeoutMs = timeoutMs;
    this.connection = new Connection(url, timeoutMs);
    // As many appends may pause at once as may wait.
    setMaxListeners(2 * APPENDS_WAITING, this.closing.signal);
    this.tail = new Tail(() => new Connection(url, timeoutMs));
    const readSome = (stream: string, fromRevision: number, maxCount: number): Promise<ResolvedEvent[]> =>
      this.read((client) => client.readStream(stream, { fromRevision: BigInt(fromRevision), maxCount }));
    this.appending = new Appending(this.connection, readSome, this.closing.signal);
  }

  /**
   * A whole stream in its order; revision -1 if there is none.
   * @throws CorruptEvent, EventStoreRefused for a stream that was deleted for ever, EventStoreUnavailable (`not-done`)
   */
  async load(stream: string): Promise<{ events: RecordedEvent[]; revision: number }> {
    const resolved = await this.read((client) => client.readStream(stream));
    for (const [index, { event, link }] of resolved.entries()) {
      const revision = Number((link ?? event)?.revision ?? index);
      if (revision === index) continue;
      throw new CorruptEvent(stream, index, 'gap', `the next event that is there has revision ${revision}`);
    }
    return { events: resolved.flatMap((one) => decode(one) ?? []), revision: resolved.length - 1 };
  }

  /**
   * Appends all events or none, exactly behind `expectedRevision` (-1: as the first of the stream), and resolves once
   * they are durable. An outcome that got lost is asked for again with the same ids and the same revision, and
   * a conflict after one is looked into: were those our own events? So a resolved append happened exactly once.
   * @throws RevisionConflict, EventStoreRefused: nothing was appended; EventStoreUnavailable: see its `outcome`
   */
  async append(stream: string, expectedRevision: number, events: readonly NewEvent[]): Promise<Appended> {
    const [outcome] = await this.appending.all([{ stream, expectedRevision, events }]);
    if (outcome instanceof Error) throw outcome;
    return outcome as Appended;
  }

  /**
   * Many appends to as many streams, each as `append` makes it and none behind another, for a good deal less than as
   * many calls of that. What became of each comes in their order; the errors are those of `append`.
   */
  appendAll(appends: readonly Append[]): Promise<(Appended | Error)[]> {
    return this.appending.all(appends);
  }

  /**
   * Every event of the streams with the given name prefixes, in log order, from behind `after` on and for ever: it
   * resubscribes by itself. Those who have caught up share one subscription on the wire. It ends when `signal` aborts or
   * the loop over it is left.
   * @throws CorruptEvent once everything before that event was given
   */
  subscribe(options: SubscribeOptions): AsyncIterable<EventBatch> {
    return this.follow(options, decode);
  }

  /**
   * As `subscribe`, but every event as it is stored, whatever its type or shape: nothing is upcast, nothing is refused.
   */
  subscribeStored(options: SubscribeOptions): AsyncIterable<EventBatch<StoredEvent>> {
    return this.follow(options, decodeStored);
  }

  /**
   * What `subscribeStored` brings, at least as far as the log goes when this begins, and then it ends.
   * @throws EventStoreUnavailable, EventStoreRefused when several attempts in a row brought nothing
   */
  async *readStored(options: ReadStoredOptions): AsyncGenerator<StoredEvent[], void, undefined> {
    options.signal?.throwIfAborted();
    const end = await this.head();
    if (end === 0n || (options.after !== 'start' && options.after >= end)) return;
    yield* this.untilClosed(options.signal, (signal) =>
      readStored(new Connection(this.url, this.timeoutMs), options, signal),
    );
  }

  /**
   * Events of the streams with the given name prefixes, oldest or newest first, in batches as they arrive; while the
   * reader works on one the store waits. It shares one connection with other reads, and ends when its loop is left.
   * @throws CorruptEvent, EventStoreUnavailable, EventStoreRefused; what `signal` aborts with
   */
  async *readAll(options: ReadAllOptions): AsyncGenerator<RecordedEvent[], void, undefined> {
    const { direction, from, inclusive = false, streamPrefixes, limit } = options;
    const forwards = direction === 'forwards';
    if (!forwards && from === 0n) return;
    const start = from === undefined || (forwards && from <= 0n) ? (forwards ? 'start' : 'end') : from;
    // Forwards the server begins with the event at the very position, which is not asked for.
    const most = limit === undefined || start === 'start' || !forwards ? limit : limit + 1;
    const spec = {
      direction,
      of: { streamPrefixes },
      from: start,
      ...(most !== undefined && { limit: most }),
    } as const;
    let left = limit ?? Infinity;
    const connection = this.openConnection();
    for await (const batch of this.untilClosed(options.signal, (signal) => readLog(connection, spec, signal))) {
      const events = batch
        .flatMap((one) => decode(one) ?? [])
        .filter(({ position }) => !forwards || from === undefined || inclusive || position > from)
        .slice(0, left);
      left -= events.length;
      if (events.length > 0) yield events;
      if (left === 0) return;
    }
  }

  /** The event at exactly this position, as `readStored` gives it; none if none of these streams stands there. */
  async storedAt(position: bigint, streamPrefixes: readonly string[]): Promise<StoredEvent | undefined> {
    const spec = { direction: 'forwards', of: { streamPrefixes }, from: position, limit: 1 } as const;
    for await (const [found] of readLog(this.openConnection(), spec, this.closing.signal)) {
      const event = found && decodeStored(found);
      return event?.position === position ? event : undefined;
    }
    return undefined;
  }

  /** The events of one stream, as `readAll`; none if there is no such stream. */
  async *readStream(stream: string, options: ReadStreamOptions): AsyncGenerator<RecordedEvent[], void, undefined> {
    const { direction, fromRevision, limit } = options;
    const from = fromRevision === undefined ? (direction === 'forwards' ? 'start' : 'end') : BigInt(fromRevision);
    const spec = { direction, of: { stream }, from, ...(limit !== undefined && { limit }) } as const;
    const connection = this.openConnection();
    for await (const batch of this.untilClosed(options.signal, (signal) => readLog(connection, spec, signal))) {
      yield batch.flatMap((one) => decode(one) ?? []);
    }
  }

  /** Position of the newest event of the log, the store's own included; 0 if it is empty. */
  async head(): Promise<bigint> {
    const [newest] = await this.read(readNewest);
    return newest ? positionOf(newest) : 0n;
  }

  /** Resolves if the store answers a read. @throws EventStoreUnavailable, EventStoreRefused */
  async ping(): Promise<void> {
    await this.head();
  }

  /** Ends all subscriptions and calls. Nothing of it keeps the process alive afterwards. */
  async dispose(): Promise<void> {
    this.closing.abort();
    await this.connection.close();
  }

  private follow<T>(options: SubscribeOptions, decoder: Decoder<T>): AsyncIterable<EventBatch<T>> {
    const ways = { tail: this.tail, open: () => new Connection(this.url, this.timeoutMs) };
    const begin = (signal: AbortSignal) => subscribe(ways, { ...options, signal }, decoder);
    return { [Symbol.asyncIterator]: () => this.untilClosed(options.signal, begin) };
  }

  private async read(start: (client: KurrentDBClient) => AsyncIterable<ResolvedEvent>): Promise<ResolvedEvent[]> {
    this.checkOpen();
    return this.connection.call('native', async (client) => {
      const resolved: ResolvedEvent[] = [];
      try {
        for await (const one of start(client)) resolved.push(one);
      } catch (error) {
        if ((error as { type?: unknown }).type !== 'stream-not-found') throw error;
      }
      return resolved;
    });
  }

  private openConnection(): Connection {
    this.checkOpen();
    return this.connection;
  }

  /** Reads until this store is disposed of, or the reader's own signal aborts. */
  private async *untilClosed<T>(
    own: AbortSignal | undefined,
    begin: (signal: AbortSignal) => AsyncGenerator<T, void, undefined>,
  ): AsyncGenerator<T, void, undefined> {
    const { signal, letGo } = joinedSignal(own, this.closing.signal);
    try {
      yield* begin(signal);
    } finally {
      letGo();
    }
  }

  private checkOpen(): void {
    if (this.closing.signal.aborted) throw this.connection.unavailable('is not used any more: disposed', 'not-done');
  }
}
