import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, http, startEventStore, startSystem, temporaryFolder, type System } from '../support/index.js';
import { EventStore } from '@keyledger/event-store';
import { Desk } from './api.harness.js';
import { mismatches, type Json } from './openapi.js';

let system: System;
let desk: Desk;

beforeAll(async () => {
  system = await startSystem({ KEYLEDGER_LOG_LEVEL: 'debug' });
  desk = new Desk(system);
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

/** What Fastify itself says that it serves: `METHOD /path` with `{parameter}`. */
function servedRoutes(logs: string): string[] {
  const line = logs.split('\n').find((one) => one.includes('"msg":"routes"')) ?? '{"routes":[]}';
  const tree = (JSON.parse(line) as { routes: string[] }).routes;
  const path: string[] = [];
  return tree.flatMap((entry) => {
    const [, indent = '', segment = '', methods] = /^([│ ]*)[├└]── (\S*)(?: \((.*)\))?$/.exec(entry) ?? [];
    const depth = indent.length / 4;
    path.length = depth;
    path[depth] = segment;
    const url = path.join('').replace(/:(\w+)/g, '{$1}');
    return (methods?.split(', ') ?? []).map((method) => `${method} ${url}`);
  });
}

describe('the document', () => {
  it('has every route that runs here, and no other', async () => {
    const { body } = await http(system.api.baseUrl).get('/openapi.json');
    const documented = Object.entries(body.paths as Record<string, object>)
      .flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`))
      .sort();
    // HEAD comes with GET; forward-auth takes every method, and what lies behind its path; the page brings its files.
    const served = servedRoutes(system.api.logs())
      .filter((route) => !/^(HEAD|OPTIONS|TRACE|QUERY) |\*| \/docs\//.test(route))
      .filter((route) => !route.endsWith(' /v1/authorize') || route.startsWith('GET '))
      .sort();
    expect(served.length).toBeGreaterThan(20);
    expect(documented).toEqual(served);
  });

  it('is OpenAPI 3.1 in which every reference leads somewhere and every operation says what it answers', async () => {
    const { body, headers } = await http(system.api.baseUrl).get('/openapi.json');
    expect(headers.get('content-type')).toContain('application/json');
    expect(body.openapi).toBe('3.1.0');
    const text = JSON.stringify(body);
    expect(text).not.toContain('x-keyledger-traits');
    expect(text).not.toContain('"nullable"');
    for (const [, name = ''] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(body.components.schemas).toHaveProperty([name]);
    }
    const operations = Object.values(body.paths as Record<string, Record<string, Json>>).flatMap(Object.values);
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const operation of operations) {
      expect(operation).toMatchObject({ summary: expect.any(String), operationId: expect.any(String) });
      const answers = Object.entries(operation.responses as Record<string, Json>);
      const good = answers.filter(([status]) => status.startsWith('2'));
      expect({ id: operation.operationId, good: good.length }).toEqual({ id: operation.operationId, good: 1 });
      for (const [, answer] of good) expect(answer.content ?? answer.headers).toBeDefined();
    }
    const issue = body.components.schemas.IssueKeyRequest;
    expect(issue).toMatchObject({
      additionalProperties: false,
      required: ['keyspaceId', 'environment', 'name', 'owner', 'scopes'],
      properties: {
        name: { type: 'string', minLength: 1, maxLength: 200 },
        scopes: { type: 'array', maxItems: 100 },
        expiresAt: { type: ['string', 'null'], format: 'date-time' },
      },
    });
  });

  it('is what the api answers: names of fields and their types', async () => {
    const { body } = await http(system.api.baseUrl).get('/openapi.json');
    const id = await desk.keyspace();
    const issued = await desk.issue(id);
    for (const [schema, value] of [
      ['ChangedKeyspace', (await desk.admin.patch(`/v1/keyspaces/${id}`, { name: 'New' })).body],
      ['IssuedKey', issued],
      ['KeyView', (await desk.admin.get(`/v1/keys/${issued.keyId}`)).body],
      ['KeyList', (await desk.admin.get('/v1/keys?limit=1')).body],
      ['RotatedKey', (await desk.admin.post(`/v1/keys/${issued.keyId}/rotate`, {})).body],
      ['ChangedKey', (await desk.admin.post(`/v1/keys/${issued.keyId}/suspend`, { reason: 'x' })).body],
      ['RevokedKey', (await desk.admin.post(`/v1/keys/${issued.keyId}/revoke`, { reason: 'other' })).body],
      ['SystemStatus', (await desk.admin.get('/v1/system/status')).body],
      ['ProblemView', (await desk.admin.post('/v1/keys', {})).body],
    ] as const) {
      expect({ schema, problems: mismatches(body.components.schemas, schema, value) }).toEqual({
        schema,
        problems: [],
      });
    }
  });

  it('is shown as a page that needs nothing from elsewhere', async () => {
    const client = http(system.api.baseUrl);
    const page = await client.get('/docs');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')]);
    const parts = [...(page.body.text as string).matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, url = '']) => url);
    expect(parts.length).toBeGreaterThan(2);
    for (const url of parts) {
      expect(url).toMatch(/^\.\//);
      expect([url, (await client.get(`/${url.slice(2)}`)).status]).toEqual([url, 200]);
    }
    expect((await client.get('/docs/swagger-ui-init.js')).body.text).toContain('keys.issue');
  });
});

describe('the system routes', () => {
  it('tell versions, stores and projections', async () => {
    const { status, body } = await desk.admin.get('/v1/system/status');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      node: process.version,
      eventStore: { reachable: true },
      redis: { reachable: true },
      projections: { current: true, generation: expect.any(String) },
    });
  });

  it('rebuild the read model, and tell how that went', async () => {
    await desk.issue(await desk.keyspace());
    const { generation } = (await desk.admin.get('/v1/system/projections')).body;
    const started = await desk.admin.post('/v1/system/projections/rebuild');
    expect([started.status, started.body]).toEqual([202, { rebuildId: expect.any(String) }]);
    const done = await eventually('the rebuild is done', async () => {
      const { body } = await desk.admin.get('/v1/system/projections');
      return body.rebuild.lastRebuild?.rebuildId === started.body.rebuildId && body;
    });
    expect(done.rebuild).toMatchObject({ state: 'idle', lastRebuild: { cause: 'request', equal: true } });
    expect(done.generation).not.toBe(generation);
  });

  it('are measured, and probed without a credential', async () => {
    const open = http(system.api.baseUrl);
    expect((await open.get('/health/live')).status).toBe(200);
    expect((await open.get('/health/ready')).body).toMatchObject({
      status: 'ok',
      checks: { firstStart: { status: 'ok' } },
    });
    const { body } = await open.get('/metrics');
    expect(body.text).toMatch(/keyledger_http_request_duration_seconds_count\{[^}]*route="\/v1\/system\/status"/);
  });
});

describe('a backup', () => {
  it('is a copy that an event store serves, made while the system runs', async () => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const folder = join(temporaryFolder(), 'copy');
    const { status, body } = await desk.admin.post('/v1/system/backup', { folder });
    expect([status, body]).toEqual([
      200,
      { folder, position: expect.stringMatching(/^\d+$/), bytes: expect.any(Number) },
    ]);
    const restored = await startEventStore({ folder });
    const store = new EventStore({ url: restored.url });
    expect((await store.load(`key-${keyId}`)).events.map(({ event }) => event.type)).toEqual(['KeyIssued']);
    await store.dispose();
    await restored.stop();
  });

  it('is refused into a folder that is in use, or that cannot be', async () => {
    const used = join(temporaryFolder(), 'used');
    mkdirSync(used);
    writeFileSync(join(used, 'mine.txt'), 'x');
    for (const folder of [used, 'relative/path', '']) {
      const { status, body } = await desk.admin.post('/v1/system/backup', { folder });
      expect([folder, status, body.errors[0].field]).toEqual([folder, 400, 'folder']);
    }
  });
});
