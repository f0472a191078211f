import { afterEach, describe, expect, it } from '@jest/globals';
import { Server, ServerCredentials, status, type ServerDuplexStream, type ServerWritableStream } from '@grpc/grpc-js';
import type { EventMetadata } from '@keyledger/contracts';
import serverFeaturesGrpc from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_grpc_pb.js';
import serverFeaturesPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js';
import sharedPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js';
import statusPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js';
import streamsGrpc from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_grpc_pb.js';
import streamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import protobufAny from 'google-protobuf/google/protobuf/any_pb.js';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import type { NewEvent } from './codec.js';
import { Connection } from './connection.js';
import { RevisionConflict } from './errors.js';
import { EventStore } from './event-store.js';
import type { SubscribeOptions } from './feed.js';

// What no server of ours does, a cluster in trouble may: answers that get lost, streams that end without a word, a new
// leader that knows an append but not its ids. The peer here says exactly what a test tells it to say.

type Append = ServerDuplexStream<streamsPb.BatchAppendReq, streamsPb.BatchAppendResp>;
type Read = ServerWritableStream<streamsPb.ReadReq, streamsPb.ReadResp | Buffer>;
type OnAppend = (request: streamsPb.BatchAppendReq, call: Append, attempt: number) => void;

/** The native half of a client takes 500 ms for its first read. */
const TIMEOUT_MS = 900;
const STREAM = 'key-k1';
const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describe('an append whose answer got lost', () => {
  it('is asked for again with the same ids and the same revision', async () => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => attempt > 1 && call.write(success(request, 7)),
    });
    const event = newEvent();
    await expect(peer.store.append(STREAM, 6, [event])).resolves.toEqual({ revision: 7, position: 1007n });
    expect(peer.appends.map(idsOf)).toEqual([[event.id], [event.id]]);
    expect(peer.appends.map((one) => one.getOptions()?.getStreamPosition())).toEqual(['6', '6']);
  });

  it('is one that happened if the conflict that follows is with its own events', async () => {
    const events = [newEvent(), newEvent()];
    const peer = await hostile({
      onAppend: (request, call, attempt) => attempt > 1 && call.write(wrongRevision(request, 9)),
      recorded: events.map(({ id }, index) => ({ id, revision: index, position: 500 + index })),
    });
    await expect(peer.store.append(STREAM, -1, events)).resolves.toEqual({ revision: 1, position: 501n });
  });

  it.each([
    ['others', [randomUUID(), randomUUID()]],
    ['fewer', []],
  ])('is a conflict if the events there are %s', async (_, ids) => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => attempt > 1 && call.write(wrongRevision(request, 9)),
      recorded: ids.map((id, index) => ({ id, revision: index, position: 500 + index })),
    });
    const failed = peer.store.append(STREAM, -1, [newEvent(), newEvent()]);
    await expect(failed).rejects.toBeInstanceOf(RevisionConflict);
    await expect(failed).rejects.toMatchObject({ stream: STREAM, expectedRevision: -1, actualRevision: 9 });
  });

  it('is made good over a new call when the server ended the old one without a word', async () => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => (attempt === 1 ? call.end() : call.write(success(request, 0))),
    });
    await expect(peer.store.append(STREAM, -1, [newEvent()])).resolves.toEqual({ revision: 0, position: 1000n });
  });

  it.each([
    ['says nothing', () => undefined],
    [
      'fails every call',
      (_: unknown, call: Append) => call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'full' }),
    ],
    [
      'drops every call',
      (_: unknown, call: Append) => call.emit('error', { code: status.UNAVAILABLE, details: 'gone' }),
    ],
    ['reports a time-out', (request: streamsPb.BatchAppendReq, call: Append) => call.write(timeout(request))],
  ])('fails as unknown, after several attempts, when the server %s', async (_, onAppend) => {
    const peer = await hostile({ onAppend });
    const event = newEvent();
    const failed = peer.store.append(STREAM, -1, [event]);
    await expect(failed).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'unknown' });
    expect(peer.appends.length).toBeGreaterThan(1);
    expect(new Set(peer.appends.flatMap(idsOf))).toEqual(new Set([event.id]));
  });

  it('does not keep its place among the appends in flight for ever', async () => {
    const peer = await hostile({
      onAppend: (request, call) => request.getOptions()?.getNoStream() === undefined && call.write(success(request, 1)),
    });
    const silent = Array.from({ length: 300 }, () => peer.store.append(STREAM, -1, [newEvent()]));
    const outcomes = (await Promise.allSettled(silent)).map((one) => one.status === 'rejected' && one.reason.outcome);
    expect(new Set(outcomes)).toEqual(new Set(['unknown', 'not-done']));
  });
});

