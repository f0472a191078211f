import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CorruptEvent, EventStore, type EventBatch, type StoredEvent } from '@keyledger/event-store';
import type { KurrentDBClient } from '@kurrent/kurrentdb-client';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually, startEventStore, type EventStoreServer } from '../support/index.js';
import { connect, disconnectAll, event, storeStatus } from './eventstore.client.js';

let server: EventStoreServer;
let client: KurrentDBClient;
let store: EventStore;
let written = 0;

beforeAll(async () => {
  server = await startEventStore();
  client = connect(server.url);
  store = new EventStore({ url: server.url });
  await write(['key-a', 'leak-a', 'usage-a'], 300);
}, 60_000);

afterAll(async () => {
  await store.dispose();
  await disconnectAll();
  await server.stop();
});

const PREFIXES = [['key-'], ['leak-', 'usage-'], ['key-', 'leak-', 'usage-']];

describe('readers of one process who have caught up', () => {
  it('share one subscription, and each gets what is its own, once and in order', async () => {
    const readers = PREFIXES.map((streamPrefixes) => new Reader({ streamPrefixes }));
    await allLive(readers);
    await eventually('there is one subscription', async () => (await subscriptions()) === 1);
    await write(['key-a', 'leak-a', 'usage-a'], 3000);
    await allAtEnd(readers);
    expect(await subscriptions()).toBe(1);
    await Promise.all(readers.map((reader) => reader.stop()));
    await eventually('there is none', async () => (await subscriptions()) === 0);
  });

  it('are given what comes in quick succession together where it is more than a few, and the rest of a full batch at once', async () => {
    const [wide, narrow] = [500, 2].map((maxBatch) => new Reader({ streamPrefixes: ['key-'], maxBatch }));
    const readers = [wide, narrow] as [Reader, Reader];
    await allLive(readers);
    await eventually('there is one subscription', async () => (await subscriptions()) === 1);
    for (const reader of readers) reader.given.length = 0;
    await write(['key-a'], 1500);
    await allAtEnd(readers);
    const gapsAfter = (reader: Reader, isMeant: (count: number) => boolean): number[] =>
      reader.given.slice(1).flatMap(({ at }, nth) => {
        const before = reader.given[nth] as Given;
        return isMeant(before.count) ? [at - before.at] : [];
      });
    // A timer of Node may be a millisecond early.
    for (const gap of gapsAfter(readers[0], (count) => count > 8 && count < 500))
      expect(gap).toBeGreaterThanOrEqual(18);
    expect(Math.min(...gapsAfter(readers[1], (count) => count === 2))).toBeLessThan(18);
    await Promise.all(readers.map((reader) => reader.stop()));
  });

  it('do not wait for one that stands still, and it misses nothing', async () => {
    const [quick, slow] = [new Reader({ streamPrefixes: ['key-'] }), new Reader({ streamPrefixes: ['key-'] })];
    await allLive([quick, slow]);
    await eventually('there is one subscription', async () => (await subscriptions()) === 1);
    slow.holdUp();
    await write(['key-a'], 4000);
    await allAtEnd([quick]);
    expect(slow.numbers.length).toBeLessThan(quick.numbers.length);
    slow.goOn();
    await allAtEnd([slow]);
    await Promise.all([quick.stop(), slow.stop()]);
  });

  it('come and go at any place of the log without a gap or a double, in batches of any size', async () => {
    const writing = write(['key-a', 'leak-a', 'usage-a'], 3000);
    const readers: Reader[] = [];
    for (let n = 0; n < 12; n++) {
      const streamPrefixes = PREFIXES[n % 3] as string[];
      const earlier = n % 2 ? readers[n - 1] : undefined;
      // Half of them go on where another of the same streams has stopped.
      readers.push(new Reader({ streamPrefixes, maxBatch: 1 + ((n * 37) % 600) }));
      await turn();
      if (n > 6 && earlier) await earlier.stop();
    }
    await writing;
    const staying = readers.filter((reader) => !reader.stopped);
    await allAtEnd(staying);
    for (const reader of readers.filter(({ stopped }) => stopped)) {
      const resumed = new Reader({ streamPrefixes: reader.streamPrefixes, after: reader.position });
      await eventually('it has caught up', () => resumed.live);
      const all = await numbersOf(reader.streamPrefixes);
      expect([...reader.numbers, ...resumed.numbers]).toEqual(all);
      await resumed.stop();
    }
    await Promise.all(staying.map((reader) => reader.stop()));
  });

  it('are told of a lost connection, and all go on behind what they have once the store is back', async () => {
    const readers = PREFIXES.map((streamPrefixes) => new Reader({ streamPrefixes }));
    await allLive(readers);
    await eventually('there is one subscription', async () => (await subscriptions()) === 1);
    await server.kill();
    await eventually('all know', () => readers.every(({ connected }) => !connected));
    await server.restart();
    await eventually('all are live again', () => readers.every(({ connected, live }) => connected && live));
    await write(['key-a', 'leak-a', 'usage-a'], 100);
    await allAtEnd(readers);
    await Promise.all(readers.map((reader) => reader.stop()));
  });

  it('go on where one of them meets what it cannot read', async () => {
    const good = new Reader({ streamPrefixes: ['leak-'] });
    const aborting = new AbortController();
    const strict = store.subscribe({ after: 'start', streamPrefixes: ['channel-'], signal: aborting.signal });
    const failing = (async () => {
      for await (const _ of strict) continue;
    })();
    await allLive([good]);
    await eventually('there is one subscription', async () => (await subscriptions()) === 1);
    await client.appendToStream('channel-a', event(0));
    await expect(failing).rejects.toBeInstanceOf(CorruptEvent);
    await write(['leak-a'], 10);
    await allAtEnd([good]);
    await good.stop();
  });
});

