import {
  makeGenericClientConstructor,
  type CallOptions,
  type ChannelOptions,
  type Client,
  type Metadata,
} from '@grpc/grpc-js';
import type { KurrentDBClient } from '@kurrent/kurrentdb-client';
import { convertToCommandError } from '@kurrent/kurrentdb-client/dist/utils/CommandError.js';
import type { Duplex, Readable } from 'node:stream';
import { EventStoreRefused } from './errors.js';

/**
 * Calls over the official client's own channel, with bytes in and out, for what the client itself does at several times
 * the cost or not at all. What of it is used beyond its public face stands here: look here when it is upgraded.
 */
interface ClientInside {
  GRPCStreamCreator<T>(type: unknown, name: string, create: (calls: Calls) => T): () => Promise<T>;
  callArguments(base: object, options: object): [Metadata, CallOptions];
  supports(method: { path: string }): Promise<boolean>;
  createChannel: () => Promise<{ internalChannel: { getOptions(): ChannelOptions } }>;
}

type Calls = Client & {
  read(request: Buffer, metadata: Metadata, options: CallOptions): Cancellable<Readable>;
  batchAppend(metadata: Metadata, options: CallOptions): Duplex;
};
type Cancellable<T> = T & { cancel(): void };

const SERVICE = '/event_store.client.streams.Streams';
const BATCH_APPEND = `${SERVICE}/BatchAppend`;
const same = (bytes: Buffer): Buffer => bytes;
const bytes = {
  responseStream: true,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

const Streams = makeGenericClientConstructor(
  {
    read: { path: `${SERVICE}/Read`, requestStream: false, ...bytes },
    batchAppend: { path: BATCH_APPEND, requestStream: true, ...bytes },
  },
  'Streams',
);

/**
 * What a server may send of one call before this process, busy with what came before, has looked at it. With the 64 KB
 * that gRPC has by itself a store stands still while sixty events are written to Redis.
 */
const FLOW_CONTROL_WINDOW_BYTES = 512 * 1024;

/** Lets the channels that a client makes from now on take more in advance. The client has no setting for it. */
export function widen(client: KurrentDBClient): KurrentDBClient {
  const { createChannel } = inside(client);
  inside(client).createChannel = async () => {
    const channel = await createChannel();
    channel.internalChannel.getOptions()['grpc-node.flow_control_window'] = FLOW_CONTROL_WINDOW_BYTES;
    return channel;
  };
  return client;
}

/** @throws the client's errors, an error of gRPC where no call could be opened */
export function openRead(client: KurrentDBClient, request: Buffer): Promise<Cancellable<Readable>> {
  return open(client, 'read', (calls, callArguments) => calls.read(request, ...callArguments));
}

/** None where the server does not know this call, as before 21.10. @throws as `openRead` */
export async function openBatchAppend(client: KurrentDBClient): Promise<Duplex | undefined> {
  if (!(await inside(client).supports({ path: BATCH_APPEND }))) return undefined;
  return open(client, 'append', (calls, callArguments) => calls.batchAppend(...callArguments));
}

function open<T>(
  client: KurrentDBClient,
  name: string,
  begin: (calls: Calls, callArguments: [Metadata, CallOptions]) => T,
): Promise<T> {
  const create = inside(client).GRPCStreamCreator(Streams, name, (calls) =>
    begin(calls, inside(client).callArguments({}, { deadline: Infinity })),
  );
  return create();
}

const inside = (client: KurrentDBClient): ClientInside => client as unknown as ClientInside;

const DENIED = [7, 16];

/** What a call's error means if the server does not let us in: `PERMISSION_DENIED`, `UNAUTHENTICATED`. */
export function denialIn(error: Error): EventStoreRefused | undefined {
  return DENIED.includes((error as { code?: unknown }).code as number) ? denied() : undefined;
}

/** What the client would make of an error of a call that is its own. */
export function clientErrorOf(error: Error): Error {
  return denialIn(error) ?? convertToCommandError(error);
}

export const denied = (): EventStoreRefused => new EventStoreRefused('the event store denies access', 'access-denied');
