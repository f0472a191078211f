import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Outbound } from './outbound.js';
import { TargetGuard } from './target-guard.js';

let server: Server;
let port: number;
const seen: string[] = [];

const BEHAVIOURS: Record<string, (response: ServerResponse) => void> = {
  '/ok': (response) => response.writeHead(200).end('fine'),
  '/silent': () => undefined,
  '/drip': (response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('.'), 20);
    response.on('close', () => clearInterval(timer));
  },
  '/reset': (response) => {
    response.writeHead(200, { 'content-length': '9' });
    response.write('half', () => response.destroy());
  },
  '/huge': (response) => {
    response.writeHead(200);
    const more = (): void => {
      if (response.destroyed) return;
      if (response.write('x'.repeat(65_536))) setImmediate(more);
      else response.once('drain', more);
    };
    more();
  },
  '/moved': (response) => response.writeHead(302, { location: `http://127.0.0.1:${port}/ok` }).end(),
  '/busy': (response) => response.writeHead(429, { 'retry-after': '17' }).end(),
};

beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(request.url ?? '');
    request.resume().on('end', () => BEHAVIOURS[request.url ?? '']?.(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const post = (path: string, { allowed = ['127.0.0.1'], timeoutMs = 5000, host = '127.0.0.1' } = {}) =>
  new Outbound(new TargetGuard(allowed, new Set()), timeoutMs).post({
    url: `http://${host}:${port}${path}`,
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });

describe('a message', () => {
  it('is answered with status and body', async () => {
    expect(await post('/ok')).toEqual({ status: 200, body: 'fine' });
  });

  it('is not sent to where a redirect points', async () => {
    seen.length = 0;
    expect((await post('/moved')).status).toBe(302);
    expect(seen).toEqual(['/moved']);
  });

  it('brings back how long its receiver wants to be left alone', async () => {
    expect(await post('/busy')).toMatchObject({ status: 429, retryAfterSeconds: 17 });
  });

  it.each(['/silent', '/drip'])('is given up at its time, however its receiver stalls: %s', async (path) => {
    await expect(post(path, { timeoutMs: 300 })).rejects.toMatchObject({ reason: 'timeout' });
  });

  it('whose answer breaks off has none', async () => {
    await expect(post('/reset')).rejects.toMatchObject({ reason: 'broken' });
  });

  it('reads a bounded part of an answer without end', async () => {
    const { status, body } = await post('/huge');
    expect([status, body.length]).toEqual([200, 16_384]);
  });

  it('to a port where nobody listens says so', async () => {
    const outbound = new Outbound(new TargetGuard(['127.0.0.1'], new Set()));
    const message = { url: 'http://127.0.0.1:1/', headers: {}, body: '' };
    await expect(outbound.post(message)).rejects.toMatchObject({ reason: 'unreachable' });
  });
});

describe('an address inside', () => {
  it.each(['127.0.0.1', 'localhost', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]'])(
    'is refused before a byte is sent, also behind the name or form %s',
    async (host) => {
      seen.length = 0;
      await expect(post('/ok', { allowed: [], host })).rejects.toMatchObject({ reason: 'refused' });
      expect(seen).toEqual([]);
    },
  );
});
