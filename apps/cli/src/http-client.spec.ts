import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Interrupted, Refused, Unreachable, UsageError } from './exit.js';
import { HttpClient } from './http-client.js';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that gives one answer after the other and keeps what it was asked. */
async function serving(...answers: Answer[]): Promise<{ url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  server = createServer((request, response) => {
    const answer = answers[Math.min(seen.length, answers.length - 1)];
    seen.push(request);
    request.resume().on('end', () => answer?.(request, response));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
const cutOff: Answer = (request) => request.socket.destroy();
const unavailable = json(503, { title: 'A part that this needs cannot be reached', code: 'UNAVAILABLE' });

function clientOf(url: string, timeoutMs = 5_000): HttpClient {
  return new HttpClient({ url, credential: 'secret', timeoutMs, userAgent: 'test' });
}

describe('a call to the api', () => {
  it('goes below the path of the URL, with the credential as a bearer token', async () => {
    const { url, seen } = await serving(json(200, { items: [] }));
    await clientOf(`${url}/ledger/`).call({ method: 'GET', path: '/v1/keys', query: { limit: 2, cursor: undefined } });
    expect(seen[0]?.url).toBe('/ledger/v1/keys?limit=2');
    expect(seen[0]?.headers.authorization).toBe('Bearer secret');
  });

  it('carries words of people in headers as UTF-8', async () => {
    const { url, seen } = await serving(json(200, {}));
    const headers = { 'x-keyledger-reason': 'Schlüssel 鍵' };
    await clientOf(url).call({ method: 'PATCH', path: '/v1/keys/k', headers });
    const raw = seen[0]?.headers['x-keyledger-reason'] as string;
    expect(Buffer.from(raw, 'latin1').toString('utf8')).toBe('Schlüssel 鍵');
  });

  it('is repeated under one Idempotency-Key when the connection breaks, and gives the answer in the end', async () => {
    const { url, seen } = await serving(cutOff, cutOff, json(201, { keyId: 'k' }));
    const call = { method: 'POST', path: '/v1/keys', body: {}, idempotencyKey: 'one-intent' } as const;
    expect(await clientOf(url).call(call)).toEqual({ keyId: 'k' });
    expect(seen.map(({ headers }) => headers['idempotency-key'])).toEqual(['one-intent', 'one-intent', 'one-intent']);
  });

  it('gives up after three tries and names the Idempotency-Key under which it can be repeated', async () => {
    const { url, seen } = await serving(unavailable);
    const call = clientOf(url).call({ method: 'POST', path: '/v1/keys', body: {}, idempotencyKey: 'one-intent' });
    const error = await call.catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Unreachable);
    expect(error).toMatchObject({ idempotencyKey: 'one-intent', problem: { code: 'UNAVAILABLE' } });
    expect(seen).toHaveLength(3);
  });

  it.each([
    ['may be done where a try of it was not answered', [cutOff, unavailable], true],
    ['may be done where a gateway answers for the server', [json(502, {})], true],
    ['is what every answer says it is', [unavailable], false],
  ])('that changes something %s', async (_, answers, mayBeDone) => {
    const { url } = await serving(...answers);
    const call = clientOf(url).call({ method: 'POST', path: '/v1/keys', body: {}, idempotencyKey: 'one-intent' });
    await expect(call).rejects.toMatchObject({ mayBeDone });
  });

  it('may be done where a signal ends the wait for the answer, and is not asked again', async () => {
    const stop = new AbortController();
    const { url, seen } = await serving(() => stop.abort('SIGTERM'));
    const call = {
      method: 'POST',
      path: '/v1/keys',
      body: {},
      idempotencyKey: 'one-intent',
      stop: stop.signal,
    } as const;
    const error = await clientOf(url)
      .call(call)
      .catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Interrupted);
    expect(error).toMatchObject({ signal: 'SIGTERM', mayBeDone: true, idempotencyKey: 'one-intent' });
    expect(seen).toHaveLength(1);
  });

  it('is sent once when repeating it could do it twice', async () => {
    const { url, seen } = await serving(cutOff);
    const call = clientOf(url).call({ method: 'PATCH', path: '/v1/keys/k', body: {} });
    await expect(call).rejects.toBeInstanceOf(Unreachable);
    expect(seen).toHaveLength(1);
  });

  it('waits for a first try that still runs', async () => {
    const { url, seen } = await serving(
      json(409, { title: 'still running', code: 'IN_PROGRESS' }),
      json(201, { keyId: 'k' }),
    );
    const call = { method: 'POST', path: '/v1/keys', body: {}, idempotencyKey: 'one-intent' } as const;
    expect(await clientOf(url).call(call)).toEqual({ keyId: 'k' });
    expect(seen).toHaveLength(2);
  });

  it('is not repeated when the server says no, and passes the whole problem on', async () => {
    const problem = {
      title: 'no',
      status: 422,
      code: 'POLICY',
      errors: [{ field: 'lifetime', message: 'is too long' }],
    };
    const { url, seen } = await serving(json(422, problem));
    const error = await clientOf(url)
      .call({ method: 'GET', path: '/v1/keys' })
      .catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Refused);
    expect(error).toMatchObject({ problem });
    expect(seen).toHaveLength(1);
  });

  it('ends at its timeout when the server never answers', async () => {
    const { url } = await serving(() => undefined);
    const call = clientOf(url, 50).call({ method: 'PATCH', path: '/v1/keys/k', body: {} });
    await expect(call).rejects.toThrow('did not answer within 0.05 s');
  });

  it('takes no answer of a stranger for one of ours', async () => {
    const { url } = await serving((_, response) => void response.writeHead(200).end('<html>'));
    await expect(clientOf(url).call({ method: 'GET', path: '/v1/keys' })).rejects.toBeInstanceOf(Refused);
  });

  it('does not carry the credential along a redirect', async () => {
    const { url, seen } = await serving((_, response) => void response.writeHead(302, { location: '/other' }).end());
    await expect(clientOf(url).call({ method: 'PATCH', path: '/v1/keys/k' })).rejects.toBeInstanceOf(Unreachable);
    expect(seen.map((request) => request.url)).toEqual(['/v1/keys/k']);
  });

  it.each(['nonsense', 'ftp://host', 'http://user:password@host', 'http://host?key=1'])(
    'refuses %s as a URL before it sends',
    (url) => {
      expect(() => clientOf(url)).toThrow(UsageError);
    },
  );
});
