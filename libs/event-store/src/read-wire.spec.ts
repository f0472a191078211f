import { describe, expect, it } from '@jest/globals';
import { KurrentDBClient } from '@kurrent/kurrentdb-client';
import { convertGrpcEvent } from '@kurrent/kurrentdb-client/dist/utils/convertGrpcEvent.js';
import sharedPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js';
import streamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import fc from 'fast-check';
import { PassThrough } from 'node:stream';
import type { Resolved } from './codec.js';
import { Checkpoint, decodeReadResponse, encodeSubscriptionRequest, type RawResolved } from './read-wire.js';

// Against the official client's own writing and reading of the protocol.

const places = fc.bigInt({ min: 1n, max: 2n ** 53n - 1n });
const positions = fc.record({ commit: places, prepare: places });
const names = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });

describe('a request for a subscription', () => {
  it('has the same bytes as the official client sends', async () => {
    const client = KurrentDBClient.connectionString('kurrentdb://127.0.0.1:1?tls=false');
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.constant('start' as const), positions),
        fc.array(names, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 1000 }),
        async (from, streamPrefixes, checkpointWindows) => {
          const sent = requestOf(client);
          const filter = {
            filterOn: 'streamName' as const,
            prefixes: streamPrefixes,
            checkpointInterval: checkpointWindows,
          };
          client.subscribeToAll({ fromPosition: from, filter });
          expect(encodeSubscriptionRequest({ from, streamPrefixes, checkpointWindows })).toEqual(await sent);
        },
      ),
    );
    await client.dispose();
  });
});

const bodies = fc.oneof(
  fc.json().map((json) => Buffer.from(json)),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
);
const recorded = fc.record({
  id: fc.uuid(),
  stream: names,
  revision: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
  position: positions,
  data: bodies,
  metadata: bodies,
  described: fc.record({
    type: names,
    'content-type': fc.constantFrom('application/json', 'application/octet-stream', 'application/jsonl', 'text'),
    // Ticks of 100 ns until the year 2255.
    created: fc.oneof(fc.bigInt({ min: 0n, max: 9_000_000_000_000_0000n }).map(String), fc.constant('yesterday')),
    other: fc.string(),
  }),
});
const readEvents = fc
  .record({
    event: fc.option(recorded, { nil: undefined }),
    link: fc.option(recorded, { nil: undefined }),
    commitPosition: fc.option(places, { nil: undefined }),
  })
  .filter(({ event, link }) => event !== undefined || link !== undefined);