/** Follows the log, and remembers the numbers of what it was given. */
class Reader {
  readonly numbers: number[] = [];
  /** Batches with events: how many, and when they came. */
  readonly given: Given[] = [];
  readonly streamPrefixes: readonly string[];
  position: bigint | 'start';
  live = false;
  connected = false;
  stopped = false;
  private readonly stopping = new AbortController();
  private readonly reading: Promise<void>;
  private gate: Promise<void> | undefined;
  goOn: () => void = () => undefined;

  constructor({ streamPrefixes, after = 'start', maxBatch = 500 }: ReaderOptions) {
    this.streamPrefixes = streamPrefixes;
    this.position = after;
    const { signal } = this.stopping;
    const onState = (state: string): void => {
      this.connected = state === 'connected';
      if (!this.connected) this.live = false;
    };
    this.reading = this.read(store.subscribeStored({ after, streamPrefixes, maxBatch, signal, onState }));
  }

  holdUp(): void {
    this.gate = new Promise((resolve) => (this.goOn = resolve));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.stopping.abort();
    await this.reading;
  }

  private async read(batches: AsyncIterable<EventBatch<StoredEvent>>): Promise<void> {
    for await (const { events, position, live } of batches) {
      if (events.length > 0) this.given.push({ count: events.length, at: performance.now() });
      await this.gate;
      this.numbers.push(...events.map(({ data }) => (data as { n: number }).n));
      if (this.position !== 'start' && position < this.position) throw new RangeError('the position went back');
      this.position = position;
      this.live = live;
    }
  }
}

interface Given {
  count: number;
  at: number;
}

interface ReaderOptions {
  streamPrefixes: readonly string[];
  after?: bigint | 'start';
  maxBatch?: number;
}

async function write(streams: readonly string[], count: number): Promise<void> {
  for (const end = written + count; written < end;) {
    const most = Math.min(100, end - written);
    const stream = streams[Math.floor(written / 100) % streams.length] as string;
    await client.appendToStream(
      stream,
      Array.from({ length: most }, () => event(written++)),
    );
  }
}

async function allLive(readers: readonly Reader[]): Promise<void> {
  await eventually('all have caught up', () => readers.every(({ live }) => live));
}

async function allAtEnd(readers: readonly Reader[]): Promise<void> {
  for (const reader of readers) {
    const all = await numbersOf(reader.streamPrefixes);
    await eventually('it has all', () => reader.numbers.length >= all.length);
    expect(reader.numbers).toEqual(all);
  }
}

/** By one pass over the log, which shares nothing with anybody. */
async function numbersOf(streamPrefixes: readonly string[]): Promise<number[]> {
  const numbers: number[] = [];
  for await (const events of store.readStored({ after: 'start', streamPrefixes })) {
    numbers.push(...events.map(({ data }) => (data as { n: number }).n));
  }
  return numbers;
}

const subscriptions = async (): Promise<number> => (await storeStatus(server.port)).openReads;
