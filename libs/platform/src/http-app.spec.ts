import 'reflect-metadata';
import { Body, Controller, Get, Inject, Module, Post, type OnApplicationShutdown } from '@nestjs/common';
import { refusal, type Problem } from '@keyledger/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { IsInt, IsString, MaxLength, ValidateNested } from 'class-validator';
import { Type } from 'class-transformer';
import { connect } from 'node:net';
import {
  AuthGuard,
  CREDENTIALS,
  CurrentCaller,
  Public,
  RequireScope,
  type Caller,
  type CredentialCheck,
} from './auth.js';
import { FailedCredentials } from './failed-credentials.js';
import { READINESS } from './health.js';
import { bootstrapHttp, type HttpApp } from './http-app.js';
import { createLogger } from './logger.js';
import { Metrics } from './metrics.js';
import { RefusalError, unavailable } from './problem.js';

class OwnerDto {
  @IsString({ context: { fix: 'the id of an application' } })
  id!: string;
}
class ThingDto {
  @IsString()
  @MaxLength(5, { context: { fix: 'at most 5 characters' } })
  name!: string;
  @IsInt({ each: true })
  counts!: number[];
  @ValidateNested()
  @Type(() => OwnerDto)
  owner!: OwnerDto;
}

class Downstream extends Error {}
const GOOD = `system_live_ABCDEFGHIJKL_${'a'.repeat(49)}`;
const WEAK = `system_live_MNOPQRSTUVWX_${'b'.repeat(49)}`;
const log: string[] = [];
const hooked: string[] = [];
let shutDown = 0;

const credentials: CredentialCheck = {
  check: async (presented) => {
    if (presented === 'down') throw new Downstream('redis://:hunter2secret@host is gone');
    if (presented === GOOD) return { keyId: 'k1', scopes: ['keys:*@acme'], owner: { id: 'ops', type: 'service' } };
    if (presented === WEAK) return { keyId: 'k2', scopes: ['audit:read'], owner: { id: 'ops', type: 'service' } };
    return undefined;
  },
};

@Controller('v1/things')
class ThingsController implements OnApplicationShutdown {
  constructor(@Inject(CREDENTIALS) readonly check: CredentialCheck) {}
  onApplicationShutdown() {
    shutDown++;
  }
  @Post()
  @RequireScope('keys:issue')
  make(@Body() thing: ThingDto, @CurrentCaller() caller: Caller) {
    return { thing, caller };
  }
  @Get('refused')
  @Public()
  refused() {
    throw new RefusalError(refusal('POLICY', 'No.', [{ field: 'a', message: 'is wrong' }]));
  }
  @Get('broken')
  @Public()
  broken() {
    throw new Error(`cannot do it with ${GOOD}`);
  }
  @Get('unmarked')
  unmarked() {
    return 'never';
  }
}

@Module({
  controllers: [ThingsController],
  providers: [
    { provide: CREDENTIALS, useValue: credentials },
    {
      provide: READINESS,
      useValue: {
        good: () => undefined,
        bad: () => {
          if (failing) throw new Error('redis://:hunter2secret@host is gone');
        },
      },
    },
  ],
})
class ThingsModule {}

let failing = false;
let running: HttpApp;
let base: string;
const metrics = new Metrics('test');
const logger = createLogger('test', 'trace', { write: (line) => void log.push(line) });

beforeAll(async () => {
  running = await bootstrapHttp(ThingsModule, {
    name: 'test',
    host: '127.0.0.1',
    port: 0,
    trustedProxies: [],
    logger,
    metrics,
    translate: (error) =>
      error instanceof Downstream ? unavailable('The read model cannot be reached.', 2) : undefined,
    hotRoutes: (fastify) => {
      const schema = {
        body: { type: 'object', additionalProperties: false, required: ['a'], properties: { a: { type: 'integer' } } },
      };
      fastify.post('/hot', { config: { bare: true }, bodyLimit: 200, schema }, async () => ({ hot: true }));
    },
    configure: (app) => {
      app.useGlobalGuards(new AuthGuard(credentials, new FailedCredentials(logger, metrics)));
      const fastify = app.getHttpAdapter().getInstance();
      fastify.addHook('onRequest', async ({ url }) => void hooked.push(url));
    },
  });
  base = `http://127.0.0.1:${running.port}`;
});
afterAll(() => running.close());

