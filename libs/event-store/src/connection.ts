import { ErrorType, isCommandError, KurrentDBClient, type WrongExpectedVersionError } from '@kurrent/kurrentdb-client';
import { widen } from './client-channel.js';
import { parseConnectionString, type StoreAddress } from './connection-string.js';
import { EventStoreRefused, EventStoreUnavailable, RevisionConflict } from './errors.js';

/** A client is replaced at most this often, because its native half is never freed (some 100 KB). */
const REPLACE_EVERY_MS = 30_000;
/** But one that never reached a node sooner, at growing intervals: services start in any order. */
const FIRST_REPLACE_AFTER_MS = 500;

/** Whether a failed call may have changed the store. Appends and reads also take different ways through the client. */
type Effect = 'none' | 'append';

/**
 * One client of the official library with what it lacks: a bound on every call, one vocabulary of errors, and a
 * replacement when it has gone deaf. (Left alone it writes for ever into an append stream that the server has ended
 * without an error, and keeps some failures of its first call, a refused connection too, as the answer to all later ones.)
 */
export class Connection {
  private readonly address: StoreAddress;
  private current: KurrentDBClient;
  private replacedAt = -Infinity;
  private readonly heardAt = { none: 0, append: 0 };
  /** Whether the current client has ever had an answer to a read; one that never had gets none any more. */
  private connected = false;
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
  async call<T>(effect: Effect, run: (client: KurrentDBClient) => Promise<T>, timeoutMs = this.timeoutMs): Promise<T> {
    const sentAt = performance.now();
    try {
      const result = await within(timeoutMs, run(this.current));
      this.heard(effect);
      return result;
    } catch (error) {
      throw this.translate(error, effect, sentAt);
    }
  }

  translate(error: unknown, effect: Effect, sentAt = 0): Error {
    if (error instanceof NoAnswer) {
      this.unheard(effect, sentAt);
      return this.unavailable(
        `gave no answer within ${Math.round(error.timeoutMs)} ms`,
        effect === 'append' ? 'unknown' : 'not-done',
      );
    }
    if (error instanceof RevisionConflict || error instanceof EventStoreRefused) {
      this.heard(effect);
      return error;
    }
    if (error instanceof EventStoreUnavailable) return error;
    const text = error instanceof Error ? this.address.scrub(error.message) : String(error);
    if (!(error instanceof Error) || !isCommandError(error)) {
      // What is not the client's own error comes from before a call is sent: no connection, no node found.
      if ((error as { code?: unknown }).code !== GRPC_UNAVAILABLE) this.replace();
      return this.unavailable(`cannot be reached: ${text}`, 'not-done');
    }
    switch (error.type) {
      case ErrorType.WRONG_EXPECTED_VERSION:
        this.heard(effect);
        return conflict(error);
      case ErrorType.STREAM_DELETED:
      case ErrorType.STREAM_TOMBSTONED:
        this.heard(effect);
        return new EventStoreRefused('the stream was deleted for ever', 'stream-deleted');
      case ErrorType.ACCESS_DENIED:
        this.heard(effect);
        return new EventStoreRefused(`the event store at ${this.address.shown} denies access`, 'access-denied');
      case ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED:
        this.heard(effect);
        return new EventStoreRefused('the events are larger than the event store takes at once', 'too-large');
      case ErrorType.INVALID_ARGUMENT:
        return new EventStoreRefused(text, 'invalid');
      case ErrorType.UNAVAILABLE:
        if (effect === 'none' && !this.connected) this.replaceUnborn();
        return this.unavailable('cannot be reached', effect === 'append' ? 'unknown' : 'not-done');
      default:
        return this.unavailable(`failed: ${text || error.type}`, effect === 'append' ? 'unknown' : 'not-done');
    }
  }

  unavailable(problem: string, outcome: EventStoreUnavailable['outcome']): EventStoreUnavailable {
    return new EventStoreUnavailable(`the event store at ${this.address.shown} ${problem}`, outcome);
  }

  /** Something came back from the store. */
  heard(effect: Effect): void {
    this.heardAt[effect] = performance.now();
    if (effect === 'append') return;
    this.connected = true;
    this.unbornPauseMs = FIRST_REPLACE_AFTER_MS;
  }

  /** Nothing came back in time for what was sent then. If nothing else did either, the next call gets a new client. */
  unheard(effect: Effect, sentAt: number): void {
    if (this.heardAt[effect] < sentAt) this.replace();
  }

  private replace(): void {
    if (performance.now() - this.replacedAt < this.replaceEveryMs) return;
    this.replacedAt = performance.now();
    const deaf = this.current;
    this.current = this.open();
    this.connected = false;
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
