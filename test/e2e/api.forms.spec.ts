import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generateSignerKey } from '@keyledger/audit';
import { eventually, http, startSystem, type Answer, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';
import { against, type Json } from './openapi.js';

let system: System;
let desk: Desk;
let keyspaceId: string;
let document: Json;

const JSON_TYPE = 'application/json';
const NDJSON = 'application/x-ndjson';
const BATCH = 'application/cloudevents-batch+json';

beforeAll(async () => {
  system = await startSystem({
    KEYLEDGER_SIGNING_KEY: generateSignerKey('keys.example.com/audit'),
    KEYLEDGER_AUDIT_CHECKPOINT_SECONDS: '1',
  });
  desk = new Desk(system);
  keyspaceId = await desk.keyspace();
  await desk.issue(keyspaceId);
  document = (await desk.admin.get('/openapi.json')).body;
  await eventually('a checkpoint is signed', async () => (await desk.admin.get('/v1/audit/checkpoint')).status === 200);
});

afterAll(async () => {
  await desk?.dispose();
  await system?.stop();
});

/** What every HTTP answer may have, and what the document says of all refusals in words. */
const COMMON =
  /^(date|connection|keep-alive|content-(type|length|security-policy)|transfer-encoding|cache-control|x-content-type-options|x-request-id)$/;

/** What of an answer its route does not say: its media type, the shape of its body, its headers. */
function untold(method: string, path: string, { status, headers, body }: Answer): string[] {
  const told = document.paths[path][method].responses[status];
  const type = headers.get('content-type')?.split(';')[0] ?? '';
  const content = told.content?.[type];
  const described = Object.keys(told.headers ?? {}).map((name) => name.toLowerCase());
  const undescribed = [...headers.keys()].filter((name) => !COMMON.test(name) && !described.includes(name));
  const value = /\bjson\b/.test(type) ? body : body.text;
  return [
    ...(content ? against(document.components.schemas, content.schema, value, type) : [`${type} is not documented`]),
    ...undescribed.map((name) => `${name} is not documented`),
  ];
}

describe('the document says of every form of an answer', () => {
  it('that text is text and that only JSON is an object', () => {
    const wrong: string[] = [];
    for (const [path, item] of Object.entries<Json>(document.paths)) {
      for (const [method, { responses }] of Object.entries<Json>(item)) {
        for (const [type, { schema }] of Object.entries<Json>(responses['200']?.content ?? {})) {
          if (/\bjson$/.test(type) === (schema.type === 'string')) wrong.push(`${method} ${path} ${type}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    ['/v1/audit/events', '', [JSON_TYPE, NDJSON, 'text/csv', BATCH]],
    ['/v1/audit/state', '', [JSON_TYPE, NDJSON, 'text/csv']],
    ['/v1/audit/diff', '?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z', [JSON_TYPE, NDJSON]],
    ['/v1/audit/reports/{name}', '', [JSON_TYPE, 'text/csv', 'text/html']],
    ['/v1/audit/checkpoint', '', [JSON_TYPE, 'text/plain']],
    ['/v1/audit/proof/inclusion', '?index=0', [JSON_TYPE, 'text/plain']],
    ['/v1/audit/export', '', [NDJSON]],
  ] as const)('what %s sends: its media type, its shape and its headers', async (path, query, types) => {
    for (const type of types) {
      const answer = await desk.admin.get(path.replace('{name}', 'inventory') + query, { accept: type });
      expect([answer.status, answer.headers.get('content-type')?.split(';')[0]]).toEqual([200, type]);
      expect(untold('get', path, answer)).toEqual([]);
    }
    const forms = Object.keys(document.paths[path].get.responses['200'].content);
    expect(forms.filter((form) => form !== 'text/event-stream').sort()).toEqual([...types].sort());
  });

  it('where to go on, which comes with a batch of CloudEvents', async () => {
    const batch = await desk.admin.get('/v1/audit/events?limit=1', { accept: BATCH });
    const told = document.paths['/v1/audit/events'].get.responses['200'].headers;
    expect([batch.body.length, batch.headers.get('x-keyledger-next-position')]).toEqual([
      1,
      String(Number(batch.body[0].sequence)),
    ]);
    expect(told).toHaveProperty('X-Keyledger-Next-Position');
  });

  it('the headers of what was made', async () => {
    const issued = await desk.admin.post('/v1/keys', requestFor(keyspaceId));
    expect([issued.status, untold('post', '/v1/keys', issued)]).toEqual([201, []]);
  });

  it('the challenge that names a missing scope, to a gateway as to everybody', async () => {
    const { key } = await desk.issue(keyspaceId);
    const lacking = await http(system.api.baseUrl, key).get('/v1/authorize', { 'x-keyledger-scopes': 'never:held' });
    const reader = http(system.api.baseUrl, await desk.credential('keys:read'));
    const refused = await reader.get('/v1/audit/events');
    for (const [path, answer] of [
      ['/v1/authorize', lacking],
      ['/v1/audit/events', refused],
    ] as const) {
      expect([answer.status, answer.headers.has('www-authenticate')]).toEqual([403, true]);
      expect(untold('get', path, answer)).toEqual([]);
    }
  });
});
