import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A message as it came. */
export interface Delivery {
  path: string;
  headers: IncomingHttpHeaders;
  /** The raw body, over which its signature goes. */
  text: string;
}

export interface Receiver {
  readonly url: string;
  /** Everything that came, in its order. */
  readonly deliveries: Delivery[];
  /** Those that came to a path. */
  at(path: string): Delivery[];
  close(): Promise<void>;
}

/** How a receiver behaves at a path, once the body is there; 204 where nothing else is said. */
export type Behaviour = (response: ServerResponse, delivery: Delivery) => void;

/** Receivers that do what receivers do on a bad day. */
export const MISBEHAVIOURS = {
  silent: () => undefined,
  /** An answer that never ends. */
  endless: (response) => {
    response.writeHead(200);
    const more = (): void =>
      void (response.write('x'.repeat(65_536)) ? setImmediate(more) : response.once('drain', more));
    more();
  },
  /** A good status, and then the connection is reset. */
  half: (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => response.destroy());
  },
} satisfies Record<string, Behaviour>;

/**
 * A real receiver of webhooks on loopback.
 * @param behaviours by the first part of the path, e.g. `gone` for `/gone/1`
 */
export async function startReceiver(
  behaviours: Record<string, Behaviour> = {},
  tls?: ServerOptions,
): Promise<Receiver> {
  const deliveries: Delivery[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const path = request.url ?? '/';
    const delivery = { path, headers: request.headers, text: Buffer.concat(chunks).toString('utf8') };
    deliveries.push(delivery);
    const behave = behaviours[path.split('/')[1] ?? ''];
    if (behave) behave(response, delivery);
    else response.writeHead(204).end();
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).catch(() => response.destroy());
  };
  const server: Server = tls ? createTlsServer(tls, onRequest) : createServer(onRequest);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    deliveries,
    at: (path) => deliveries.filter((delivery) => delivery.path === path),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