describe('appends that travel together', () => {
  const together = (count: number) =>
    Array.from({ length: count }, (_, nth) => {
      return { stream: `key-k${nth}`, expectedRevision: nth, events: [newEvent()] };
    });
  const placeOf = (request: streamsPb.BatchAppendReq): number =>
    Number(request.getOptions()?.getStreamPosition() ?? NaN);

  it('are made good one by one where the call ended under them: only what had no answer is sent again', async () => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => {
        if (attempt === 3) call.end();
        else if (attempt !== 2) call.write(success(request, placeOf(request) + 1));
      },
    });
    const appends = together(3);
    const outcomes = await peer.store.appendAll(appends);
    expect(outcomes).toEqual([1, 2, 3].map((revision) => ({ revision, position: BigInt(1000 + revision) })));
    expect(peer.appends.map(placeOf).sort()).toEqual([0, 1, 1, 2, 2]);
    expect(new Set(peer.appends.flatMap(idsOf))).toEqual(new Set(appends.map(({ events }) => events[0]?.id)));
  });

  it('fail alone: the conflict of one, and one that is too large, are those of their place', async () => {
    const peer = await hostile({
      onAppend: (request, call) => {
        const place = placeOf(request);
        call.write(place === 1 ? wrongRevision(request, 9) : success(request, place + 1));
      },
    });
    const appends = together(200);
    const large = { ...newEvent(), data: { keyId: 'x'.repeat(1_000_001) } as NewEvent['data'] };
    appends[2] = { stream: 'key-k2', expectedRevision: 2, events: [large] };
    const outcomes = await peer.store.appendAll(appends);
    expect(outcomes[1]).toMatchObject({ name: 'RevisionConflict', stream: 'key-k1', actualRevision: 9 });
    expect(outcomes[2]).toMatchObject({ name: 'EventStoreRefused', reason: 'too-large' });
    const others = outcomes.map((one, place) => (place === 1 || place === 2 ? [] : [one])).flat();
    expect(others).toEqual(
      [0, ...Array.from({ length: 197 }, (_, nth) => nth + 3)].map((place) => {
        return { revision: place + 1, position: BigInt(1001 + place) };
      }),
    );
  });

  it('are all unknown, and nothing else, when the server says nothing', async () => {
    const peer = await hostile({ onAppend: () => undefined });
    const outcomes = await peer.store.appendAll(together(3));
    for (const one of outcomes) expect(one).toMatchObject({ name: 'EventStoreUnavailable', outcome: 'unknown' });
  });
});

describe('a connection that has gone deaf', () => {
  it('is replaced: a server that once refused to say what it can is asked again', async () => {
    let refusals = 0;
    const peer = await hostile({
      onAppend: (request, call) => call.write(success(request, 0)),
      onFeatures: () => (refusals++ < 1 ? { code: status.UNKNOWN, details: 'not now' } : undefined),
    });
    const connection = new Connection(peer.url, TIMEOUT_MS, 0);
    closers.push(() => connection.close());
    const append = (): Promise<unknown> =>
      connection.call('append', (client) => client.appendToStream(STREAM, [], { streamState: 'no_stream' }));
    await expect(append()).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'not-done' });
    await expect(append()).resolves.toMatchObject({ success: true });
  });
});

