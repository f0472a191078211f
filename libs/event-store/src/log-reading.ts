import { denialIn, openRead } from './client-channel.js';
import type { Connection } from './connection.js';
import { decodeReadResponse, encodeReadRequest, type RawResolved, type ReadSpec } from './read-wire.js';

/** Messages taken from the wire together. The same number bounds what is read ahead of the reader. */
const BATCH = 500;

/** Tries of a read whose call is broken off before anything came: somebody else's may have ended the connection. */
const TRIES = 3;

const INTERNAL = 13;

/**
 * One read that ends, in either direction, over the client's own channel. The client's `readAll` and `readStream` give
 * `created` in whole seconds and cannot be left halfway; this gives milliseconds, as subscriptions do, and ends with its
 * reader. While the reader is slow the server waits.
 *
 * @throws EventStoreUnavailable if nothing came for the connection's timeout, EventStoreRefused
 */
export async function* readLog(
  connection: Connection,
  spec: ReadSpec,
  signal: AbortSignal,
): AsyncGenerator<RawResolved[], void, undefined> {
  for (let tries = 1; ; tries += 1) {
    try {
      yield* readOnce(connection, spec, signal);
      return;
    } catch (error) {
      if (!(error instanceof BrokenOff)) throw error;
      if (tries === TRIES) throw error.failure;
    }
  }
}

/** The call ended before it had brought anything, and not because the store cannot be reached. */
class BrokenOff extends Error {
  constructor(readonly failure: Error) {
    super(failure.message);
  }
}

async function* readOnce(
  connection: Connection,
  spec: ReadSpec,
  signal: AbortSignal,
): AsyncGenerator<RawResolved[], void, undefined> {
  signal.throwIfAborted();
  const stream = await connection.call('none', (client) => openRead(client, encodeReadRequest(spec)));
  let wake: () => void = () => undefined;
  let over = false;
  let begun = false;
  let endsItself = spec.limit !== undefined && spec.limit <= BATCH;
  let failure: Error | undefined;
  const onAbort = (): void => wake();
  stream
    .on('readable', () => wake())
    .on('end', () => ((over = true), wake()))
    .on('error', (error: Error) => {
      // What a reader who has left hears is that his reading was cancelled.
      if (!stream.destroyed) failure ??= begun ? translated(connection, error) : beforeAnything(connection, error);
      wake();
    });
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      const batch: RawResolved[] = [];
      while (batch.length < BATCH) {
        const bytes = stream.read() as Buffer | null;
        if (bytes === null) break;
        begun = true;
        const resolved = decodeReadResponse(bytes);
        if (resolved === 'stream-not-found') {
          endsItself = true;
          return;
        }
        if (resolved) batch.push(resolved);
      }
      if (batch.length > 0) {
        connection.heard('none');
        yield batch;
        continue;
      }
      if (failure) throw failure;
      if (over) return;
      const sentAt = performance.now();
      const silent = setTimeout(() => {
        connection.unheard('none', sentAt);
        failure ??= connection.unavailable(`gave nothing for ${connection.timeoutMs} ms`, 'not-done');
        wake();
      }, connection.timeoutMs);
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (stream.readableLength > 0 || over || failure || signal.aborted) resolve();
      });
      clearTimeout(silent);
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // One that the server is about to end is let run out: servers close the connection on whoever cancels too many calls.
    if (endsItself && !failure && !signal.aborted) stream.removeAllListeners('readable').resume();
    else {
      stream.destroy();
      // Destroying the stream leaves the call open, at both ends and with all that is on its way.
      if (!over) stream.cancel();
    }
  }
}

function beforeAnything(connection: Connection, error: Error): Error {
  const failure = translated(connection, error);
  return (error as { code?: unknown }).code === INTERNAL ? new BrokenOff(failure) : failure;
}

function translated(connection: Connection, error: Error): Error {
  return denialIn(error) ?? connection.translate(error, 'none');
}
