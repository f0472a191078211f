import type { Decoder } from './codec.js';
import type { Connection } from './connection.js';
import { feed, type EventBatch, type SubscribeOptions } from './feed.js';
import type { Tail } from './tail.js';

/** A reader who could not keep up with the tail goes his own way so long, at least: each way costs a connection. */
const OWN_WAY_MS = 30_000;

/** The two ways to follow the log. */
interface Ways {
  tail: Tail;
  /** A connection for one feed: calls that fail on one connection take everything else on it with them. */
  open: () => Connection;
}

/** One subscription for its reader: by a feed of its own until it has caught up, then by what all of this process share. */
export async function* subscribe<T>(
  { tail, open }: Ways,
  options: SubscribeOptions,
  decode: Decoder<T>,
): AsyncGenerator<EventBatch<T>, void, undefined> {
  const { signal, streamPrefixes } = options;
  let { after } = options;
  let ownWayUntil = 0;
  while (!signal.aborted) {
    for await (const batch of feed(open(), { ...options, after }, decode)) {
      after = batch.position;
      yield batch;
      if (batch.live && performance.now() >= ownWayUntil && tail.admits(streamPrefixes, after)) break;
    }
    if (signal.aborted) return;
    for await (const batch of tail.follow({ ...options, after }, decode)) {
      after = batch.position;
      yield batch;
    }
    ownWayUntil = performance.now() + OWN_WAY_MS;
  }
}