describe('a subscription', () => {
  const cut = bytesOf(readAnswer(at(2))).subarray(0, 60);
  const nameless = readAnswer(at(2));
  nameless.getEvent()?.getEvent()?.clearStreamIdentifier();
  const empty = new streamsPb.ReadResp();
  empty.setEvent(new streamsPb.ReadResp.ReadEvent());

  it.each<[string, (call: Read) => unknown]>([
    ['says what is no message', (call) => call.write(Buffer.from('0fffffff', 'hex'))],
    ['cuts an event short', (call) => call.write(cut)],
    ['gives an event of no stream', (call) => call.write(nameless)],
    ['says that there is an event where there is none', (call) => call.write(empty)],
    ['ends it without a word', (call) => call.end()],
    ['drops it', (call) => call.emit('error', { code: status.UNAVAILABLE, details: 'gone' })],
    ['fails', (call) => call.emit('error', { code: status.INTERNAL, details: 'oops' })],
    ['refuses it', (call) => call.emit('error', { code: status.PERMISSION_DENIED, details: 'no' })],
  ])('whose server %s goes on behind what was given', async (_, misbehave) => {
    const peer = await hostile({
      onRead: (call, attempt) => {
        call.write(confirmation());
        call.write(readAnswer(at(attempt)));
        if (attempt === 1) misbehave(call);
      },
    });
    const states: string[] = [];
    const subscription = followed(peer.store, { onState: (state) => states.push(state) });
    await expect(subscription.until(2)).resolves.toEqual([1n, 2n]);
    expect(states).toEqual(['connected', 'disconnected', 'connected']);
    expect(peer.reads.map((one) => one.getOptions()?.getAll()?.getPosition()?.getCommitPosition())).toEqual([
      undefined,
      '1',
    ]);
  });

  it('is begun anew when the server does not confirm it, and the reader hears why', async () => {
    const peer = await hostile({
      onRead: (call, attempt) => {
        if (attempt === 1) return;
        call.write(confirmation());
        call.write(readAnswer(at(1)));
      },
    });
    const problems: string[] = [];
    const onState = (_: string, error?: Error): unknown => error && problems.push(error.message);
    await expect(followed(peer.store, { onState }).until(1)).resolves.toEqual([1n]);
    expect(problems).toEqual([expect.stringContaining(`did not begin a subscription within ${TIMEOUT_MS} ms`)]);
  });

  it('passes over what only newer servers say', async () => {
    const peer = await hostile({
      onRead: (call) => {
        call.write(Buffer.from('ea04026869', 'hex'));
        call.write(confirmation());
        call.write(Buffer.from('e80401', 'hex'));
        call.write(readAnswer(at(1)));
      },
    });
    await expect(followed(peer.store).until(1)).resolves.toEqual([1n]);
    expect(peer.reads).toHaveLength(1);
  });

  it('reads ahead of a slow reader by a bounded number of events, and then the server waits', async () => {
    const [events, maxBatch] = [3000, 20];
    const source = sending(events, 4000);
    const peer = await hostile(source);
    let [taken, mostAhead] = [0, 0];
    const subscription = followed(peer.store, {
      maxBatch,
      onBatch: async (count) => {
        for (let turns = 0; turns < 20; turns += 1) await turn();
        taken += count;
        mostAhead = Math.max(mostAhead, source.sent - taken);
      },
    });
    const positions = await subscription.until(events);
    expect(positions).toEqual(Array.from({ length: events }, (_, index) => BigInt(index + 1)));
    // Two batches; beside them what gRPC holds, and 512 KiB on the connection.
    expect(mostAhead).toBeLessThan(2 * maxBatch + 100 + (512 * 1024) / 4000);
    // Otherwise it stands still whenever its reader is busy for a moment.
    expect(mostAhead).toBeGreaterThan((64 * 1024) / 4000 + maxBatch);
  });

  it('says that a batch comes before it reads any of it, and gives nothing that came after that was heard', async () => {
    const events = 3000;
    const source = sending(events);
    const peer = await hostile(source);
    let [sentBefore, taken, told] = [0, 0, 0];
    const subscription = followed(peer.store, {
      maxBatch: 50,
      beforeBatch: async () => {
        const now = source.sent;
        for (let turns = 0; turns < 20; turns += 1) await turn();
        [sentBefore, told] = [now, told + 1];
      },
      onBatch: async (count) => {
        taken += count;
        expect(taken).toBeLessThanOrEqual(sentBefore);
        await turn();
      },
    });
    await expect(subscription.until(events)).resolves.toHaveLength(events);
    expect(told).toBeGreaterThanOrEqual(events / 50);
  });

  it('misses nothing that comes while its reader is told of what was no event', async () => {
    let send: () => void = () => undefined;
    const peer = await hostile({
      onRead: (call) => {
        call.write(confirmation());
        send = () => call.write(readAnswer(at(1)));
      },
    });
    const beforeBatch = async (): Promise<void> => {
      send();
      send = () => undefined;
      for (let turns = 0; turns < 200; turns += 1) await turn();
    };
    await expect(followed(peer.store, { beforeBatch }).until(1)).resolves.toEqual([1n]);
  });
});

/** A server that sends so many events as fast as they are taken from it, and how many it has sent. */
function sending(events: number, dataBytes = 0) {
  const source = {
    sent: 0,
    onRead: async (call: Read): Promise<void> => {
      call.write(confirmation());
      while (source.sent < events) {
        source.sent += 1;
        if (!call.write(readAnswer(at(source.sent), dataBytes))) await once(call, 'drain');
      }
    },
  };
  return source;
}

