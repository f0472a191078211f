/** A server as they were before 21.10, for the suite that proves what appends promise there. */
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { rawMethod } from '../../apps/eventstore/src/transport.js';
import { APPEND_PATH, READ_PATH } from '../../apps/eventstore/src/wire/node-messages.js';

/**
 * What becomes of an append: it goes on to the store and its answer back; it is made and its answer `lost`, or the call
 * is `broken` instead; or it is `swallowed` on its way there.
 */
export type Fate = 'passed' | 'lost' | 'broken' | 'swallowed';

export interface OlderServer {
  readonly url: string;
  /** The messages of every append that came, as bytes. */
  readonly appends: Buffer[][];
  close(): void;
}

const same = (bytes: Buffer): Buffer => bytes;

/**
 * The real store behind `port`, without what 21.10 brought: no BatchAppend, and nobody to ask which methods there are.
 * @param fateOf by how many appends came, this one counted
 */
export async function startOlderServer(port: number, fateOf: (attempt: number) => Fate): Promise<OlderServer> {
  const store = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const appends: Buffer[][] = [];

  const append = async (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>): Promise<void> => {
    const messages: Buffer[] = [];
    for await (const message of call as AsyncIterable<Buffer>) messages.push(message);
    appends.push(messages);
    const fate = fateOf(appends.length);
    if (fate === 'swallowed') return;
    const onwards = store.makeClientStreamRequest<Buffer, Buffer>(APPEND_PATH, same, same, (error, made) => {
      if (fate === 'broken') answer({ code: status.UNAVAILABLE, details: 'the connection was lost' });
      else if (fate === 'passed') answer(error, made);
    });
    for (const message of messages) onwards.write(message);
    onwards.end();
  };
  const read = (call: ServerWritableStream<Buffer, Buffer>): void => {
    const from = store.makeServerStreamRequest<Buffer, Buffer>(READ_PATH, same, same, call.request);
    from
      .on('data', (message: Buffer) => call.write(message))
      .on('end', () => call.end())
      .on('error', (error: ServiceError) => call.emit('error', error));
    call.on('cancelled', () => from.cancel());
  };

  const server = new Server();
  server.addService(
    {
      read: rawMethod(READ_PATH, { request: false, response: true }),
      append: rawMethod(APPEND_PATH, { request: true, response: false }),
    },
    {
      read,
      append: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        append(call, answer).catch(() => undefined);
      },
    },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  const close = (): void => {
    server.forceShutdown();
    store.close();
  };
  return { url: `kurrentdb://127.0.0.1:${bound}?tls=false`, appends, close };
}
