import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { EventStore } from '@keyledger/event-store';
import { randomUUID } from 'node:crypto';
import { eventually, startEventStore, type EventStoreServer } from '../support/index.js';
import { suspension } from './new-events.js';

const ALL = { streamPrefixes: ['key-'] };
const TRIES = 3;

let server: EventStoreServer;
let client: EventStore;
let following: AbortController;

beforeEach(async () => {
  server = await startEventStore();
  client = new EventStore({ url: server.url });
  following = new AbortController();
});

afterEach(async () => {
  following.abort();
  await client.dispose();
  await server.stop();
});

const drain = async (reading: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of reading) continue;
};

/** Each of them goes another way through the official client, or is made of several that do. */
const WAYS: Record<string, () => Promise<unknown>> = {
  load: () => client.load('key-k1'),
  head: () => client.head(),
  readAll: () => drain(client.readAll({ direction: 'backwards', limit: 1, ...ALL })),
  storedAt: () => client.storedAt(1n, ['key-']),
  append: () => client.append(`key-${randomUUID()}`, -1, [suspension('k1', 'test')]),
};

const failing = async (names: readonly string[]): Promise<void> => {
  for (let tries = 0; tries < TRIES; tries += 1) {
    for (const name of names) await expect(WAYS[name]?.()).rejects.toMatchObject({ name: 'EventStoreUnavailable' });
  }
};

const all = Object.keys(WAYS);

const reaching = async (): Promise<void> => {
  for (const name of all) await eventually(name, async () => (await WAYS[name]?.(), true));
};

const beginningWith = all.map((first) => [first, [first, ...all.filter((name) => name !== first)]] as const);

it.each(beginningWith)(
  'a client that began with %s while the store was away reaches it by every way',
  async (_, order) => {
    await server.kill();
    await failing(order);
    await server.start();
    await reaching();
  },
);

it.each(all)('a client that has done %s only reaches a store that was away by every other way', async (name) => {
  await WAYS[name]?.();
  await server.kill();
  await failing(all);
  await server.start();
  await reaching();
});

it('a client whose subscriptions outlive a store that was away reaches it by every way', async () => {
  const batches = client.subscribe({ after: 'start', ...ALL, signal: following.signal });
  const read = drain(batches);
  await server.kill();
  await failing(all);
  await server.start();
  await reaching();
  following.abort();
  await read;
});
