import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { EventStore, RevisionConflict, type NewEvent } from '@keyledger/event-store';
import { randomUUID } from 'node:crypto';
import { type EventStoreServer, startEventStore } from '../support/index.js';
import { type Fate, type OlderServer, startOlderServer } from './eventstore.older.js';
import { suspension } from './new-events.js';

/** The native half of a client takes 500 ms for its first read. */
const TIMEOUT_MS = 900;

let server: EventStoreServer;
const closers: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  server = await startEventStore();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => server.stop());

async function older(fateOf: (attempt: number) => Fate = () => 'passed'): Promise<OlderServer & { store: EventStore }> {
  const peer = await startOlderServer(server.port, fateOf);
  const store = new EventStore({ url: peer.url, timeoutMs: TIMEOUT_MS });
  closers.push(
    () => peer.close(),
    () => store.dispose(),
  );
  return { ...peer, store };
}

const newStream = (): string => `key-${randomUUID()}`;

const newEvent = (keyId: string): NewEvent => suspension(keyId, 'Grüße');

/** What is on record, as the store tells it without anything in between. */
async function recorded(stream: string): Promise<string[]> {
  const direct = new EventStore({ url: server.url });
  const { events } = await direct.load(stream);
  await direct.dispose();
  return events.map(({ id }) => id);
}

describe('with a server that knows no BatchAppend an append', () => {
  it('writes its events in order, as they would be with one, and says where', async () => {
    const { store, appends } = await older();
    const stream = newStream();
    const events = [newEvent('a'), newEvent('b')];
    const first = await store.append(stream, -1, events);
    const second = await store.append(stream, first.revision, [newEvent('c')]);
    expect([first.revision, second]).toEqual([1, { revision: 2, position: first.position + 1n }]);
    expect(appends).toHaveLength(2);
    const others = [newStream(), newStream()];
    const together = [...others, stream].map((one) => ({ stream: one, expectedRevision: -1, events: [newEvent('d')] }));
    const outcomes = await store.appendAll(together);
    expect(outcomes.slice(0, 2)).toEqual(others.map(() => expect.objectContaining({ revision: 0 })));
    expect(outcomes[2]).toBeInstanceOf(RevisionConflict);
    const twin = newStream();
    const direct = new EventStore({ url: server.url });
    closers.push(() => direct.dispose());
    await direct.append(
      twin,
      -1,
      events.map((one) => ({ ...one, id: randomUUID() })),
    );
    const told = (loaded: Awaited<ReturnType<EventStore['load']>>): unknown[] =>
      loaded.events.slice(0, 2).map(({ event, metadata, revision }) => ({ event, metadata, revision }));
    expect(told(await store.load(stream))).toEqual(told(await direct.load(twin)));
  });

  it.each([-1, 0, 5])(
    'that expects revision %d of a stream at 1 is a conflict and appends nothing',
    async (expected) => {
      const { store, appends } = await older();
      const stream = newStream();
      await store.append(stream, -1, [newEvent('a'), newEvent('b')]);
      const failed = store.append(stream, expected, [newEvent('c')]);
      await expect(failed).rejects.toBeInstanceOf(RevisionConflict);
      await expect(failed).rejects.toMatchObject({ stream, expectedRevision: expected, actualRevision: 1 });
      expect(appends).toHaveLength(2);
      expect(await recorded(stream)).toHaveLength(2);
    },
  );

  it('wins alone among those that expect the same', async () => {
    const { store } = await older();
    const stream = newStream();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () => store.append(stream, -1, [newEvent('a')])),
    );
    const lost = outcomes.filter((one) => one.status === 'rejected').map(({ reason }) => reason);
    expect(lost.map((error) => error instanceof RevisionConflict && error.actualRevision)).toEqual(Array(19).fill(0));
    expect(await recorded(stream)).toHaveLength(1);
  });

  it.each<Fate>(['lost', 'broken'])(
    'whose answer is %s is asked for again with the same ids, and happens once',
    async (fate) => {
      const { store, appends } = await older((attempt) => (attempt === 1 ? fate : 'passed'));
      const stream = newStream();
      const events = [newEvent('a'), newEvent('b')];
      await expect(store.append(stream, -1, events)).resolves.toMatchObject({ revision: 1 });
      expect(appends).toHaveLength(2);
      expect(appends[1]).toEqual(appends[0]);
      expect(await recorded(stream)).toEqual(events.map(({ id }) => id));
    },
  );

  it.each<Fate>(['lost', 'swallowed', 'broken'])(
    'whose answers are all %s fails as unknown, within its bound',
    async (fate) => {
      const { store, appends } = await older(() => fate);
      const stream = newStream();
      const event = newEvent('a');
      await expect(store.append(stream, -1, [event])).rejects.toMatchObject({
        name: 'EventStoreUnavailable',
        outcome: 'unknown',
      });
      expect(appends.length).toBeGreaterThan(1);
      for (const again of appends) expect(again).toEqual(appends[0]);
      expect(await recorded(stream)).toEqual(fate === 'swallowed' ? [] : [event.id]);
    },
  );
});
