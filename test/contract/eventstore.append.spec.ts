import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ANY, type AppendStreamState, type KurrentDBClient, NO_STREAM, STREAM_EXISTS } from '@kurrent/kurrentdb-client';
import { type EventStoreServer, startEventStore } from '../support/index.js';
import {
  connect,
  disconnectAll,
  event,
  landed,
  readBack,
  records,
  refusalOf,
  streamName,
} from './eventstore.client.js';

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

// With credentials the client takes the Append call instead of BatchAppend: another encoding of the same verdicts.
const ways = [
  { call: 'BatchAppend', options: {} },
  { call: 'Append', options: { credentials: { username: 'somebody', password: 'something' } } },
] as const;

describe.each(ways)('an append by $call', ({ options }) => {
  it('writes in order and says where the stream is then', async () => {
    const stream = streamName();
    const first = await client.appendToStream(stream, [event(0), event(1)], { streamState: NO_STREAM, ...options });
    const second = await client.appendToStream(stream, event(2), { streamState: 1n, ...options });
    expect(landed(first).revision).toBe(1);
    expect(landed(second)).toEqual({ revision: 2, position: (landed(first).position ?? 0) + 1 });
    expect((await readBack(client, stream)).map(({ n, revision }) => [n, revision])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
  });

  it.each<{ expected: AppendStreamState; why: string }>([
    { expected: NO_STREAM, why: 'the stream exists' },
    { expected: 0n, why: 'the stream is further' },
    { expected: 5n, why: 'the stream is not so far' },
    { expected: 2n ** 53n + 1n, why: 'no stream is so far' },
    { expected: 2n ** 64n - 1n, why: 'no stream is so far' },
  ])('expecting $expected is refused when $why, with the revision as it is', async ({ expected }) => {
    const stream = streamName();
    await client.appendToStream(stream, [event(0), event(1)], { streamState: NO_STREAM, ...options });
    const refusal = await refusalOf(client.appendToStream(stream, event(9), { streamState: expected, ...options }));
    expect(refusal).toMatchObject({
      type: 'wrong-expected-version',
      streamName: stream,
      actualState: 1n,
      expectedState: expected,
    });
    expect(await readBack(client, stream)).toHaveLength(2);
  });

  it.each<AppendStreamState>([0n, STREAM_EXISTS])(
    'expecting %s is refused when there is no stream',
    async (expected) => {
      const stream = streamName();
      const refusal = await refusalOf(client.appendToStream(stream, event(0), { streamState: expected, ...options }));
      expect(refusal).toMatchObject({
        type: 'wrong-expected-version',
        actualState: NO_STREAM,
        expectedState: expected,
      });
      expect(await refusalOf(readBack(client, stream))).toMatchObject({ type: 'stream-not-found' });
    },
  );

  it('expecting any or an existing stream is accepted whatever its revision', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0), { streamState: ANY, ...options });
    const result = await client.appendToStream(stream, event(1), { streamState: STREAM_EXISTS, ...options });
    expect(landed(result).revision).toBe(1);
  });

  it.each<AppendStreamState>([NO_STREAM, ANY])(
    'repeated with the same ids expecting %s is answered as before and writes nothing',
    async (expected) => {
      const stream = streamName();
      const events = [event(0), event(1)];
      const first = await client.appendToStream(stream, events, { streamState: expected, ...options });
      await client.appendToStream(stream, event(2), { streamState: 1n, ...options });
      const again = await client.appendToStream(stream, events, { streamState: expected, ...options });
      expect(landed(again)).toEqual(landed(first));
      expect(await readBack(client, stream)).toHaveLength(3);
    },
  );

  it('repeated with an exact revision writes nothing, and conflicts if a later id differs', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0), { streamState: NO_STREAM, ...options });
    const events = [event(1), event(2)];
    const first = await client.appendToStream(stream, events, { streamState: 0n, ...options });
    const again = await client.appendToStream(stream, events, { streamState: 0n, ...options });
    expect(landed(again)).toEqual(landed(first));
    const halfNew = [...events.slice(0, 1), event(3)];
    const refusal = await refusalOf(client.appendToStream(stream, halfNew, { streamState: 0n, ...options }));
    expect(refusal).toMatchObject({ type: 'wrong-expected-version', actualState: 2n });
    expect(await readBack(client, stream)).toHaveLength(3);
  });

  it('over the size limit is refused by name and writes nothing', async () => {
    const stream = streamName();
    const events = Array.from({ length: 3 }, (_, n) => event(n, { filler: 'x'.repeat(400_000) }));
    const refusal = await refusalOf(client.appendToStream(stream, events, { streamState: NO_STREAM, ...options }));
    expect(refusal).toMatchObject({ type: 'maximum-append-size-exceeded', maxAppendSize: 1024 * 1024 });
    expect(await refusalOf(readBack(client, stream))).toMatchObject({ type: 'stream-not-found' });
  });

  it('to a stream whose name is too long, or that cannot be written, is refused with the reason', async () => {
    for (const name of ['x'.repeat(1025), '$all', '$$$$x']) {
      const refusal = await refusalOf(client.appendToStream(name, event(0), { ...options }));
      expect(String(refusal['message'])).toMatch(/1024 are allowed|not a stream that can be written/);
    }
    const longest = streamName(`x${'ü'.repeat(493)}`);
    expect(Buffer.byteLength(longest)).toBe(1024);
    await client.appendToStream(longest, event(0), { ...options });
    expect(await readBack(client, longest)).toHaveLength(1);
  });
});

