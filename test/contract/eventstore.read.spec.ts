import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  BACKWARDS,
  END,
  eventTypeFilter,
  type Filter,
  type KurrentDBClient,
  NO_STREAM,
  streamNameFilter,
} from '@kurrent/kurrentdb-client';
import { type EventStoreServer, startEventStore } from '../support/index.js';
import {
  collect,
  connect,
  disconnectAll,
  event,
  readBack,
  refusalOf,
  type Seen,
  streamName,
} from './eventstore.client.js';

let server: EventStoreServer;
let client: KurrentDBClient;
let all: Seen[];
const ordered = streamName('ordered');

beforeAll(async () => {
  server = await startEventStore();
  client = connect(server.url);
  await client.appendToStream(
    ordered,
    [0, 1, 2, 3, 4].map((n) => event(n)),
    { streamState: NO_STREAM },
  );
  for (const n of [0, 1, 2]) {
    await client.appendToStream(streamName('other'), event(n, { type: n === 1 ? 'Tested' : 'Unrelated' }));
  }
  all = await collect(client.readAll());
}, 60_000);

afterAll(async () => {
  await disconnectAll();
  await server.stop();
});

const numbers = (events: Seen[]): number[] => events.map(({ n }) => n);

// From END the client always reads backwards and from START forwards, whatever direction it is given.
describe('a stream', () => {
  it('is read forwards from a revision on, which is included', async () => {
    expect(numbers(await readBack(client, ordered))).toEqual([0, 1, 2, 3, 4]);
    expect(numbers(await readBack(client, ordered, 3n))).toEqual([3, 4]);
    expect(numbers(await collect(client.readStream(ordered, { fromRevision: 1n, maxCount: 2 })))).toEqual([1, 2]);
  });

  it('is read backwards from a revision on, which is included', async () => {
    const backwards = (fromRevision: bigint | typeof END, maxCount = 100) =>
      collect(client.readStream(ordered, { direction: BACKWARDS, fromRevision, maxCount }));
    expect(numbers(await backwards(END))).toEqual([4, 3, 2, 1, 0]);
    expect(numbers(await backwards(END, 1))).toEqual([4]);
    expect(numbers(await backwards(2n))).toEqual([2, 1, 0]);
    expect(numbers(await backwards(99n))).toEqual([4, 3, 2, 1, 0]);
  });

  it('has nothing behind its end', async () => {
    expect(await readBack(client, ordered, 5n)).toEqual([]);
  });

  it('that does not exist is said not to be found', async () => {
    const stream = streamName();
    expect(await refusalOf(readBack(client, stream))).toMatchObject({ type: 'stream-not-found', streamName: stream });
  });
});

describe('$all', () => {
  it('holds every event once, in the order of positions without a gap, from 1 on', () => {
    expect(all.map(({ position }) => position)).toEqual(all.map((_, index) => index + 1));
    expect(all[0]).toMatchObject({ stream: '$keyledger-eventstore' });
    expect(all.filter(({ stream }) => stream === ordered).map(({ revision }) => revision)).toEqual([0, 1, 2, 3, 4]);
  });

  const at = (position: number) => ({ commit: BigInt(position), prepare: BigInt(position) });

  it('is read forwards inclusive of a position and backwards exclusive of it', async () => {
    const forwards = await collect(client.readAll({ fromPosition: at(4), maxCount: 3 }));
    expect(forwards).toEqual(all.slice(3, 6));
    const backwards = await collect(client.readAll({ direction: BACKWARDS, fromPosition: at(4), maxCount: 100 }));
    expect(backwards).toEqual(all.slice(0, 3).reverse());
  });

  it('is read backwards from its end', async () => {
    const backwards = await collect(client.readAll({ direction: BACKWARDS, fromPosition: END }));
    expect(backwards).toEqual([...all].reverse());
  });

  it.each<[string, () => Filter, (seen: Seen) => boolean]>([
    [
      'stream prefix',
      () => streamNameFilter({ prefixes: ['nothing-', 'other-'] }),
      ({ stream }) => stream.startsWith('other-'),
    ],
    ['stream regex', () => streamNameFilter({ regex: '^(ordered|\\$)' }), ({ stream }) => /^(ordered|\$)/.test(stream)],
    ['type prefix', () => eventTypeFilter({ prefixes: ['Un'] }), ({ type }) => type.startsWith('Un')],
    ['type regex', () => eventTypeFilter({ regex: '^[^$].*ed$' }), ({ type }) => /^[^$].*ed$/.test(type)],
    ['a regex that ignores case', () => eventTypeFilter({ regex: '(?i)^TESTED$' }), ({ type }) => type === 'Tested'],
  ])('is filtered by %s in both directions', async (_name, filter, matches) => {
    const expected = all.filter(matches);
    expect(expected.length).toBeGreaterThan(0);
    expect(await collect(client.readAll({ filter: filter() }))).toEqual(expected);
    const backwards = await collect(
      client.readAll({ filter: filter(), direction: BACKWARDS, fromPosition: END, maxCount: 2 }),
    );
    expect(backwards).toEqual([...expected].reverse().slice(0, 2));
  });

  it.each([
    ['is not one', '(unclosed', /not valid/],
    ['is too long', 'x'.repeat(513), /512 are allowed/],
    ['is too large when it is written out', '(a?){300}(a){300}', /512 are allowed/],
    ['cannot be matched in linear time', '^(a+)\\1$', /not valid/],
  ])('refuses a regex that %s, with the reason', async (_name, regex, reason) => {
    const subscription = client.subscribeToAll({ filter: streamNameFilter({ regex }) });
    const error = await new Promise<Error & { code?: number }>((resolve) => subscription.on('error', resolve));
    expect(error.code).toBe(3);
    expect(error.message).toMatch(reason);
  });

  it('with a regex that backtracking would never end with keeps no other waiting', async () => {
    const name = `${'a'.repeat(34)}!`;
    await client.appendToStream(name, event(0));
    const found = await collect(client.readAll({ filter: streamNameFilter({ regex: '^(a+)+$' }) }));
    expect(found).toEqual([]);
    expect(await collect(client.readAll({ filter: streamNameFilter({ regex: '^(a+)+!$' }) }))).toHaveLength(1);
  });

  it('read to its end ends, however much is written meanwhile', async () => {
    const stream = streamName('flood');
    let revision = -1n;
    let reading = true;
    const flood = (async () => {
      while (reading) {
        const streamState = revision < 0n ? NO_STREAM : revision;
        revision = (await client.appendToStream(stream, event(0), { streamState })).nextExpectedRevision;
      }
    })();
    const read = await collect(client.readAll());
    reading = false;
    await flood;
    expect(read.slice(0, all.length)).toEqual(all);
  });
});
