import { afterEach, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { checkHealth, NotReady } from './health.js';

let server: Server | undefined;
afterEach(() => {
  server?.close();
});

/** What is made of this answer to `GET /health/ready`. */
async function madeOf(status: number, body: string): Promise<unknown> {
  server = createServer((request, response) =>
    response.writeHead(request.url === '/health/ready' ? status : 404).end(body),
  );
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return checkHealth({ host: '127.0.0.1', port }).catch((error: unknown) => error);
}

it('a process that is ready is, whatever it says', async () => {
  expect(await madeOf(200, 'fine')).toBeUndefined();
});

it('of one that is not ready the failing parts are told, and how far those are that get there by themselves', async () => {
  const checks = {
    eventStore: { status: 'ok' },
    readModel: { status: 'failing', detail: 'it is being rebuilt', done: 40 },
    usage: { status: 'failing', detail: 'it is not there yet', done: 2 },
    leaks: { status: 'failing', detail: 'they are not followed' },
  };
  const error = await madeOf(503, JSON.stringify({ status: 'failing', checks }));
  expect(error).toBeInstanceOf(NotReady);
  expect(error).toMatchObject({
    message: 'readModel: it is being rebuilt; usage: it is not there yet; leaks: they are not followed',
    done: { readModel: 40, usage: 2 },
  });
});

it.each([
  [503, 'no server is available'],
  [404, '{"checks":{}}'],
])('an answer of somebody else, %d %s, is told as it came', async (status, body) => {
  const error = await madeOf(status, body);
  expect(error).not.toBeInstanceOf(NotReady);
  expect(error).toMatchObject({ message: `/health/ready answers ${status} ${body}` });
});