describe('an append', () => {
  it('keeps types, contents, metadata and bytes as they came', async () => {
    const stream = streamName();
    const id = randomUUID();
    const data = { text: 'grüße \u{1f511}', deep: { list: [1, 2.5, null, true] } };
    await client.appendToStream(stream, [
      {
        contentType: 'application/json',
        id,
        type: 'Ünusual type',
        data,
        metadata: { $correlationId: 'c-1', actor: 'a' },
      },
      {
        contentType: 'application/octet-stream',
        id: randomUUID(),
        type: 'Bytes',
        data: Uint8Array.of(0, 255, 10),
        metadata: undefined,
      },
    ]);
    const [json, bytes] = await records(client, stream);
    expect(json).toMatchObject({ id, type: 'Ünusual type', isJson: true, data, metadata: { $correlationId: 'c-1' } });
    expect(bytes?.isJson).toBe(false);
    expect([...(bytes?.data as Uint8Array)]).toEqual([0, 255, 10]);
  });

  it('of many events lies together in $all while others write', async () => {
    const batches = Array.from({ length: 40 }, (_, index) => ({
      stream: streamName('batch'),
      events: Array.from({ length: 1 + (index % 7) }, (_unused, n) => event(n)),
    }));
    const results = await Promise.all(
      batches.map(({ stream, events }) => client.appendToStream(stream, events, { streamState: NO_STREAM })),
    );
    for (const [index, { stream, events }] of batches.entries()) {
      const last = landed(results[index]!).position ?? 0;
      const positions = (await readBack(client, stream)).map(({ position }) => position);
      expect(positions).toEqual(events.map((_, n) => last - events.length + 1 + n));
    }
  });

  it('larger than one message is put together again from its fragments', async () => {
    const stream = streamName();
    const events = Array.from({ length: 200 }, (_, n) => event(n, { filler: 'y'.repeat(2000) }));
    await client.appendToStream(stream, events, { streamState: NO_STREAM, batchAppendSize: 10_000 });
    expect((await readBack(client, stream)).map(({ n }) => n)).toEqual(events.map((_, n) => n));
  });

  it('that is already past its deadline writes nothing', async () => {
    const stream = streamName();
    const refusal = await refusalOf(client.appendToStream(stream, event(0), { deadline: -1000 }));
    expect(refusal).toMatchObject({ type: 'deadline-exceeded' });
    expect(await refusalOf(readBack(client, stream))).toMatchObject({ type: 'stream-not-found' });
  });

  it('of no events says where the stream is', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0));
    expect(landed(await client.appendToStream(stream, [], { streamState: 0n }))).toEqual({
      revision: 0,
      position: undefined,
    });
  });
});

describe('a deleted stream', () => {
  it('reads as missing, and goes on with its numbering when it is written again', async () => {
    const stream = streamName();
    await client.appendToStream(stream, [event(0), event(1)]);
    await client.deleteStream(stream, { expectedRevision: 1n });
    expect(await refusalOf(readBack(client, stream))).toMatchObject({ type: 'stream-not-found' });
    expect(await refusalOf(client.appendToStream(stream, event(2), { streamState: STREAM_EXISTS }))).toMatchObject({
      type: 'wrong-expected-version',
    });
    await client.appendToStream(stream, event(2), { streamState: NO_STREAM });
    expect((await readBack(client, stream)).map(({ n, revision }) => [n, revision])).toEqual([[2, 2]]);
  });

  it('is not deleted at another revision than the expected', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0));
    const refusal = await refusalOf(client.deleteStream(stream, { expectedRevision: 4n }));
    expect(refusal).toMatchObject({
      type: 'wrong-expected-version',
      streamName: stream,
      expectedState: 4n,
      actualState: 0n,
    });
    expect(await readBack(client, stream)).toHaveLength(1);
  });

  it('with a tombstone is gone for ever, for readers and for writers', async () => {
    const stream = streamName();
    await client.appendToStream(stream, event(0));
    await client.tombstoneStream(stream, { expectedRevision: 0n });
    expect(await refusalOf(readBack(client, stream))).toMatchObject({ type: 'stream-deleted', streamName: stream });
    for (const { options } of ways) {
      const refusal = await refusalOf(client.appendToStream(stream, event(1), { ...options }));
      expect(refusal).toMatchObject({ type: 'stream-deleted', streamName: stream });
    }
  });

  it('keeps the rest of its metadata, and metadata can limit what a stream shows', async () => {
    const stream = streamName();
    await client.appendToStream(stream, [event(0), event(1), event(2), event(3)]);
    await client.setStreamMetadata(stream, { maxCount: 2, owner: 'team-7' });
    expect((await readBack(client, stream)).map(({ n }) => n)).toEqual([2, 3]);
    await client.deleteStream(stream);
    await client.appendToStream(stream, [event(4), event(5), event(6)], { streamState: NO_STREAM });
    expect((await readBack(client, stream)).map(({ n }) => n)).toEqual([5, 6]);
    const { metadata } = await client.getStreamMetadata(stream);
    expect(metadata).toEqual({ maxCount: 2, owner: 'team-7', truncateBefore: 4 });
  });
});