const call = (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
  fetch(base + path, { method, headers, ...(body !== undefined && { body }) });
const json = { 'content-type': 'application/json' };
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const thing = JSON.stringify({ name: 'n', counts: [1], owner: { id: 'a' } });

async function problem(response: Response): Promise<Problem> {
  expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(response.headers.get('cache-control')).toBe('no-store');
  const body = (await response.json()) as Problem;
  expect(body.status).toBe(response.status);
  return body;
}

describe('an answer', () => {
  it('echoes a sane request id, makes one otherwise, and forbids caching', async () => {
    const sane = await call('GET', '/health/live', { 'x-request-id': 'my-request-1' });
    expect(sane.headers.get('x-request-id')).toBe('my-request-1');
    expect(sane.headers.get('cache-control')).toBe('no-store');
    const odd = await call('GET', '/health/live', { 'x-request-id': 'a b"c' });
    expect(odd.headers.get('x-request-id')).toMatch(/^[0-9A-Za-z]{10}-[0-9a-z]+$/);
  });

  it('carries what the route gave and who called', async () => {
    const response = await call('POST', '/v1/things', { ...json, ...bearer(GOOD) }, thing);
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({
      thing: { name: 'n' },
      caller: { scope: 'keys:issue', reach: ['acme'] },
    });
  });
});

describe('a problem', () => {
  it('names every field that a DTO refuses, with what is right', async () => {
    const body = JSON.stringify({ name: 'too long', counts: [1, 'x'], owner: { id: 3 }, extra: true });
    const { code, errors } = await problem(await call('POST', '/v1/things', { ...json, ...bearer(GOOD) }, body));
    expect(code).toBe('INVALID');
    expect(errors).toEqual(
      expect.arrayContaining([
        { field: 'name', message: 'must be shorter than or equal to 5 characters', fix: 'at most 5 characters' },
        { field: 'owner.id', message: 'must be a string', fix: 'the id of an application' },
        { field: 'extra', message: 'is no field of this request', fix: 'leave it out' },
        expect.objectContaining({ field: 'counts' }),
      ]),
    );
  });

  it.each([
    ['malformed JSON', 'POST', '/v1/things', json, '{"name":', 400, 'MALFORMED'],
    ['an empty body', 'POST', '/v1/things', json, '', 400, 'MALFORMED'],
    [
      'a body that is no JSON',
      'POST',
      '/v1/things',
      { 'content-type': 'text/plain' },
      'x',
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    ['a prototype in the body', 'POST', '/v1/things', json, '{"__proto__":{}}', 400, 'MALFORMED'],
    ['an oversized body', 'POST', '/v1/things', json, `"${'x'.repeat(1_100_000)}"`, 413, 'TOO_LARGE'],
    ['a route that is not there', 'GET', '/v1/nothing', {}, undefined, 404, 'NOT_FOUND'],
    ['a method that the route does not take', 'DELETE', '/v1/things', {}, undefined, 405, 'METHOD_NOT_ALLOWED'],
    ['a URL that cannot be decoded', 'GET', '/v1/%zz', {}, undefined, 400, 'MALFORMED'],
    ['a refusal', 'GET', '/v1/things/refused', {}, undefined, 422, 'POLICY'],
  ])('is the answer to %s', async (_, method, path, headers, body, status, code) => {
    const response = await call(method, path, { ...headers, ...bearer(GOOD) }, body);
    expect(response.status).toBe(status);
    expect(await problem(response)).toMatchObject({ code, type: `urn:keyledger:problem:${code}` });
    if (status === 405) expect(response.headers.get('allow')).toBe('POST');
  });

  it('says nothing about the cause of a fault of ours, and the log names it without the key', async () => {
    const response = await call('GET', '/v1/things/broken', { 'x-request-id': 'broken-request' });
    const body = JSON.stringify(await problem(response));
    expect(response.status).toBe(500);
    expect(body).not.toContain('cannot do it');
    const line = log.find((one) => one.includes('broken-request')) ?? '';
    expect(line).toContain('cannot do it with system_live_ABCDEFGHIJKL_…aaaa');
    expect(log.join()).not.toContain('a'.repeat(20));
  });

  it('tells when to come back if a part cannot be reached, and does not say where that part is', async () => {
    const response = await call('POST', '/v1/things', { ...json, ...bearer('down') }, thing);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await problem(response)).toMatchObject({ code: 'UNAVAILABLE', detail: 'The read model cannot be reached.' });
    expect(log.join()).not.toContain('hunter2secret');
  });
});

describe('the guard', () => {
  it('challenges whoever brings no key with a bare challenge', async () => {
    const response = await call('POST', '/v1/things', json, thing);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="keyledger"');
    expect((await problem(response)).code).toBe('NO_CREDENTIAL');
  });

  it('answers every unusable key with the same bytes', async () => {
    const keys = ['x', `acme_live_ABCDEFGHIJKL_${'c'.repeat(49)}`, '-'.repeat(300)];
    const answers = await Promise.all(
      keys.map((key) => call('POST', '/v1/things', { ...json, ...bearer(key) }, thing)),
    );
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    expect(new Set(bodies).size).toBe(1);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    expect(answers[0]?.headers.get('www-authenticate')).toContain('error="invalid_token"');
    expect(log.join()).toContain('acme_live_ABCDEFGHIJKL_…cccc');
    expect(log.join()).not.toContain('c'.repeat(20));
  });

  it('names the scope that a key lacks', async () => {
    const response = await call('POST', '/v1/things', { ...json, ...bearer(WEAK) }, thing);
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toContain('error="insufficient_scope", scope="keys:issue"');
    expect((await problem(response)).detail).toContain('keys:issue');
  });

  it('refuses two headers that carry different keys, and accepts the same key in both', async () => {
    const differing = await call('POST', '/v1/things', { ...json, ...bearer(GOOD), 'x-api-key': WEAK }, thing);
    expect(differing.status).toBe(400);
    const same = await call('POST', '/v1/things', { ...json, ...bearer(GOOD), 'x-api-key': GOOD }, thing);
    expect(same.status).toBe(201);
  });

  it('never opens a route that says nothing about who may call it', async () => {
    expect((await call('GET', '/v1/things/unmarked', bearer(GOOD))).status).toBe(500);
  });
});

describe('a route on Fastify itself', () => {
  const hot = (body: string) => call('POST', '/hot', json, body);
  it('answers', async () => {
    expect(await (await hot('{"a":1}')).json()).toEqual({ hot: true });
  });
  it('runs no hook of the others, not even of those that came after it', async () => {
    hooked.length = 0;
    await hot('{"a":1}');
    await call('GET', '/health/live');
    expect(hooked).toEqual(['/health/live']);
  });
  it('is found with a query too, and by another method as one that takes POST', async () => {
    expect(await (await call('POST', '/hot?b=1', json, '{"a":1}')).json()).toEqual({ hot: true });
    const other = await call('GET', '/hot');
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'POST']);
  });
  it('refuses unknown fields and other types, naming the field, instead of dropping or converting them', async () => {
    expect((await problem(await hot('{"a":1,"b":2}'))).errors).toEqual([
      { field: 'b', message: 'is no field of this request', fix: 'leave it out' },
    ]);
    expect((await problem(await hot('{"a":"1"}'))).errors).toMatchObject([{ field: 'a' }]);
    expect((await problem(await hot('{}'))).errors).toMatchObject([{ field: 'a', message: 'is missing' }]);
  });
  it('has its own limit and the same problems', async () => {
    expect((await problem(await hot(`{"a":${'1'.repeat(300)}}`))).code).toBe('TOO_LARGE');
    expect((await problem(await hot('{'))).code).toBe('MALFORMED');
  });
});

