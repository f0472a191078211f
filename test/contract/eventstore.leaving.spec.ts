import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { EventStore, type NewEvent } from '@keyledger/event-store';
import { getEventListeners } from 'node:events';
import { eventually, startEventStore, type EventStoreServer } from '../support/index.js';
import { storeStatus } from './eventstore.client.js';
import { suspension } from './new-events.js';

const KEY = 'key-k3xT9wQm2LpZ';
const ALL = { streamPrefixes: ['key-'] };
/** What an append may hold, a few times over: more than the flow control of a connection lets on its way. */
const APPENDS = 8;
const AT_ONCE = 500;

const event = (): NewEvent => suspension(KEY.slice(4), 'r'.repeat(1000));

let server: EventStoreServer;
let store: EventStore;

beforeAll(async () => {
  server = await startEventStore();
  store = new EventStore({ url: server.url, timeoutMs: 30_000 });
  for (let part = 0; part < APPENDS; part += 1) {
    await store.append(KEY, part * AT_ONCE - 1, Array.from({ length: AT_ONCE }, event));
  }
});

afterAll(async () => {
  await store.dispose();
  await server.stop();
});

it.each<[string, (signal: AbortSignal) => AsyncIterable<unknown>]>([
  ['readAll forwards', () => store.readAll({ direction: 'forwards', ...ALL })],
  ['readAll backwards', () => store.readAll({ direction: 'backwards', ...ALL })],
  ['readStream', () => store.readStream(KEY, { direction: 'forwards' })],
  ['readStored', () => store.readStored({ after: 'start', ...ALL })],
  ['subscribe', (signal) => store.subscribe({ after: 'start', ...ALL, signal })],
])('%s that is left half way is ended at the store too, whatever was still on its way', async (_, begin) => {
  for (let rounds = 0; rounds < 3; rounds += 1) {
    const leaving = new AbortController();
    for await (const _batch of begin(leaving.signal)) break;
    leaving.abort();
  }
  await eventually('nothing is read any more', async () => {
    expect(await storeStatus(server.port)).toMatchObject({ openReads: 0, position: APPENDS * AT_ONCE + 1 });
  });
  expect((await store.load(KEY)).events).toHaveLength(APPENDS * AT_ONCE);
});

it('thousands of short reads, and of long ones that are left, leave the connection good for others', async () => {
  const { events } = await store.load(KEY);
  const first = events[0]?.position ?? 0n;
  for (let n = 0; n < 1500; n += 1) expect(await store.storedAt(first, ['key-'])).toBeDefined();
  for (let n = 0; n < 1500; n += 1) {
    for await (const batch of store.readAll({ direction: 'backwards', ...ALL })) {
      expect(batch.at(0)?.revision).toBe(events.length - 1);
      break;
    }
  }
  expect((await store.load(KEY)).events).toHaveLength(events.length);
});

/** What a signal still knows of others: its listeners, and what follows it by `AbortSignal.any`. */
function knownTo(signal: AbortSignal): number {
  const followers = Object.getOwnPropertySymbols(signal)
    .map((symbol) => (signal as unknown as Record<symbol, unknown>)[symbol])
    .filter((value): value is Set<unknown> => value instanceof Set);
  return getEventListeners(signal, 'abort').length + followers.reduce((sum, { size }) => sum + size, 0);
}

it('reads leave nothing behind with a signal that outlives them, neither their own nor the store’s', async () => {
  const other = new EventStore({ url: server.url });
  const living = new AbortController();
  const { closing } = other as unknown as { closing: AbortController };
  const before = [knownTo(living.signal), knownTo(closing.signal)];
  for (const { signal } of [living, new AbortController(), new AbortController()]) {
    for await (const _batch of other.readAll({ direction: 'backwards', ...ALL, limit: 1, signal })) break;
    for await (const _batch of other.readStream(KEY, { direction: 'forwards', limit: 1, signal })) continue;
    for await (const _batch of other.readStored({ after: 'start', ...ALL, signal })) break;
    for await (const _batch of other.subscribe({ after: 'start', ...ALL, signal })) break;
  }
  expect([knownTo(living.signal), knownTo(closing.signal)]).toEqual(before);
  const leaving = new AbortController();
  const reading = (async () => {
    for await (const _batch of other.subscribe({ after: 'start', ...ALL, signal: leaving.signal })) continue;
  })();
  await other.dispose();
  await reading;
});
