import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AUDITED_STREAM_PREFIXES } from '@keyledger/contracts';
import { CorruptEvent, EventStore, EventStoreUnavailable, type StoredEvent } from '@keyledger/event-store';
import { binaryEvent, jsonEvent, type KurrentDBClient } from '@kurrent/kurrentdb-client';
import { randomUUID } from 'node:crypto';
import { eventually, startEventStore, type EventStoreServer } from '../support/index.js';
import { connect, disconnectAll } from './eventstore.client.js';

let server: EventStoreServer;
let client: KurrentDBClient;
let store: EventStore;
const options = { after: 'start' as const, streamPrefixes: AUDITED_STREAM_PREFIXES };

beforeAll(async () => {
  server = await startEventStore();
  client = connect(server.url);
  store = new EventStore({ url: server.url });
  await client.appendToStream('key-a', [
    jsonEvent({ type: 'KeyIssued', data: { b: 1, a: 'ä' }, metadata: { schemaVersion: 99 } }),
    jsonEvent({ type: 'FromANewerBuild', data: { n: [1.5] } }),
  ]);
  await client.appendToStream('elsewhere-1', jsonEvent({ type: 'Foreign', data: {} }));
  await client.appendToStream('audit-checkpoint', binaryEvent({ type: 'Bytes', data: Buffer.from([0, 255]) }));
  await client.appendToStream('key-b', many(1300));
}, 60_000);

afterAll(async () => {
  await store.dispose();
  await disconnectAll();
  await server.stop();
});

describe('events as they are stored', () => {
  it('are of every type and shape, those that no build can read included, and of our streams only', async () => {
    const [first, second, third, ...rest] = await read(options);
    expect(first).toEqual({
      id: expect.any(String),
      stream: 'key-a',
      revision: 0,
      type: 'KeyIssued',
      position: expect.any(BigInt),
      recordedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/),
      data: { b: 1, a: 'ä' },
      metadata: { schemaVersion: 99 },
    });
    expect(second).toMatchObject({ type: 'FromANewerBuild', revision: 1, data: { n: [1.5] }, metadata: undefined });
    expect(third).toMatchObject({ stream: 'audit-checkpoint', type: 'Bytes' });
    expect(Buffer.from(third?.data as Uint8Array)).toEqual(Buffer.from([0, 255]));
    expect(rest.map(({ data }) => (data as { n: number }).n)).toEqual(Array.from({ length: 1300 }, (_, n) => n));
    const subscription = store.subscribe({ ...options, signal: AbortSignal.timeout(30_000) });
    await expect(subscription[Symbol.asyncIterator]().next()).rejects.toBeInstanceOf(CorruptEvent);
  });

  it('are the same by subscription and by one pass, in batches of any size, from any place on', async () => {
    const all = await read(options);
    for (const maxBatch of [1, 7, 1000]) expect(await read({ ...options, maxBatch })).toEqual(all);
    const middle = all[700];
    if (!middle) throw new Error('there are more');
    expect(await read({ ...options, after: middle.position })).toEqual(all.slice(701));
    const aborting = new AbortController();
    const followed: StoredEvent[] = [];
    for await (const batch of store.subscribeStored({ ...options, signal: aborting.signal })) {
      followed.push(...batch.events);
      if (batch.live) aborting.abort();
    }
    expect(followed).toEqual(all);
  });

  it('are the same one by one, at their very positions only', async () => {
    const all = await read(options);
    for (const event of all) expect(await store.storedAt(event.position, options.streamPrefixes)).toEqual(event);
    expect(await store.storedAt((all.at(-1)?.position ?? 0n) + 1000n, options.streamPrefixes)).toBeUndefined();
  });

  it('end with the log, also where there is nothing', async () => {
    const position = (await read(options)).at(-1)?.position ?? 0n;
    expect(await read({ ...options, after: position })).toEqual([]);
    expect(await read({ ...options, streamPrefixes: ['nothing-'] })).toEqual([]);
  });

  it('are followed live', async () => {
    const aborting = new AbortController();
    const seen: StoredEvent[] = [];
    const after = (await read(options)).at(-1)?.position ?? 0n;
    const following = (async () => {
      for await (const { events } of store.subscribeStored({ ...options, after, signal: aborting.signal }))
        seen.push(...events);
    })();
    await client.appendToStream('leak-1', jsonEvent({ type: 'LeakReported', data: { n: 1 } }));
    await eventually('the event has arrived', () => seen.length > 0);
    aborting.abort();
    await following;
    expect(seen).toMatchObject([{ stream: 'leak-1', data: { n: 1 } }]);
  });

  it('of a store that is not there fail within a bound, and an aborted pass ends', async () => {
    const nowhere = new EventStore({ url: 'kurrentdb://127.0.0.1:9?tls=false&maxDiscoverAttempts=1', timeoutMs: 500 });
    await expect(read(options, nowhere)).rejects.toBeInstanceOf(EventStoreUnavailable);
    await nowhere.dispose();
    await expect(read({ ...options, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});

async function read(how: Parameters<EventStore['readStored']>[0], from = store): Promise<StoredEvent[]> {
  const all: StoredEvent[] = [];
  for await (const batch of from.readStored(how)) all.push(...batch);
  return all;
}

function many(count: number): ReturnType<typeof jsonEvent>[] {
  return Array.from({ length: count }, (_, n) => jsonEvent({ id: randomUUID(), type: 'KeyIssued', data: { n } }));
}