interface Followed {
  /** The positions of so many events. */
  until(count: number): Promise<bigint[]>;
}

function followed(
  store: EventStore,
  {
    onBatch,
    ...options
  }: Pick<SubscribeOptions, 'onState' | 'maxBatch' | 'beforeBatch'> & {
    onBatch?: (count: number) => Promise<void>;
  } = {},
): Followed {
  const stopping = new AbortController();
  closers.push(() => stopping.abort());
  const all = { after: 'start', streamPrefixes: ['key-'], signal: stopping.signal, ...options } as const;
  return {
    async until(count) {
      const positions: bigint[] = [];
      for await (const { events } of store.subscribeStored(all)) {
        positions.push(...events.map(({ position }) => position));
        await onBatch?.(events.length);
        if (positions.length >= count) return positions;
      }
      return positions;
    },
  };
}

describe('a read of rare events, for which the server looks longer than an answer may take', () => {
  const rare = { id: randomUUID(), revision: 0, position: 500 };
  const readRare = async (store: EventStore): Promise<unknown[]> => {
    const found: unknown[] = [];
    for await (const batch of store.readAll({ direction: 'forwards', streamPrefixes: ['key-'] })) found.push(...batch);
    return found;
  };
  const isSearch = (request: streamsPb.ReadReq): boolean => request.getOptions()?.hasFilter() ?? false;

  it('goes on while the server answers other questions', async () => {
    const peer = await hostile({
      onRead: (call) => {
        if (!isSearch(call.request)) call.end();
        else
          setTimeout(() => {
            call.write(readAnswer(rare));
            call.end();
          }, 2.5 * TIMEOUT_MS);
      },
    });
    expect(await readRare(peer.store)).toMatchObject([{ id: rare.id, stream: STREAM, position: 500n }]);
  });

  it('fails as unavailable when it does not', async () => {
    const peer = await hostile({ onRead: () => undefined });
    await expect(readRare(peer.store)).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'not-done' });
  });
});

it('a stream that the server does not give is waited for no longer than an answer may take, whatever else it answers', async () => {
  const ofOneStream = (request: streamsPb.ReadReq): boolean => request.getOptions()?.hasStream() ?? false;
  const peer = await hostile({
    onRead: (call) => {
      if (!ofOneStream(call.request)) call.end();
    },
  });
  await expect(peer.store.load(STREAM)).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'not-done' });
});

interface Recorded {
  id: string;
  revision: number;
  position: number;
}

function at(position: number): Recorded {
  return { id: randomUUID(), revision: position - 1, position };
}

