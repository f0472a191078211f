import { openRead } from './client-channel.js';
import type { Connection } from './connection.js';
import { ReadCall } from './read-call.js';
import { Checkpoint, encodeReadRequest, type RawResolved, type ReadSpec } from './read-wire.js';

/** Messages taken from the wire together. The same number bounds what is read ahead of the reader. */
const BATCH = 500;

/** Tries of a read whose call is broken off before anything came: somebody else's may have ended the connection. */
const TRIES = 3;

/**
 * One read that ends, in either direction, over the client's own channel. The client's `readAll` and `readStream` give
 * `created` in whole seconds and cannot be left halfway; this gives milliseconds and ends with its reader. While the
 * reader is slow the server waits.
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
  const onNews = (): void => wake();
  const call = new ReadCall(connection, stream, BATCH, onNews);
  let begun = false;
  let silence: Error | undefined;
  let endsItself = spec.limit !== undefined && spec.limit <= BATCH;
  signal.addEventListener('abort', onNews);
  try {
    for (;;) {
      signal.throwIfAborted();
      begun ||= call.waiting > 0;
      const batch = take(call);
      if (!batch) {
        endsItself = true;
        return;
      }
      if (batch.length > 0) {
        connection.heard('none');
        yield batch;
        continue;
      }
      if (call.failure) throw call.brokenOff && !begun ? new BrokenOff(call.failure) : call.failure;
      if (silence) throw silence;
      if (call.ended) return;
      const sentAt = performance.now();
      const silent = setTimeout(() => {
        connection.unheard('none', sentAt);
        silence = connection.unavailable(`gave nothing for ${connection.timeoutMs} ms`, 'not-done');
        wake();
      }, connection.timeoutMs);
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (call.waiting > 0 || call.ended || call.failure || signal.aborted) resolve();
      });
      clearTimeout(silent);
    }
  } finally {
    signal.removeEventListener('abort', onNews);
    if (endsItself && !call.failure && !silence && !signal.aborted) call.letEnd();
    else call.leave();
  }
}

/** What has come, up to a batch of it; `undefined` once it is said that there is nothing. */
function take(call: ReadCall): RawResolved[] | undefined {
  const batch: RawResolved[] = [];
  while (batch.length < BATCH && call.waiting > 0) {
    const news = call.take();
    if (news === 'stream-not-found') return undefined;
    if (typeof news === 'object' && !(news instanceof Checkpoint)) batch.push(news);
  }
  return batch;
}
