/**
 * What the handlers need of gRPC beyond grpc-js's surface: answers in bulk with flow control, and failures as a status
 * with the trailers that clients look at. Messages are raw bytes in both directions; the codec is in `wire/`.
 */
import {
  Metadata,
  type MethodDefinition,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
  type StatusObject,
} from '@grpc/grpc-js';
import { MalformedMessage } from './wire/protobuf.js';
import { StoreUnavailable } from './writer.js';

/** Many encoded messages that travel as one write. */
export type MessageBatch = readonly Buffer[];

/** The face of a server-streaming or bidirectional call that answers use. */
export interface AnswerStream {
  readonly cancelled: boolean;
  write(batch: MessageBatch, done: () => void): unknown;
  end(): void;
  emit(event: 'error', status: Error): boolean;
  once(event: 'cancelled', listener: () => void): unknown;
}

/**
 * grpc-js sends one message, waits for the socket, and sends the next. Here a handler may write an array: its messages
 * go to HTTP/2 together, which joins them into few frames, and the write is done when flow control has let all of them
 * through.
 */
export const sendBatches: ServerInterceptor = (_method, call) => new BatchingCall(call);

class BatchingCall extends ServerInterceptingCall {
  constructor(private readonly next: ServerInterceptingCallInterface) {
    super(next);
  }

  /**
   * Answers with headers as soon as those of the call are here. The client's native half leaves Nagle's algorithm on and
   * holds back the request itself until its headers are acknowledged; without this our side would do that 40 ms later.
   */
  override start(listener: Parameters<ServerInterceptingCallInterface['start']>[0]): void {
    super.start(listener);
    this.next.sendMetadata(new Metadata());
  }

  override sendMessage(message: Buffer | MessageBatch, done: () => void): void {
    if (Buffer.isBuffer(message)) {
      this.next.sendMessage(message, done);
      return;
    }
    let open = message.length;
    const sent = (): void => {
      if (--open === 0) done();
    };
    for (const one of message) this.next.sendMessage(one, sent);
  }
}

export function rawMethod(
  path: string,
  streams: { request: boolean; response: boolean },
): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path,
    requestStream: streams.request,
    responseStream: streams.response,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

/**
 * The answering side of a call. One batch is on its way at a time: `send` resolves when the client's window has taken
 * it, or at once when the call is over, so a reader that does not read costs one batch and no time.
 */
export class Answers {
  #over = false;
  readonly #whenOver = new Set<() => void>();

  constructor(private readonly call: AnswerStream) {
    call.once('cancelled', () => this.#finish());
  }

  get over(): boolean {
    return this.#over || this.call.cancelled;
  }

  /** Calls back once when the client is gone or the status is sent. */
  whenOver(callback: () => void): void {
    if (this.over) callback();
    else this.#whenOver.add(callback);
  }

  send(batch: MessageBatch): Promise<void> {
    if (this.over || batch.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#whenOver.delete(settle);
        resolve();
      };
      this.#whenOver.add(settle);
      this.call.write(batch, settle);
    });
  }

  end(): void {
    if (this.over) return;
    this.call.end();
    this.#finish();
  }

  fail(error: unknown): void {
    if (this.over) return;
    this.call.emit('error', toStatus(error));
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    for (const callback of [...this.#whenOver]) callback();
    this.#whenOver.clear();
  }
}

/** A gRPC status with the trailers by which clients tell one failure from another. */
export class Refusal extends Error {
  override name = 'Refusal';

  constructor(
    readonly code: status,
    message: string,
    readonly trailers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export function streamDeleted(stream: string): Refusal {
  return new Refusal(status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });
}

export function stopping(): Refusal {
  return new Refusal(status.UNAVAILABLE, 'the event store is stopping');
}

/**
 * UNAVAILABLE makes clients reconnect and retry; INTERNAL makes them drop the connection too, so it is kept for what is
 * a fault of this program.
 */
export function toStatus(error: unknown): Error & Partial<StatusObject> {
  const failure = error as Error;
  const metadata = new Metadata();
  let code = status.INTERNAL;
  if (error instanceof Refusal) {
    code = error.code;
    for (const [name, value] of Object.entries(error.trailers)) setTrailer(metadata, name, value);
  } else if (error instanceof MalformedMessage) code = status.INVALID_ARGUMENT;
  else if (error instanceof StoreUnavailable) code = status.UNAVAILABLE;
  return Object.assign(new Error(failure.message), { code, details: failure.message, metadata });
}

/** Header values are ASCII; a stream's name may not be. */
function setTrailer(metadata: Metadata, name: string, value: string): void {
  metadata.set(name, /^[\x20-\x7e]*$/.test(value) ? value : encodeURIComponent(value));
}