describe('health and metrics', () => {
  it('is ready while every check passes, and names the one that fails without its secrets', async () => {
    expect(await (await call('GET', '/health/ready')).json()).toEqual({
      status: 'ok',
      checks: { good: { status: 'ok' }, bad: { status: 'ok' } },
    });
    failing = true;
    const response = await call('GET', '/health/ready');
    failing = false;
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({
      status: 'failing',
      checks: { good: { status: 'ok' }, bad: { status: 'failing' } },
    });
    expect(text).not.toContain('hunter2secret');
  });

  it('measures requests by route, and leaves bare routes to themselves', async () => {
    await call('GET', '/v1/things/refused');
    const text = await (await call('GET', '/metrics')).text();
    expect(text).toMatch(
      /keyledger_http_request_duration_seconds_count\{.*route="\/v1\/things\/refused".*status="422".*\} \d/,
    );
    expect(text).not.toContain('route="/hot"');
    expect(text).toMatch(/keyledger_authentication_failures_total\{app="test"\} 3/);
  });
});

it.each([
  ['a request', 'GET /v1/things/refused', 422],
  ['a request to a hot route', 'GET /hot', 200],
])(
  'finishes %s that is under way when it is asked to stop, and then lets its providers go',
  async (_, line, status) => {
    const other = await bootstrapHttp(ThingsModule, {
      name: 'other',
      host: '127.0.0.1',
      port: 0,
      trustedProxies: [],
      logger,
      metrics: new Metrics('other'),
      hotRoutes: (fastify) => void fastify.get('/hot', { config: { bare: true } }, async () => ({ hot: true })),
    });
    const before = shutDown;
    const socket = connect(other.port, '127.0.0.1');
    const half = `${line} HTTP/1.1\r\nHost: x\r\n`;
    const answered = new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
    await new Promise<void>((resolve) => socket.write(half, () => resolve()));
    await fetch(`http://127.0.0.1:${other.port}/health/live`);
    const closed = other.close();
    expect(shutDown).toBe(before);
    socket.write('\r\n');
    expect(await answered).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*connection: close`, 'i'));
    await closed;
    expect(shutDown).toBe(before + 1);
  },
);