describe('what a server says', () => {
  it('of an event, is read as the official client reads it', () => {
    fc.assert(
      fc.property(readEvents, (one) => {
        const bytes = bytesOf(eventMessage(one));
        const theirs = streamsPb.ReadResp.deserializeBinary(bytes).getEvent() as streamsPb.ReadResp.ReadEvent;
        expect(shown(decodeReadResponse(bytes) as RawResolved)).toEqual(shown(convertGrpcEvent(theirs)));
      }),
    );
  });

  it('of the way of a subscription, is told apart', () => {
    fc.assert(
      fc.property(positions, (position) => {
        const checkpoint = new streamsPb.ReadResp.Checkpoint();
        checkpoint.setCommitPosition(String(position.commit));
        checkpoint.setPreparePosition(String(position.prepare));
        const message = new streamsPb.ReadResp();
        message.setCheckpoint(checkpoint);
        expect(decodeReadResponse(bytesOf(message))).toEqual(new Checkpoint(position));
      }),
    );
    const said = (set: (message: streamsPb.ReadResp) => void): unknown => {
      const message = new streamsPb.ReadResp();
      set(message);
      return decodeReadResponse(bytesOf(message));
    };
    expect(said((one) => one.setConfirmation(new streamsPb.ReadResp.SubscriptionConfirmation()))).toBe('confirmed');
    expect(said((one) => one.setCaughtUp(new streamsPb.ReadResp.CaughtUp()))).toBe('caught-up');
    expect(said((one) => one.setFellBehind(new streamsPb.ReadResp.FellBehind()))).toBe('fell-behind');
    expect(said((one) => one.setStreamNotFound(new streamsPb.ReadResp.StreamNotFound()))).toBe('stream-not-found');
  });

  it('of what this build does not know, is passed over', () => {
    const message = new streamsPb.ReadResp();
    message.setFirstStreamPosition('7');
    expect(decodeReadResponse(bytesOf(message))).toBeUndefined();
    // Field 77 with a number, 4 and 8 bytes, and a text.
    for (const unknown of ['e80401', 'ed0401020304', 'e9040102030405060708', 'ea04026869']) {
      expect(decodeReadResponse(Buffer.from(unknown, 'hex'))).toBeUndefined();
    }
  });

  it('is an event, nothing, or an error of one kind, whatever the bytes', () => {
    const damaged = fc
      .tuple(readEvents, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255), fc.boolean())
      .map(([one, place, value, cut]) => {
        const bytes = bytesOf(eventMessage(one));
        const at = Math.floor(place * (bytes.length - 1));
        if (cut) return bytes.subarray(0, at);
        bytes[at] = value;
        return bytes;
      });
    const anything = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(damaged, anything), (bytes) => {
        try {
          const news = decodeReadResponse(bytes);
          if (typeof news === 'object' && !(news instanceof Checkpoint)) shown(news);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

/** The next request of the client, which goes nowhere. */
function requestOf(client: KurrentDBClient): Promise<Buffer> {
  return new Promise((resolve) => {
    type Calls = { read: (request: streamsPb.ReadReq) => PassThrough };
    const create = (_type: unknown, _name: string, begin: (calls: Calls) => PassThrough) => async () =>
      begin({
        read: (request) => {
          resolve(Buffer.from(request.serializeBinary()));
          return new PassThrough({ objectMode: true });
        },
      });
    Object.assign(client, { GRPCStreamCreator: create });
  });
}

type ReadEvent = typeof readEvents extends fc.Arbitrary<infer One> ? One : never;

function eventMessage({ event, link, commitPosition }: ReadEvent): streamsPb.ReadResp {
  const read = new streamsPb.ReadResp.ReadEvent();
  if (event) read.setEvent(recordedMessage(event));
  if (link) read.setLink(recordedMessage(link));
  if (commitPosition === undefined) read.setNoPosition(new sharedPb.Empty());
  else read.setCommitPosition(String(commitPosition));
  const message = new streamsPb.ReadResp();
  message.setEvent(read);
  return message;
}

function recordedMessage(one: NonNullable<ReadEvent['event']>): streamsPb.ReadResp.ReadEvent.RecordedEvent {
  const uuid = new sharedPb.UUID();
  uuid.setString(one.id);
  const identifier = new sharedPb.StreamIdentifier();
  identifier.setStreamName(Buffer.from(one.stream));
  const message = new streamsPb.ReadResp.ReadEvent.RecordedEvent();
  message.setId(uuid);
  message.setStreamIdentifier(identifier);
  message.setStreamRevision(String(one.revision));
  message.setCommitPosition(String(one.position.commit));
  message.setPreparePosition(String(one.position.prepare));
  for (const [name, value] of Object.entries(one.described)) message.getMetadataMap().set(name, value);
  message.setData(one.data);
  message.setCustomMetadata(one.metadata);
  return message;
}

/** All that a reader can see of an event. */
function shown({ event, link, commitPosition }: Resolved): object {
  const see = (one: Resolved['event']): object | undefined =>
    one && {
      id: one.id,
      streamId: one.streamId,
      revision: one.revision,
      type: one.type,
      isJson: one.isJson,
      data: plain(one.data),
      metadata: plain(one.metadata),
      created: one.created.getTime(),
      position: one.position,
    };
  return { event: see(event), link: see(link), commitPosition };
}

const plain = (value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value);

const bytesOf = (message: streamsPb.ReadResp): Buffer => Buffer.from(message.serializeBinary());