async function hostile(behaviour: {
  onAppend?: OnAppend | (() => unknown);
  onRead?: (call: Read, attempt: number) => unknown;
  onFeatures?: () => { code: number; details: string } | undefined;
  recorded?: Recorded[];
}): Promise<{ store: EventStore; url: string; appends: streamsPb.BatchAppendReq[]; reads: streamsPb.ReadReq[] }> {
  const appends: streamsPb.BatchAppendReq[] = [];
  const reads: streamsPb.ReadReq[] = [];
  const server = new Server();
  server.addService(serverFeaturesGrpc.ServerFeaturesService, {
    getSupportedMethods: ((_: unknown, answer: (error: unknown, response: unknown) => void) => {
      const error = behaviour.onFeatures?.();
      answer(error ?? null, error ? null : features());
    }) as never,
  });
  const { batchAppend, read } = streamsGrpc.StreamsService;
  server.addService(
    { batchAppend, read: { ...read, responseSerialize: bytesOf } },
    {
      batchAppend: (call: Append) => {
        call.on('error', () => undefined);
        call.on('data', (request: streamsPb.BatchAppendReq) => {
          appends.push(request);
          behaviour.onAppend?.(request, call, appends.length);
        });
      },
      read: (call: Read) => {
        call.on('error', () => undefined);
        reads.push(call.request);
        if (behaviour.onRead) return void behaviour.onRead(call, reads.length);
        for (const recorded of behaviour.recorded ?? []) call.write(readAnswer(recorded));
        call.end();
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const url = `kurrentdb://127.0.0.1:${port}?tls=false`;
  const store = new EventStore({ url, timeoutMs: TIMEOUT_MS });
  closers.push(
    () => server.forceShutdown(),
    () => store.dispose(),
  );
  return { store, url, appends, reads };
}

function newEvent(): NewEvent {
  const data = { keyId: 'k1' } as NewEvent['data'];
  return { id: randomUUID(), type: 'KeyRevoked', data, metadata: {} as EventMetadata };
}

const idsOf = (request: streamsPb.BatchAppendReq): (string | undefined)[] =>
  request.getProposedMessagesList().map((message) => message.getId()?.getString());

function features(): serverFeaturesPb.SupportedMethods {
  const answer = new serverFeaturesPb.SupportedMethods();
  answer.setEventStoreServerVersion('25.1.0');
  const method = new serverFeaturesPb.SupportedMethod();
  method.setServiceName('event_store.client.streams.streams');
  method.setMethodName('batchappend');
  answer.addMethods(method);
  return answer;
}

function answerTo(request: streamsPb.BatchAppendReq): streamsPb.BatchAppendResp {
  const answer = new streamsPb.BatchAppendResp();
  answer.setCorrelationId(request.getCorrelationId());
  answer.setStreamIdentifier(request.getOptions()?.getStreamIdentifier());
  return answer;
}

function success(request: streamsPb.BatchAppendReq, revision: number): streamsPb.BatchAppendResp {
  const done = new streamsPb.BatchAppendResp.Success();
  done.setCurrentRevision(String(revision));
  const position = new sharedPb.AllStreamPosition();
  position.setCommitPosition(String(1000 + revision));
  position.setPreparePosition(String(1000 + revision));
  done.setPosition(position);
  const answer = answerTo(request);
  answer.setSuccess(done);
  return answer;
}

function failure(
  request: streamsPb.BatchAppendReq,
  type: string,
  details: { serializeBinary(): Uint8Array },
): streamsPb.BatchAppendResp {
  const any = new protobufAny.Any();
  any.pack(details.serializeBinary(), `event_store.client.${type}`);
  const error = new statusPb.Status();
  error.setDetails(any);
  const answer = answerTo(request);
  answer.setError(error);
  return answer;
}

function wrongRevision(request: streamsPb.BatchAppendReq, actual: number): streamsPb.BatchAppendResp {
  const wrong = new sharedPb.WrongExpectedVersion();
  wrong.setCurrentStreamRevision(String(actual));
  wrong.setExpectedNoStream(new sharedPb.Empty());
  return failure(request, 'WrongExpectedVersion', wrong);
}

const timeout = (request: streamsPb.BatchAppendReq): streamsPb.BatchAppendResp =>
  failure(request, 'Timeout', new sharedPb.Timeout());

function readAnswer({ id, revision, position }: Recorded, dataBytes = 0): streamsPb.ReadResp {
  const uuid = new sharedPb.UUID();
  uuid.setString(id);
  const identifier = new sharedPb.StreamIdentifier();
  identifier.setStreamName(Buffer.from(STREAM).toString('base64'));
  const event = new streamsPb.ReadResp.ReadEvent.RecordedEvent();
  event.setId(uuid);
  event.setStreamIdentifier(identifier);
  event.setStreamRevision(String(revision));
  event.setCommitPosition(String(position));
  event.setPreparePosition(String(position));
  event.getMetadataMap().set('type', 'KeyRevoked').set('content-type', 'application/json').set('created', '0');
  const now = '2026-01-01T00:00:00.000Z';
  const comment = 'x'.repeat(dataBytes);
  const revoked = { keyId: 'k1', reason: 'other', comment, requestedAt: now, revokedAt: now };
  event.setData(Buffer.from(JSON.stringify(revoked)).toString('base64'));
  const actor = { type: 'system', id: 'test' };
  const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
  const metadata = { schemaVersion: 1, actor, reason: 'test', ...names };
  event.setCustomMetadata(Buffer.from(JSON.stringify(metadata)).toString('base64'));
  const read = new streamsPb.ReadResp.ReadEvent();
  read.setEvent(event);
  read.setCommitPosition(String(position));
  const answer = new streamsPb.ReadResp();
  answer.setEvent(read);
  return answer;
}

function confirmation(): streamsPb.ReadResp {
  const answer = new streamsPb.ReadResp();
  answer.setConfirmation(new streamsPb.ReadResp.SubscriptionConfirmation());
  return answer;
}

function bytesOf(answer: streamsPb.ReadResp | Buffer): Buffer {
  return Buffer.isBuffer(answer) ? answer : Buffer.from(answer.serializeBinary());
}
