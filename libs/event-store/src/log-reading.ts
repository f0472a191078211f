import type { KurrentDBClient, ResolvedEvent } from '@kurrent/kurrentdb-client';
import { openRead } from './client-channel.js';
import type { Connection } from './connection.js';
import { ReadCall } from './read-call.js';
import { Checkpoint, encodeReadRequest, type RawResolved, type ReadSpec } from './read-wire.js';

/** Messages taken from the wire together. The same number bounds what is read ahead of the reader. */
const BATCH = 500;

/** Tries of a read whose call is broken off before anything came: somebody else's may have ended the connection. */
const TRIES = 3;

/** How long a store may look through the whole log for the next event, as long as it answers other questions. */
const LONGEST_SEARCH_MS = 10 * 60_000;

/**
 * One read that ends, in either direction, over the client's own channel. The client's `readAll` and `readStream` give
 * `created` in whole seconds and cannot be left halfway; this gives milliseconds and ends with its reader. While the
 * reader is slow the server waits.
 *
 * @throws EventStoreUnavailable if nothing came for the connection's timeout; of `$all` only if the store answers nothing
 * else either. EventStoreRefused
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
  const stream = await connection.begin((client) => openRead(client, encodeReadRequest(spec)));
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
        connection.heard('channel');
        yield batch;
        continue;
      }
      if (call.failure) throw call.brokenOff && !begun ? new BrokenOff(call.failure) : call.failure;
      if (silence) throw silence;
      if (call.ended) return;
      const gone = (error: Error): void => {
        silence = error;
        wake();
      };
      const listened = 'stream' in spec.of ? timeOut(connection, gone) : watchSilence(connection, gone);
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (call.waiting > 0 || call.ended || call.failure || signal.aborted) resolve();
      });
      listened();
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

/** A stream is found at once, or not at all. Ended as `watchSilence`. */
function timeOut(connection: Connection, gone: (error: Error) => void): () => void {
  const sentAt = performance.now();
  const timer = setTimeout(() => {
    connection.unheard('channel', sentAt);
    gone(connection.unavailable(`gave nothing for ${connection.timeoutMs} ms`, 'not-done'));
  }, connection.timeoutMs);
  return () => clearTimeout(timer);
}

/**
 * A store that looks for rare events in a long log is silent meanwhile: one that is silent is asked whether it is there.
 * @param gone told once that it does not answer, or was silent for too long
 * @returns ends the watch
 */
function watchSilence(connection: Connection, gone: (error: Error) => void): () => void {
  const since = performance.now();
  let over = false;
  let timer: NodeJS.Timeout;
  const ask = async (): Promise<void> => {
    try {
      await connection.call('native', async (client) => {
        for await (const _ of readNewest(client)) continue;
      });
      const silentMs = performance.now() - since;
      if (silentMs > LONGEST_SEARCH_MS)
        throw connection.unavailable(`gave nothing for ${Math.round(silentMs)} ms`, 'not-done');
      if (!over) listen();
    } catch (error) {
      if (!over) gone(error as Error);
    }
  };
  const listen = (): void => {
    timer = setTimeout(() => void ask(), connection.timeoutMs);
  };
  listen();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

/** The newest event of the log, the store's own included: what to ask when any answer will do. */
export function readNewest(client: KurrentDBClient): AsyncIterable<ResolvedEvent> {
  return client.readAll({ direction: 'backwards', fromPosition: 'end', maxCount: 1 });
}
