import type { Readable } from 'node:stream';
import { clientErrorOf } from './client-channel.js';
import type { Connection } from './connection.js';
import { decodeReadResponse, type ReadNews } from './read-wire.js';

const INTERNAL = 13;

/** One call of Read: its messages for somebody who takes them at his own pace, while the server waits. */
export class ReadCall {
  /** The server has ended it, after all that it had to say. */
  ended = false;
  /** What it has failed with, in our own words; what had come before can still be taken. */
  failure: Error | undefined;
  /** It failed for no reason that the server gave: the call or its connection was broken off. */
  brokenOff = false;
  private messages: Buffer[] = [];
  private taken = 0;
  private telling = false;
  private left = false;

  /**
   * @param ahead how many messages are read ahead of who takes them; some dozen more are on their way through gRPC
   * @param onNews called once for all messages that arrive together, and when it is over
   */
  constructor(
    private readonly connection: Connection,
    private readonly stream: Readable & { cancel(): void },
    private readonly ahead: number,
    private readonly onNews: () => void,
  ) {
    stream
      .on('data', (message: Buffer) => this.arrived(message))
      .on('end', () => {
        this.ended = true;
        onNews();
      })
      // It stays: what is heard after the call was left must not end the process.
      .on('error', (error: Error) => {
        if (this.left || this.failure) return;
        this.failure = connection.translate(clientErrorOf(error), 'channel');
        this.brokenOff = (error as { code?: unknown }).code === INTERNAL;
        onNews();
      });
  }

  /** How many messages have come and were not taken. */
  get waiting(): number {
    return this.messages.length - this.taken;
  }

  /** The next message, read only now. @throws EventStoreUnavailable for what cannot be read */
  take(): ReadNews {
    const message = this.messages[this.taken];
    if (message === undefined) return undefined;
    this.taken += 1;
    // Not only when the last is taken: until then the server would have nothing to do, and after it this process nothing.
    if (this.waiting <= this.ahead / 2 && this.stream.isPaused()) this.stream.resume();
    if (this.waiting === 0 || this.taken >= this.ahead) {
      this.messages = this.messages.slice(this.taken);
      this.taken = 0;
    }
    try {
      return decodeReadResponse(message);
    } catch (error) {
      throw this.connection.unavailable(`says what cannot be read: ${(error as Error).message}`, 'not-done');
    }
  }

  /** Cancels it. */
  leave(): void {
    this.drop();
    this.stream.destroy();
    // Destroying the stream leaves the call open, at both ends and with all that is on its way.
    if (!this.ended) this.stream.cancel();
  }

  /** Listens no more to one that the server is about to end: servers close the connection on who cancels too many. */
  letEnd(): void {
    this.drop();
    this.stream.resume();
  }

  private drop(): void {
    this.left = true;
    this.messages = [];
    this.taken = 0;
  }

  private arrived(message: Buffer): void {
    if (this.left) return;
    this.messages.push(message);
    if (this.waiting >= this.ahead) this.stream.pause();
    if (this.telling) return;
    this.telling = true;
    // gRPC hands over what came together message by message, each in a turn of its own of the microtasks.
    setImmediate(() => {
      this.telling = false;
      if (!this.left) this.onNews();
    });
  }
}
