/**
 * Reads the log from its beginning to its head, and says how fast that went:
 *   follow.mjs bare <event store url>                  the same subscription that the projector has, nothing written
 *   follow.mjs client <event store url>                the official client's own subscription with the same filter
 *   follow.mjs projector <event store url> <redis url> the projector, until its last event is in Redis and settled
 * For the projector Redis holds a generation that was live when the log was empty, as if the worker had been away since:
 *   follow.mjs prepare <event store url> <redis url>   makes it
 */
import { KurrentDBClient, START, streamNameFilter } from '@kurrent/kurrentdb-client';
import { setTimeout as sleep } from 'node:timers/promises';
import { READ_MODEL_STREAM_PREFIXES } from '../../dist/libs/contracts/src/index.js';
import { EventStore } from '../../dist/libs/event-store/src/index.js';
import { connectRedis, Projector } from '../../dist/libs/read-model/src/index.js';

const [kind, storeUrl, redisUrl] = process.argv.slice(2);
const store = new EventStore({ url: storeUrl });
const head = await store.head();
const controller = new AbortController();
let began;
let cpuBefore;
let events = 0;

/** The store as the projector sees it, with a clock that runs from the first batch. */
const timed = {
  load: (stream) => store.load(stream),
  head: () => store.head(),
  storedAt: (position, prefixes) => store.storedAt(position, prefixes),
  async *subscribe(options) {
    for await (const batch of store.subscribe(options)) {
      began ??= performance.now();
      cpuBefore ??= process.cpuUsage();
      yield batch;
    }
  },
};

function done() {
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const residentMib = process.memoryUsage.rss() / 2 ** 20;
  const figures = { events, eventsPerSecond: events / seconds, cpuMicros: user + system, residentMib };
  console.log(JSON.stringify({ kind, ...figures }));
}

process.once('SIGTERM', () => process.exit(0));
if (kind === 'bare') {
  const options = {
    after: 'start',
    streamPrefixes: READ_MODEL_STREAM_PREFIXES,
    maxBatch: 500,
    signal: controller.signal,
  };
  for await (const batch of timed.subscribe(options)) {
    events += batch.events.length;
    if (batch.position >= head) break;
  }
  done();
} else if (kind === 'client') {
  const client = KurrentDBClient.connectionString(storeUrl);
  const filter = streamNameFilter({ prefixes: READ_MODEL_STREAM_PREFIXES, checkpointInterval: 32 });
  // It reads the JSON of each event before it hands it over.
  const subscription = client.subscribeToAll({ fromPosition: START, filter }, { highWaterMark: 500 });
  for await (const { commitPosition } of subscription) {
    began ??= performance.now();
    cpuBefore ??= process.cpuUsage();
    events += 1;
    if (commitPosition >= head) break;
  }
  done();
  await client.dispose();
} else {
  const onEvents = (count) => (events += count);
  const projector = new Projector({ redis: connectRedis(redisUrl), store: timed, onEvents });
  const running = projector.run(controller.signal);
  const reached = () => (kind === 'prepare' ? projector.state().vouching : projector.state().position >= head);
  while (!reached()) await sleep(5);
  began ??= performance.now();
  done();
  if (kind === 'prepare') {
    // The heartbeat that follows the first word moves the markers; with it the generation can be carried on.
    await sleep(1500);
    controller.abort();
    await running;
    process.exit(0);
  }
}
