import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { END, type KurrentDBClient, type Position, START, streamNameFilter } from '@kurrent/kurrentdb-client';
import { eventually, type EventStoreServer, startEventStore } from '../support/index.js';
import { connect, disconnectAll, event, Inbox, landed, storeStatus, streamName } from './eventstore.client.js';

let server: EventStoreServer;
let client: KurrentDBClient;

beforeAll(async () => {
  server = await startEventStore();
  client = connect(server.url);
}, 60_000);

afterAll(async () => {
  await disconnectAll();
  await server.stop();
});

const at = (position: number | undefined): Position => ({
  commit: BigInt(position ?? 0),
  prepare: BigInt(position ?? 0),
});

describe('a subscription', () => {
  it('to a stream brings what is there, says that it has caught up, and goes on live without a gap', async () => {
    const stream = streamName();
    await client.appendToStream(stream, [event(0), event(1)]);
    const inbox = new Inbox(client.subscribeToStream(stream));
    await inbox.caughtUp();
    expect(inbox.order).toEqual(['confirmation', 'event', 'event', 'caughtUp']);
    for (const n of [2, 3, 4]) await client.appendToStream(stream, event(n));
    expect((await inbox.holds(5)).map(({ n }) => n)).toEqual([0, 1, 2, 3, 4]);
    await inbox.subscription.unsubscribe();
  });

  it('resumed at a revision or position begins behind it', async () => {
    const stream = streamName();
    const first = landed(await client.appendToStream(stream, event(0)));
    await client.appendToStream(stream, [event(1), event(2)]);
    const byRevision = new Inbox(client.subscribeToStream(stream, { fromRevision: 0n }));
    const byPosition = new Inbox(client.subscribeToAll({ fromPosition: at(first.position) }));
    for (const inbox of [byRevision, byPosition]) {
      expect((await inbox.holds(2)).map(({ n }) => n)).toEqual([1, 2]);
      await inbox.subscription.unsubscribe();
    }
  });

  it('from the end brings only what is written after it', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0));
    const inboxes = [
      new Inbox(client.subscribeToStream(stream, { fromRevision: END })),
      new Inbox(client.subscribeToAll({ fromPosition: END, filter: streamNameFilter({ prefixes: [stream] }) })),
    ];
    for (const inbox of inboxes) await inbox.caughtUp();
    await client.appendToStream(stream, event(1));
    for (const inbox of inboxes) {
      expect((await inbox.holds(1)).map(({ n }) => n)).toEqual([1]);
      await inbox.subscription.unsubscribe();
    }
  });

  it('to a stream that does not exist waits for it', async () => {
    const stream = streamName();
    const inbox = new Inbox(client.subscribeToStream(stream));
    await inbox.caughtUp();
    await client.appendToStream(stream, event(0));
    expect(await inbox.holds(1)).toMatchObject([{ n: 0, revision: 0 }]);
    await inbox.subscription.unsubscribe();
  });

  it('to a stream that gets a tombstone brings it and then fails with the reason', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0));
    const inbox = new Inbox(client.subscribeToStream(stream));
    await inbox.caughtUp();
    await client.tombstoneStream(stream);
    await eventually('the subscription has failed', () => inbox.error !== undefined);
    expect(inbox.events.map(({ type }) => type)).toEqual(['Tested', '$streamDeleted']);
    expect(inbox.error).toMatchObject({ type: 'stream-deleted', streamName: stream });
    const late = new Inbox(client.subscribeToStream(stream));
    await eventually('the late subscription has failed', () => late.error !== undefined);
    expect(late.error).toMatchObject({ type: 'stream-deleted' });
  });

  it('brings each of many concurrent appends once and in the order of their positions', async () => {
    const prefix = streamName('many');
    const inbox = new Inbox(
      client.subscribeToAll({ fromPosition: END, filter: streamNameFilter({ prefixes: [prefix] }) }),
    );
    await inbox.caughtUp();
    const results = await Promise.all(
      Array.from({ length: 300 }, (_, n) => client.appendToStream(`${prefix}-${n % 30}`, event(n))),
    );
    const arrived = (await inbox.holds(300)).map(({ position }) => position);
    expect(arrived).toEqual(results.map((result) => landed(result).position).sort((a, b) => (a ?? 0) - (b ?? 0)));
    await inbox.subscription.unsubscribe();
  });
});

describe('a filtered subscription', () => {
  it('gets a checkpoint after each interval of considered events, and one before it has caught up', async () => {
    const own = await startEventStore();
    const ownClient = connect(own.url);
    // With the store's own first event that makes 384.
    for (let n = 0; n < 383; n += 50) {
      const events = Array.from({ length: Math.min(50, 383 - n) }, (_, index) => event(n + index));
      await ownClient.appendToStream(streamName('unrelated'), events);
    }
    const checkpoints: number[] = [];
    const filter = streamNameFilter({
      prefixes: ['wanted-'],
      checkpointInterval: 2,
      checkpointReached: (_subscription, position) => void checkpoints.push(Number(position.commit)),
    });
    const inbox = new Inbox(ownClient.subscribeToAll({ fromPosition: START, filter }));
    await inbox.caughtUp();
    expect(checkpoints).toEqual([64, 128, 192, 256, 320, 384]);
    const later = await ownClient.appendToStream(
      streamName('unrelated'),
      Array.from({ length: 100 }, (_, n) => event(n)),
    );
    await eventually('a live checkpoint has come', () => checkpoints.length === 7);
    expect(checkpoints.at(-1)).toBe(448);
    await inbox.subscription.unsubscribe();

    const resumed = new Inbox(ownClient.subscribeToAll({ fromPosition: at(448), filter }));
    await resumed.caughtUp();
    expect(checkpoints.slice(7)).toEqual([landed(later).position]);
    await resumed.subscription.unsubscribe();
    await own.stop();
  });
});

describe('readers that do not read', () => {
  it('cost the store a bounded memory and the others nothing', async () => {
    const own = await startEventStore();
    const writer = connect(own.url);
    const filler = 'z'.repeat(9_000);
    for (let round = 0; round < 30; round++) {
      const events = Array.from({ length: 100 }, (_, n) => event(n, { filler }));
      await writer.appendToStream(`bulk-${round}`, events);
    }
    const before = await storeStatus(own.port);
    expect(before.bytes).toBeGreaterThan(27_000_000);

    // Never read from: each of them could make the store buffer all of it.
    const idle = connect(own.url);
    const stuck = Array.from({ length: 20 }, () => idle.subscribeToAll({ fromPosition: START }));
    for (const subscription of stuck) subscription.on('error', () => undefined);
    await eventually('all are open', async () => (await storeStatus(own.port)).openReads === stuck.length);

    const inbox = new Inbox(writer.subscribeToAll({ fromPosition: START }));
    expect((await inbox.holds(3001)).map(({ position }) => position)).toEqual(
      Array.from({ length: 3001 }, (_, index) => index + 1),
    );
    await inbox.subscription.unsubscribe();
    const after = await storeStatus(own.port);
    expect(after.rssBytes - before.rssBytes).toBeLessThan(120_000_000);

    await idle.dispose();
    await eventually('they are forgotten', async () => (await storeStatus(own.port)).openReads === 0);
    await own.stop();
  });
});
