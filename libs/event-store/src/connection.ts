import { ErrorType, isCommandError, KurrentDBClient, type WrongExpectedVersionError } from '@kurrent/kurrentdb-client';
import { widen } from './client-channel.js';
import { parseConnectionString, type StoreAddress } from './connection-string.js';
import { EventStoreRefused, EventStoreUnavailable, RevisionConflict } from './errors.js';

/** A client is replaced at most this often, because its native half is never freed (some 100 KB). */
const REPLACE_EVERY_MS = 30_000;
/** But one that never reached a node sooner, at growing intervals: services start in any order. */
const FIRST_REPLACE_AFTER_MS = 500;

/**
 * The way of a call through the client, whose parts fail each by itself: reads of its native half, reads of our own over
 * its channel, and appends over its channel, before the first of which it asks once what the server can.
 */
type Way = 'native' | 'channel' | 'append';

/**
 * One client of the official library with what it lacks: a bound on every call, one vocabulary of errors, and a
 * replacement when it has gone deaf. (Left alone it writes for ever into an append stream that the server has ended
 * without an error, and keeps some failures of its first call, a refused connection too, as the answer to all later ones.)
 */
export class Connection {
  private readonly address: StoreAddress;
  private current: KurrentDBClient;
  private replacedAt = -Infinity;
  private readonly heardAt: Record<Way, number> = { native: 0, channel: 0, append: 0 };
  /** The ways by which the current client has had an answer. A failure before the first may be all that comes by it ever. */
  private readonly proven = new Set<Way>();
  private unbornPauseMs = FIRST_REPLACE_AFTER_MS;

  constructor(
    url: string,
    readonly timeoutMs: number,
    private readonly replaceEveryMs = REPLACE_EVERY_MS,
  ) {
    this.address = parseConnectionString(url);
    this.current = this.open();
  }

  get client(): KurrentDBClient {
    return this.current;
  }

  /**
   * Runs one call of the client.
   * @throws what `errors.ts` names, and nothing else: the client's own errors end here
   */
  async call<T>(
    way: Exclude<Way, 'channel'>,
    run: (client: KurrentDBClient) => Promise<T>,
    timeoutMs = this.timeoutMs,
  ): Promise<T> {
    const sentAt = performance.now();
    try {
      const result = await within(timeoutMs, run(this.current));
      this.heard(way);
      return result;
    } catch (error) {
      throw this.translate(error, way, sentAt);
    }
  }

  /** Begins a call over the channel, within the same bound. That it could be begun is no answer yet. @throws as `call` */
  async begin<T>(open: (client: KurrentDBClient) => Promise<T>): Promise<T> {
    const sentAt = performance.now();
    try {
      return await within(this.timeoutMs, open(this.current));
    } catch (error) {
      throw this.translate(error, 'channel', sentAt);
    }
  }

  translate(error: unknown, way: Way, sentAt = 0): Error {
    const outcome = way === 'append' ? 'unknown' : 'not-done';
    if (error instanceof NoAnswer) {
      this.unheard(way, sentAt);
      return this.unavailable(`gave no answer within ${Math.round(error.timeoutMs)} ms`, outcome);
    }
    if (error instanceof RevisionConflict || error instanceof EventStoreRefused) {
      this.heard(way);
      return error;
    }
    if (error instanceof EventStoreUnavailable) return error;
    const text = error instanceof Error ? this.address.scrub(error.message) : String(error);
    if (!(error instanceof Error) || !isCommandError(error)) {
      // What is not the client's own error comes from before a call is sent: no connection, no node found.
      if ((error as { code?: unknown }).code === GRPC_UNAVAILABLE) this.refused(way);
      else this.replace();
      return this.unavailable(`cannot be reached: ${text}`, 'not-done');
    }
    switch (error.type) {
      case ErrorType.WRONG_EXPECTED_VERSION:
        this.heard(way);
        return conflict(error);
      case ErrorType.STREAM_DELETED:
      case ErrorType.STREAM_TOMBSTONED:
        this.heard(way);
        return new EventStoreRefused('the stream was deleted for ever', 'stream-deleted');
      case ErrorType.ACCESS_DENIED:
        this.heard(way);
        return new EventStoreRefused(`the event store at ${this.address.shown} denies access`, 'access-denied');
      case ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED:
        this.heard(way);
        return new EventStoreRefused('the events are larger than the event store takes at once', 'too-large');
      case ErrorType.INVALID_ARGUMENT:
        return new EventStoreRefused(text, 'invalid');
      case ErrorType.UNAVAILABLE:
        this.refused(way);
        return this.unavailable('cannot be reached', outcome);
      default:
        return this.unavailable(`failed: ${text || error.type}`, outcome);
    }
  }

  unavailable(problem: string, outcome: EventStoreUnavailable['outcome']): EventStoreUnavailable {
    return new EventStoreUnavailable(`the event store at ${this.address.shown} ${problem}`, outcome);
  }

  /** Something came back from the store. */
  heard(way: Way): void {
    this.heardAt[way] = performance.now();
    this.proven.add(way);
    if (way !== 'channel') this.unbornPauseMs = FIRST_REPLACE_AFTER_MS;
  }

  /** Nothing came back in time for what was sent then. If nothing else did either, the next call gets a new client. */
  unheard(way: Way, sentAt: number): void {
    if (this.heardAt[way] < sentAt) this.replace();
  }

  /**
   * A refused channel the client opens anew by itself. By the other ways it may keep what it was told first for ever; before
   * appends it asks again what the server can whenever the channel was lost, so there it begins anew to be proven.
   */
  private refused(way: Way): void {
    if (way === 'channel') return;
    const wasProven = way === 'append' ? this.proven.delete(way) : this.proven.has(way);
    if (!wasProven) this.replaceUnborn();
  }

  private replace(): void {
    if (performance.now() - this.replacedAt < this.replaceEveryMs) return;
    this.replacedAt = performance.now();
    const deaf = this.current;
    this.current = this.open();
    this.proven.clear();
    void dispose(deaf);
  }

  private replaceUnborn(): void {
    if (performance.now() - this.replacedAt < this.unbornPauseMs) return;
    this.unbornPauseMs = Math.min(this.unbornPauseMs * 2, this.replaceEveryMs);
    this.replacedAt = -Infinity;
    this.replace();
  }

  /** Ends every call of the client, so that the process may exit. */
  close(): Promise<void> {
    return dispose(this.current);
  }

  private open(): KurrentDBClient {
    try {
      return widen(KurrentDBClient.connectionString(this.address.forClient));
    } catch (error) {
      // The client's parse error holds the whole string; its place and what it expected are enough.
      const { expected } = error as { expected?: unknown };
      const problem = typeof expected === 'string' ? `${expected} is expected` : (error as Error).message;
      throw new RangeError(`The event store's URL cannot be used: ${this.address.scrub(problem)}`);
    }
  }
}

const GRPC_UNAVAILABLE = 14;
const DISPOSE_TIMEOUT_MS = 1000;

class NoAnswer extends Error {
  constructor(readonly timeoutMs: number) {
    super();
  }
}

/** What comes after the bound is dropped, a failure included. */
function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer(timeoutMs)), timeoutMs);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function dispose(client: KurrentDBClient): Promise<void> {
  await within(DISPOSE_TIMEOUT_MS, client.dispose()).catch(() => undefined);
}

function conflict(error: WrongExpectedVersionError): RevisionConflict {
  const revisionOf = (state: unknown): number => (typeof state === 'bigint' ? Number(state) : -1);
  return new RevisionConflict(error.streamName, revisionOf(error.expectedState), revisionOf(error.actualState));
}
