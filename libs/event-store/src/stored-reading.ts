import { decodeStored, type StoredEvent } from './codec.js';
import type { Connection } from './connection.js';
import { EventStoreUnavailable } from './errors.js';
import { feed, type SubscribeOptions } from './feed.js';

export interface ReadStoredOptions extends Pick<SubscribeOptions, 'after' | 'streamPrefixes' | 'maxBatch'> {
  signal?: AbortSignal;
}

/** Attempts in a row that bring nothing, before the reader is told. */
const ATTEMPTS = 4;

/**
 * One pass over the log, up to position `end` at least. It is a subscription that ends: the client's reads give
 * `created` in whole seconds, its subscriptions in milliseconds, and both must give the same event.
 */
export async function* readStored(
  connection: Connection,
  { signal, ...options }: ReadStoredOptions,
  end: bigint,
): AsyncGenerator<StoredEvent[], void, undefined> {
  const givingUp = new AbortController();
  let failures = 0;
  let failure: Error | undefined;
  const batches = feed(
    connection,
    {
      ...options,
      signal: AbortSignal.any([givingUp.signal, ...(signal ? [signal] : [])]),
      onState: (state, error) => {
        if (state === 'connected' || (failures += 1) < ATTEMPTS) return;
        failure = error;
        givingUp.abort();
      },
    },
    decodeStored,
  );
  for await (const { events, position, live } of batches) {
    failures = 0;
    if (events.length > 0) yield events;
    if (live || position >= end) return;
  }
  signal?.throwIfAborted();
  throw failure ?? new EventStoreUnavailable('the reading of the log ended before its end', 'not-done');
}
