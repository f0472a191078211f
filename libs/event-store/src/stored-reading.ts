import { setTimeout as pause } from 'node:timers/promises';
import { decodeStored, positionOf, type StoredEvent } from './codec.js';
import type { Connection } from './connection.js';
import { EventStoreUnavailable } from './errors.js';
import type { SubscribeOptions } from './feed.js';
import { readLog } from './log-reading.js';

export interface ReadStoredOptions extends Pick<SubscribeOptions, 'after' | 'streamPrefixes' | 'maxBatch'> {
  signal?: AbortSignal;
}

/** Attempts in a row that bring nothing, before the reader is told. */
const ATTEMPTS = 4;
const PAUSE_MS = 200;

/** One pass over the log, to its end. It goes on behind what it gave when the connection breaks. */
export async function* readStored(
  connection: Connection,
  { after, streamPrefixes, maxBatch = Infinity }: ReadStoredOptions,
  signal: AbortSignal,
): AsyncGenerator<StoredEvent[], void, undefined> {
  let reached = after === 'start' ? 0n : after;
  try {
    for (let failures = 0; ; failures += 1) {
      const from = reached === 0n ? 'start' : reached;
      try {
        for await (const batch of readLog(
          connection,
          { direction: 'forwards', of: { streamPrefixes }, from },
          signal,
        )) {
          failures = 0;
          // A read begins with what stands at its very place.
          const unseen = batch.filter((one) => positionOf(one) > reached);
          const events = unseen.flatMap((one) => decodeStored(one) ?? []);
          for (let at = 0; at < events.length; at += maxBatch) yield events.slice(at, at + maxBatch);
          reached = positionOf(unseen.at(-1) ?? batch.at(-1) ?? {});
        }
        return;
      } catch (error) {
        if (!(error instanceof EventStoreUnavailable) || failures + 1 >= ATTEMPTS) throw error;
      }
      await pause(PAUSE_MS * 2 ** failures, undefined, { signal });
    }
  } finally {
    await connection.close();
  }
}
