import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startSystem, type Answer, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let desk: Desk;
let keyspaceId: string;
let operations: Operation[];

const NOBODY = 'nobody1234567890';

/** What the document says of one route. */
interface Operation {
  method: string;
  path: string;
  /** It is one of the management routes, which a guard stands before. */
  scoped: boolean;
  takesIfMatch: boolean;
  responses: Record<string, { content?: Record<string, unknown> }>;
}

interface Described {
  parameters?: { name: string }[];
  responses: Operation['responses'];
}

beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
  keyspaceId = await desk.keyspace();
  operations = operationsIn((await desk.admin.get('/openapi.json')).body.paths);
  expect(operations.filter(({ scoped }) => scoped).length).toBeGreaterThan(50);
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

function operationsIn(paths: Record<string, Record<string, Described>>): Operation[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path: path.replace(/\{\w+\}/g, NOBODY),
      scoped: path.startsWith('/v1/') && !/^\/v1\/(verify|authorize|integrations)/.test(path),
      takesIfMatch: (operation.parameters ?? []).some(({ name }) => name === 'If-Match'),
      responses: operation.responses,
    })),
  );
}

const fieldsOf = ({ body }: Answer): string[] => (body.errors ?? []).map(({ field }: { field: string }) => field);

describe('what no route reads is refused by every route, naming it:', () => {
  it.each(['surplus', '__proto__', 'constructor', 'toString'])('a query called %s', async (name) => {
    const before = await desk.head();
    const taken: string[] = [];
    for (const { method, path } of operations.filter(({ scoped }) => scoped)) {
      const answer = await desk.admin.request(method, `${path}?${name}=1`, method === 'GET' ? undefined : {});
      if (answer.status !== 400 || !fieldsOf(answer).includes(name)) taken.push(`${method} ${path} ${answer.status}`);
    }
    expect(taken).toEqual([]);
    expect(await desk.head()).toBe(before);
  });

  it('a member of a body', async () => {
    const before = await desk.head();
    const taken: string[] = [];
    for (const { method, path } of operations.filter(({ scoped, method }) => scoped && method !== 'GET')) {
      const answer = await desk.admin.request(method, path, { dryRun: true });
      if (answer.status !== 400 || !fieldsOf(answer).includes('dryRun'))
        taken.push(`${method} ${path} ${answer.status}`);
    }
    expect(taken).toEqual([]);
    expect(await desk.head()).toBe(before);
  });

  it('a field of the verification, which says what would be right for whatever else is wrong', async () => {
    for (const [body, field] of [
      [{ key: 'k', surplus: 1 }, 'surplus'],
      [{}, 'key'],
      [{ key: 7 }, 'key'],
      [{ key: '' }, 'key'],
      [{ key: 'k'.repeat(4097) }, 'key'],
      [{ key: 'k', scopes: 'a' }, 'scopes'],
      [{ key: 'k', scopes: Array(51).fill('a') }, 'scopes'],
      [{ key: 'k', scopes: [''] }, 'scopes[0]'],
      [{ key: 'k', cost: -1 }, 'cost'],
      [{ key: 'k', cost: 1e9 }, 'cost'],
      [{ key: 'k', cost: '1' }, 'cost'],
      [[], 'body'],
    ] as const) {
      const answer = await desk.admin.post('/v1/verify', body);
      expect([answer.status, fieldsOf(answer)]).toEqual([400, [field]]);
      expect(answer.body.errors[0].fix).toEqual(expect.any(String));
      expect(answer.body.errors[0].fix).not.toContain('undefined');
    }
  });

  it('a query of the verification', async () => {
    for (const { baseUrl } of [system.api, system.verifier]) {
      const response = await fetch(`${baseUrl}/v1/verify?keyspaceId=${keyspaceId}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${system.adminKey}` },
        body: '{"key": "x"}',
      });
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([400, 'INVALID']);
    }
  });

  it('while an empty body, or none, is fine where none is taken', async () => {
    for (const body of [undefined, {}]) {
      const id = await desk.keyspace();
      expect((await desk.admin.post(`/v1/keyspaces/${id}/archive`, body)).status).toBe(200);
    }
  });
});

