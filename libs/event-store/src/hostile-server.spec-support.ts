import { Server, ServerCredentials, type ServerDuplexStream, type ServerWritableStream } from '@grpc/grpc-js';
import { afterEach } from '@jest/globals';
import serverFeaturesGrpc from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_grpc_pb.js';
import serverFeaturesPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js';
import sharedPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js';
import statusPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js';
import streamsGrpc from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_grpc_pb.js';
import streamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import protobufAny from 'google-protobuf/google/protobuf/any_pb.js';
import { randomUUID } from 'node:crypto';
import { EventStore } from './event-store.js';

// What no server of ours does, a cluster in trouble may: answers that get lost, streams that end without a word, a new
// leader that knows an append but not its ids. The peer here says exactly what a test tells it to say.

export type Append = ServerDuplexStream<streamsPb.BatchAppendReq, streamsPb.BatchAppendResp>;
export type Read = ServerWritableStream<streamsPb.ReadReq, streamsPb.ReadResp | Buffer>;
type OnAppend = (request: streamsPb.BatchAppendReq, call: Append, attempt: number) => void;

/** The native half of a client takes 500 ms for its first read. */
export const TIMEOUT_MS = 900;
export const STREAM = 'key-k1';
export const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Recorded {
  id: string;
  revision: number;
  position: number;
}

export function at(position: number): Recorded {
  return { id: randomUUID(), revision: position - 1, position };
}

export async function hostile(behaviour: {
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

export function success(request: streamsPb.BatchAppendReq, revision: number): streamsPb.BatchAppendResp {
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

export function wrongRevision(request: streamsPb.BatchAppendReq, actual: number): streamsPb.BatchAppendResp {
  const wrong = new sharedPb.WrongExpectedVersion();
  wrong.setCurrentStreamRevision(String(actual));
  wrong.setExpectedNoStream(new sharedPb.Empty());
  return failure(request, 'WrongExpectedVersion', wrong);
}

export const timeout = (request: streamsPb.BatchAppendReq): streamsPb.BatchAppendResp =>
  failure(request, 'Timeout', new sharedPb.Timeout());

export function readAnswer({ id, revision, position }: Recorded, dataBytes = 0): streamsPb.ReadResp {
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

export function confirmation(): streamsPb.ReadResp {
  const answer = new streamsPb.ReadResp();
  answer.setConfirmation(new streamsPb.ReadResp.SubscriptionConfirmation());
  return answer;
}

export function bytesOf(answer: streamsPb.ReadResp | Buffer): Buffer {
  return Buffer.isBuffer(answer) ? answer : Buffer.from(answer.serializeBinary());
}
