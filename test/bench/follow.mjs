/**
 * Reads the log from its beginning to its head, and says how fast that went:
 *   follow.mjs bare <event store url>                  the same subscription that the projector has, nothing written
 *   follow.mjs projector <event store url> <redis url> the projector, from its first event to its last
 */
import { READ_MODEL_STREAM_PREFIXES } from '../../dist/libs/contracts/src/index.js';
import { EventStore } from '../../dist/libs/event-store/src/index.js';
import { connectRedis, Projector } from '../../dist/libs/read-model/src/index.js';

const [kind, storeUrl, redisUrl] = process.argv.slice(2);
const store = new EventStore({ url: storeUrl });
const head = await store.head();
const controller = new AbortController();
let began;
let events = 0;
let ended;

/** The store as the projector sees it, with a clock that runs from the first batch to the one that reaches the head. */
const timed = {
  load: (stream) => store.load(stream),
  head: () => store.head(),
  async *subscribe(options) {
    for await (const batch of store.subscribe({
      ...options,
      signal: AbortSignal.any([options.signal, controller.signal]),
    })) {
      began ??= performance.now();
      if (ended === undefined) events += batch.events.length;
      yield batch;
      if (ended === undefined && batch.position >= head) {
        ended = performance.now();
        const seconds = (ended - began) / 1000;
        console.log(JSON.stringify({ kind, events, eventsPerSecond: events / seconds }));
      }
    }
  },
};

process.once('SIGTERM', () => process.exit(0));
if (kind === 'bare') {
  const options = {
    after: 'start',
    streamPrefixes: READ_MODEL_STREAM_PREFIXES,
    maxBatch: 500,
    signal: controller.signal,
  };
  for await (const batch of timed.subscribe(options)) if (batch.position >= head) continue;
} else {
  await new Projector({ redis: connectRedis(redisUrl), store: timed }).run(controller.signal);
}