describe('the document says of every route that it answers', () => {
  const changing = () => operations.filter(({ scoped, method }) => scoped && method !== 'GET');

  it('415 to what is no JSON, and 413 to what is too large', async () => {
    for (const { method, path, responses } of changing()) {
      const answer = await desk.admin.request(method, path, 'x', { 'content-type': 'text/plain' });
      expect([method, path, answer.status]).toEqual([method, path, 415]);
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['413', '415']));
    }
  });

  it('413 to an id in its path that is too long', async () => {
    const routes = operations.filter(({ scoped, path }) => scoped && path.includes(NOBODY));
    expect(routes.length).toBeGreaterThan(20);
    for (const { method, path, responses } of routes) {
      const answer = await desk.admin.request(method, path.replace(NOBODY, 'x'.repeat(4000)));
      expect([method, path, answer.status, '413' in responses]).toEqual([method, path, 413, true]);
    }
  });

  it('400 to If-Match, naming it, or else takes it', async () => {
    const before = await desk.head();
    const routes = changing();
    expect(routes.filter(({ takesIfMatch }) => takesIfMatch).length).toBeGreaterThan(10);
    for (const { method, path, takesIfMatch, responses } of routes) {
      expect([method, path, '412' in responses]).toEqual([method, path, takesIfMatch]);
      for (const tag of takesIfMatch ? [] : ['"999999"', 'W/"1"', '*', 'x']) {
        const answer = await desk.admin.request(method, path, {}, { 'if-match': tag });
        expect([method, path, answer.status, fieldsOf(answer)]).toEqual([method, path, 400, ['If-Match']]);
      }
    }
    expect(await desk.head()).toBe(before);
  });

  it('what media type its answers have, problems for all that it refuses', () => {
    const untold = operations.flatMap(({ method, path, responses }) =>
      Object.entries(responses).flatMap(([status, { content = {} }]) => {
        const types = Object.keys(content);
        const isGood = status >= '400' ? types.join() === 'application/problem+json' : types.length > 0;
        const saysNothing = status === '204' || path === '/v1/authorize' || path === '/health/ready';
        return isGood || (saysNothing && (status < '400' || path === '/health/ready'))
          ? []
          : [`${method} ${path} ${status}`];
      }),
    );
    expect(untold).toEqual([]);
  });

  it.each([
    ['gitleaks', 'application/toml'],
    ['trufflehog', 'application/yaml'],
    ['secretlint', 'application/json'],
  ])('rules for %s as %s', async (format, type) => {
    const path = `/v1/keyspaces/${NOBODY}/scanner-rules`;
    const told = operations.find((operation) => operation.path === path)?.responses['200']?.content ?? {};
    expect(Object.keys(told)).toContain(type);
    const { headers } = await desk.admin.get(`/v1/keyspaces/${keyspaceId}/scanner-rules?format=${format}`);
    expect(headers.get('content-type')).toBe(`${type}; charset=utf-8`);
  });

  it('with no request id where it sends none, and with no address where it may be erased', async () => {
    const { body } = await desk.admin.get('/openapi.json');
    expect(body.paths['/v1/verify'].post.responses['200'].headers).not.toHaveProperty('X-Request-Id');
    const { schemas } = body.components;
    expect(schemas.LeakedKeyView.properties.owner).toEqual({ $ref: '#/components/schemas/OwnerView' });
    expect(schemas.ContactView.properties.email).not.toHaveProperty('format');
  });
});

describe('a body is JSON in UTF-8 that says one thing:', () => {
  const send = async (body: string | Uint8Array<ArrayBuffer>, contentType = 'application/json', path = '/v1/keys') => {
    const before = await desk.head();
    const response = await fetch(system.api.baseUrl + path, {
      method: 'POST',
      headers: { 'content-type': contentType, authorization: `Bearer ${system.adminKey}` },
      body,
    });
    const answer: Answer = { status: response.status, headers: response.headers, body: await response.json() };
    if (answer.status >= 400) expect(await desk.head()).toBe(before);
    return answer;
  };
  const issue = () => JSON.stringify(requestFor(keyspaceId));

  it.each(['/v1/keys', '/v1/verify'])('%s refuses bytes that are no UTF-8', async (path) => {
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
      const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from(bytes), Buffer.from('"}')]);
      const { status, body: problem } = await send(body, 'application/json', path);
      expect([status, problem.code, problem.detail]).toEqual([400, 'MALFORMED', 'The body is not valid UTF-8.']);
    }
  });

  it.each(['utf-16', 'UTF-16LE', 'iso-8859-1', '"utf-16"', 'utf-8x'])('charset=%s is refused', async (charset) => {
    const { status, body } = await send(issue(), `application/json; charset=${charset}`);
    expect([status, body.code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
  });

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])(
    '%s is taken',
    async (contentType) => {
      expect(await send(issue(), contentType)).toMatchObject({ status: 201 });
    },
  );

  it.each([
    ['/v1/keys', '{"name":"a","name":"b"}', 'name'],
    ['/v1/keys', '{"owner":{"id":"a","type":"service","id":"b"}}', 'owner.id'],
    ['/v1/keys/import', '{"keys":[{},{"name":"a","\\u006eame":"b"}]}', 'keys[1].name'],
    ['/v1/verify', '{"key":"a","key":"b"}', 'key'],
  ])('%s refuses %s, naming the member', async (path, body, field) => {
    const answer = await send(body, 'application/json', path);
    expect([answer.status, fieldsOf(answer)]).toEqual([400, [field]]);
  });
});

describe('numbers', () => {
  it.each(['0x10', '1e3', '+1', ' 5', '5 ', '1.0', '', '-1', '٣', '1_0', '9'.repeat(17)])(
    'are decimal digits in a query, not %j',
    async (text) => {
      for (const query of ['keys?limit=', 'audit/proof/inclusion?index=', 'audit/proof/consistency?first=']) {
        const answer = await desk.admin.get(`/v1/${query}${encodeURIComponent(text)}`);
        expect([answer.status, fieldsOf(answer)]).toEqual([400, [query.split(/[?=]/)[1]]]);
      }
    },
  );

  it.each([true, false, '', ' 1 ', '0x1', '1', null, 1.5, -1, [1], 1e300])(
    'are JSON numbers in a body, not %j',
    async (revision) => {
      const answer = await desk.admin.post('/v1/audit/explain', { keyId: 'nobody1234567890', revision });
      expect([answer.status, fieldsOf(answer)]).toEqual([400, ['revision']]);
    },
  );
});
