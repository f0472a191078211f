import { streamNameFilter, type AllStreamResolvedEvent } from '@kurrent/kurrentdb-client';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeStored, positionOf, type StoredEvent } from './codec.js';
import type { Connection } from './connection.js';

export interface ReadStoredOptions {
  after: bigint | 'start';
  /** Prefixes of stream names, e.g. `key-`. */
  streamPrefixes: readonly string[];
  /** Events in one batch at most. */
  maxBatch?: number;
  signal?: AbortSignal;
}

const DEFAULT_MAX_BATCH = 500;
/** Attempts in a row that bring nothing, before the reader is told. */
const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 100;

/** One pass over the log up to its end, however many calls it takes. It closes the connection that it was given. */
export async function* readStored(
  connection: Connection,
  { after, streamPrefixes, maxBatch = DEFAULT_MAX_BATCH, signal }: ReadStoredOptions,
): AsyncGenerator<StoredEvent[], void, undefined> {
  const filter = streamNameFilter({ prefixes: [...streamPrefixes] });
  let reached = after === 'start' ? -1n : after;
  let failures = 0;
  try {
    for (;;) {
      const fromPosition = reached > 0n ? { commit: reached, prepare: reached } : ('start' as const);
      const places = connection.client.readAll({ fromPosition, filter })[Symbol.asyncIterator]();
      try {
        for (;;) {
          signal?.throwIfAborted();
          // A read begins with the event at its position, which was dealt with before.
          const behind = reached;
          const batch = await connection.call('none', () => take(places, behind, maxBatch));
          reached = batch.position;
          failures = 0;
          if (batch.events.length > 0) yield batch.events;
          if (batch.last) return;
        }
      } catch (error) {
        if (signal?.aborted || (failures += 1) >= ATTEMPTS) throw error;
      } finally {
        void places.return?.(undefined).catch(() => undefined);
      }
      await pause(FIRST_PAUSE_MS * 2 ** failures, undefined, signal ? { signal } : {});
    }
  } finally {
    await connection.close();
  }
}

async function take(
  places: AsyncIterator<AllStreamResolvedEvent>,
  behind: bigint,
  atMost: number,
): Promise<{ events: StoredEvent[]; position: bigint; last: boolean }> {
  const events: StoredEvent[] = [];
  let position = behind;
  while (events.length < atMost) {
    const next = await places.next();
    if (next.done) return { events, position, last: true };
    const at = positionOf(next.value);
    if (at <= position) continue;
    position = at;
    const event = decodeStored(next.value);
    if (event) events.push(event);
  }
  return { events, position, last: false };
}
