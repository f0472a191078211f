import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startSystem, type Answer, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let desk: Desk;
let keyspaceId: string;
let keyId: string;

beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
  keyspaceId = await desk.keyspace({ scopes: ['payments:*'], maxLifetime: 'P90D', maxGrace: 'P7D' });
  ({ keyId } = await desk.issue(keyspaceId));
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

/** Sends it, and expects a problem with this status and these fields, and that no event was appended. */
async function refused(send: () => Promise<Answer>, status: number, fields: readonly string[]): Promise<Answer> {
  const before = await desk.head();
  const answer = await send();
  expect({
    status: answer.status,
    fields: answer.body.errors?.map(({ field }: { field: string }) => field) ?? [],
  }).toEqual({ status, fields });
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(answer.body).toMatchObject({ status, title: expect.any(String), code: expect.any(String) });
  for (const error of answer.body.errors ?? []) {
    expect(error).toMatchObject({ message: expect.any(String), fix: expect.any(String) });
  }
  expect(await desk.head()).toBe(before);
  return answer;
}

type Row = [what: string, more: object | (() => object), status: number, fields: string[]];

const long = (length: number) => 'x'.repeat(length);
const entries = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));

const ISSUES: Row[] = [
  ['an unknown field', { nmae: 'x' }, 400, ['nmae']],
  ['an unknown field inside', { owner: { id: 'a', type: 'service', mail: 'x' } }, 400, ['owner.mail']],
  ['a missing field', { name: undefined }, 400, ['name']],
  ['a missing field inside', { owner: { type: 'service' } }, 400, ['owner.id']],
  ['a number for a text', { name: 7 }, 400, ['name']],
  ['null for a text', { name: null }, 400, ['name']],
  ['a text for an object', { owner: 'app' }, 400, ['owner']],
  ['a list for an object', { owner: [{ id: 'a', type: 'service' }] }, 400, ['owner']],
  ['a text for a list', { scopes: 'payments:read' }, 400, ['scopes']],
  ['an object for a list', { scopes: { 0: 'payments:read' } }, 400, ['scopes']],
  ['a number in a list of texts', { scopes: ['payments:read', 1] }, 400, ['scopes']],
  ['a word that is not in the list', { owner: { id: 'a', type: 'user' } }, 400, ['owner.type']],
  ['another word that is not in the list', { kind: 'public' }, 400, ['kind']],
  ['a name that is too long', { name: long(201) }, 400, ['name']],
  ['an empty name', { name: '' }, 400, ['name']],
  ['a name with a line break', { name: 'a\nb' }, 400, ['name']],
  ['an owner whose id is too long', { owner: { id: long(201), type: 'service' } }, 400, ['owner.id']],
  ['too many scopes', { scopes: Array.from({ length: 101 }, (_, i) => `payments:s${i}`) }, 400, ['scopes']],
  ['metadata with too many entries', { metadata: entries(51) }, 400, ['metadata']],
  ['metadata with too long a name', { metadata: { [long(65)]: 'v' } }, 400, ['metadata']],
  ['metadata with too long a value', { metadata: { a: long(1025) } }, 400, ['metadata']],
  ['metadata that is nested', { metadata: { a: { b: 'c' } } }, 400, ['metadata']],
  ['metadata that is a list', { metadata: ['a'] }, 400, ['metadata']],
  ['a name that objects inherit', { metadata: { constructor: 'x' } }, 400, ['metadata.constructor']],
  ['such a name at the top', { toString: 'x' }, 400, ['toString']],
  ['a duration in months', { lifetime: 'P1M' }, 400, ['lifetime']],
  ['a duration in words', { lifetime: '90 days' }, 400, ['lifetime']],
  ['a number for a duration', { lifetime: 90 }, 400, ['lifetime']],
  ['a duration of nothing', { lifetime: 'PT0S' }, 422, ['lifetime']],
  ['a lifetime beyond the policy', { lifetime: 'P91D' }, 422, ['lifetime']],
  ['a lifetime beside an expiry', { lifetime: 'P1D', expiresAt: '2090-01-01T00:00:00Z' }, 422, ['lifetime']],
  ['an expiry in the past', { expiresAt: '2020-01-01T00:00:00Z' }, 422, ['expiresAt']],
  ['an expiry without a zone', { expiresAt: '2090-01-01T00:00:00' }, 400, ['expiresAt']],
  ['an expiry that is no date', { expiresAt: 'tomorrow' }, 400, ['expiresAt']],
  ['an expiry as a number', { expiresAt: 1893456000 }, 400, ['expiresAt']],
  ['an expiry beyond the policy', { expiresAt: '2090-01-01T00:00:00Z' }, 422, ['expiresAt']],
  ['no expiry where the policy wants one', { expiresAt: null }, 422, ['expiresAt']],
  ['true in words', { decoy: 'true' }, 400, ['decoy']],
  ['a text for restrictions', { restrictions: 'none' }, 400, ['restrictions']],
  [
    'a start long past with a short life',
    () => ({ notBefore: new Date(Date.now() - 9 * 86_400_000), lifetime: 'P1D' }),
    422,
    ['notBefore'],
  ],
  ['a start in the past', () => ({ notBefore: new Date(Date.now() - 86_400_000) }), 422, ['notBefore']],
  ['an environment that is not there', { environment: 'staging' }, 422, ['environment']],
  ['a scope that the keyspace does not have', { scopes: ['payments:read', 'refunds:read'] }, 422, ['scopes[1]']],
  ['a scope that is none', { scopes: ['payments read'] }, 422, ['scopes[0]']],
  ['a scope twice', { scopes: ['payments:read', 'payments:read'] }, 422, ['scopes[1]']],
  [
    'an address block that is none',
    { restrictions: { addresses: ['10.0.0.0/33'] } },
    422,
    ['restrictions.addresses[0]'],
  ],
  ['an origin that is none', { restrictions: { origins: ['example.com'] } }, 422, ['restrictions.origins[0]']],
  ['an empty restriction', { restrictions: { origins: [] } }, 422, ['restrictions.origins']],
  ['a publishable key that is free', { kind: 'publishable', scopes: [] }, 422, ['restrictions']],
  ['a keyspace that is not there', { keyspaceId: 'nobody' }, 404, ['keyspaceId']],
  ['a keyspace that cannot be', { keyspaceId: '../$all' }, 404, ['keyspaceId']],
];

it.each(ISSUES)('issuing refuses %s, naming it, and appends nothing', async (_, more, status, fields) => {
  await refused(
    () => desk.admin.post('/v1/keys', { ...requestFor(keyspaceId), ...(typeof more === 'function' ? more() : more) }),
    status,
    fields,
  );
});

const KEYSPACES: Row[] = [
  ['a prefix in capitals', { prefix: 'ACME' }, 422, ['prefix']],
  ['a prefix that is too long', { prefix: 'abcdefghijklm' }, 422, ['prefix']],
  ['a prefix like that of publishable keys', { prefix: 'acmepk' }, 422, ['prefix']],
  ['a prefix that is a number', { prefix: 12 }, 400, ['prefix']],
  ['the reserved prefix', { prefix: 'system' }, 409, ['prefix']],
  ['a prefix that is taken', () => ({ prefix: keyspaceId }), 409, ['prefix']],
  ['no environments', { environments: [] }, 422, ['environments']],
  ['an environment twice', { environments: ['live', 'live'] }, 422, ['environments[1]']],
  ['an environment that cannot be', { environments: ['Live'] }, 422, ['environments[0]']],
  ['a policy that is a list', { policy: [] }, 400, ['policy']],
  ['an unknown rule', { policy: { maxKeys: 5 } }, 400, ['policy.maxKeys']],
  ['a bad duration', { policy: { defaultGrace: 'P1Y' } }, 400, ['policy.defaultGrace']],
  ['a text for true', { policy: { nonExpiring: 'true' } }, 400, ['policy.nonExpiring']],
  ['an unknown word', { policy: { secondRotation: 'both' } }, 400, ['policy.secondRotation']],
  ['null for a duration', { policy: { maxGrace: null } }, 400, ['policy.maxGrace']],
  ['a default beyond its maximum', { policy: { defaultGrace: 'P8D', maxGrace: 'P7D' } }, 422, ['policy.defaultGrace']],
  ['a scope that is none', { policy: { scopes: ['*'] } }, 422, ['policy.scopes[0]']],
  ['a list within a list', { policy: { leaks: [[]] } }, 400, ['policy.leaks[0]']],
  ['a rule within a list too much', { policy: { leaks: [[{ response: 'alert' }]] } }, 400, ['policy.leaks[0]']],
];

it.each(KEYSPACES.filter(([, more]) => 'policy' in more && !Array.isArray(more.policy)))(
  'changing a keyspace refuses %s',
  async (_, body, status, fields) => {
    await refused(() => desk.admin.patch(`/v1/keyspaces/${keyspaceId}`, body), status, fields);
  },
);

it.each(KEYSPACES)('creating a keyspace refuses %s', async (_, more, status, fields) => {
  const body = { name: 'Acme', prefix: 'acme', ...(typeof more === 'function' ? more() : more) };
  await refused(() => desk.admin.post('/v1/keyspaces', body), status, fields);
});

const CHANGES: [method: string, path: string, body: unknown, status: number, fields: string[]][] = [
  ['PATCH', '', { scopes: ['payments:read'] }, 400, ['scopes']],
  ['PATCH', '', { environment: 'test' }, 400, ['environment']],
  ['PATCH', '', { name: null }, 400, ['name']],
  ['PATCH', '', { expiresAt: null }, 400, ['expiresAt']],
  ['PATCH', '', { expiresAt: '2020-01-01T00:00:00Z' }, 422, ['expiresAt']],
  ['PATCH', '', { expiresAt: '2090-01-01T00:00:00Z' }, 422, ['expiresAt']],
  ['PATCH', '', { restrictions: { addresses: ['nowhere'] } }, 422, ['restrictions.addresses[0]']],
  ['POST', '/rotate', { graceSeconds: -1 }, 400, ['graceSeconds']],
  ['POST', '/rotate', { graceSeconds: 1.5 }, 400, ['graceSeconds']],
  ['POST', '/rotate', { graceSeconds: '60' }, 400, ['graceSeconds']],
  ['POST', '/rotate', { graceSeconds: 1e300 }, 400, ['graceSeconds']],
  ['POST', '/rotate', { graceSeconds: 8 * 86_400 }, 422, ['graceSeconds']],
  ['POST', '/rotate', { lifetime: 'P1D' }, 400, ['lifetime']],
  ['POST', '/revoke', {}, 400, ['reason']],
  ['POST', '/revoke', { reason: 'because' }, 400, ['reason']],
  ['POST', '/revoke', { reason: 'other', comment: long(1025) }, 400, ['comment']],
  ['POST', '/suspend', {}, 400, ['reason']],
  ['POST', '/suspend', { reason: long(201) }, 400, ['reason']],
  ['POST', '/reinstate', { reason: 5 }, 400, ['reason']],
];

it.each(CHANGES)('%s /v1/keys/{keyId}%s refuses %j', async (method, path, body, status, fields) => {
  await refused(() => desk.admin.request(method, `/v1/keys/${keyId}${path}`, body), status, fields);
});

describe('importing refuses whole', () => {
  const item = { environment: 'live', name: 'n', owner: { id: 'a', type: 'service' }, scopes: ['payments:read'] };
  const good = { ...item, sha256: 'ab'.repeat(32) };
  it.each([
    ['no keys', [], ['keys']],
    ['more than a thousand', Array.from({ length: 1001 }, () => good), ['keys']],
    ['something that is no list', { 0: good }, ['keys']],
    ['something that is no hash', [good, { ...item, sha256: 'abc' }], ['keys[1].sha256']],
    ['a key itself', [{ ...good, key: 'secret' }], ['keys[0].key']],
    ['an entry that is no object', [good, 'x'], ['keys[1]']],
    ['an entry that is a list', [[]], ['keys[0]']],
    ['an entry within a list too much', [[good]], ['keys[0]']],
    ['a bad date in one entry', [{ ...good, expiresAt: 'soon' }], ['keys[0].expiresAt']],
  ])('%s', async (_, keys, fields) => {
    await refused(() => desk.admin.post('/v1/keys/import', { keyspaceId, keys }), 400, fields);
  });
});

describe('queries', () => {
  it.each([
    ['unusedSince=lately', 400, ['unusedSince']],
    ['key=whatever', 400, ['key']],
    ['limit=0', 400, ['limit']],
    ['limit=1001', 400, ['limit']],
    ['limit=ten', 400, ['limit']],
    ['limit=5&limit=6', 400, ['limit']],
    ['cursor=nonsense', 400, ['cursor']],
    ['state=dead', 400, ['state']],
    ['expiringBefore=soon', 400, ['expiringBefore']],
    ['keyspaceId=nobody', 404, ['keyspaceId']],
  ])('/v1/keys?%s is refused', async (query, status, fields) => {
    await refused(() => desk.admin.get(`/v1/keys?${query}`), status, fields);
  });
});

describe('a cursor belongs to its query:', () => {
  const owner = { id: 'app_many', type: 'application' };
  let other: string;
  beforeAll(async () => {
    other = await desk.keyspace();
    for (const id of [keyspaceId, keyspaceId, other]) await desk.issue(id, { owner });
  });

  it.each([
    ['state', () => `keyspaceId=${keyspaceId}`, () => `keyspaceId=${keyspaceId}&state=active`],
    ['no keyspace', () => `keyspaceId=${keyspaceId}`, () => ''],
    ['another keyspace', () => `keyspaceId=${keyspaceId}`, () => `keyspaceId=${other}`],
    ['a keyspace', () => '', () => `keyspaceId=${keyspaceId}`],
    ['a keyspace of an owner', () => 'ownerId=app_many', () => `ownerId=app_many&keyspaceId=${keyspaceId}`],
    ['no bound of use', () => 'unusedSince=2090-01-01T00:00:00Z', () => ''],
  ])('%s is refused with it', async (_, query, changed) => {
    const { body } = await desk.admin.get(`/v1/keys?limit=1&${query()}`);
    const cursor = encodeURIComponent(body.nextCursor);
    expect(await desk.admin.get(`/v1/keys?limit=1&${query()}&cursor=${cursor}`)).toMatchObject({ status: 200 });
    await refused(() => desk.admin.get(`/v1/keys?${changed()}&cursor=${cursor}`), 400, ['cursor']);
  });

  it('revoking many does not go on in another keyspace', async () => {
    const { body } = await desk.admin.get(`/v1/keys?limit=1&ownerId=app_many&keyspaceId=${keyspaceId}`);
    const choice = { reason: 'other', ownerId: 'app_many', cursor: body.nextCursor };
    await refused(() => desk.admin.post('/v1/keys/revoke', { ...choice, keyspaceId: other }), 400, ['cursor']);
    await refused(() => desk.admin.post('/v1/keys/revoke', choice), 400, ['cursor']);
  });

  it('incidents and reviews of one state are not those of another', async () => {
    for (const name of ['one', 'two']) {
      await desk.admin.post('/v1/leaks', { sha256: Buffer.alloc(32, name).toString('hex') });
      const due = new Date(Date.now() + 86_400_000);
      await desk.admin.post('/v1/audit/reviews', { name, dueAt: due, filter: { keyspaceId } });
    }
    for (const [path, filter] of [
      ['/v1/leaks', 'source=report'],
      ['/v1/audit/reviews', 'status=open'],
    ] as const) {
      const { body } = await desk.admin.get(`${path}?limit=1`);
      const cursor = encodeURIComponent(body.nextCursor);
      expect(await desk.admin.get(`${path}?cursor=${cursor}`)).toMatchObject({ status: 200 });
      await refused(() => desk.admin.get(`${path}?${filter}&cursor=${cursor}`), 400, ['cursor']);
    }
  });
});

describe('bodies', () => {
  const send = (body: string, headers: Record<string, string> = {}) =>
    desk.admin.request('POST', '/v1/keys', body, headers);

  it.each([
    ['broken JSON', '{"name": '],
    ['no JSON at all', 'name=x'],
    ['an empty body', ''],
    ['JSON that sets a prototype', '{"__proto__": {"scopes": []}}'],
    ['JSON that sets a constructor', '{"a": {"constructor": {"prototype": {"x": 1}}}}'],
  ])('%s cannot be read', async (_, body) => {
    const { body: problem } = await refused(() => send(body), 400, []);
    expect(problem.code).toBe('MALFORMED');
  });

  it.each([
    ['a list', '[]'],
    ['a list of requests', `[${JSON.stringify({ name: 'x' })}]`],
    ['a text', '"x"'],
    ['a number', '5'],
    ['true', 'true'],
  ])('%s is no request', async (_, body) => {
    await refused(() => send(body), 400, ['body']);
  });

  it('null is a request without fields', async () => {
    await refused(() => send('null'), 400, ['keyspaceId', 'environment', 'name', 'owner', 'scopes']);
  });

  it('nesting has a bound', async () => {
    const { status, body } = await send(`{"metadata": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`);
    expect([status, body.code]).toEqual([400, 'INVALID']);
  });

  it('size has a bound, at a mebibyte', async () => {
    const { status, body } = await send(JSON.stringify({ name: long(1_048_576) }));
    expect([status, body.code]).toEqual([413, 'TOO_LARGE']);
  });

  it('another media type is refused', async () => {
    const { status, body } = await send('<a/>', { 'content-type': 'application/xml' });
    expect([status, body.code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
  });
});

describe('headers', () => {
  it.each([
    ['Idempotency-Key', ''],
    ['Idempotency-Key', '"open'],
    ['Idempotency-Key', long(256)],
    ['X-Keyledger-Reason', long(501)],
    ['X-Keyledger-Reason', Buffer.from('ticket \u202e24 SPO').toString('latin1')],
    ['X-Keyledger-On-Behalf-Of', long(257)],
  ])('%s: %s is refused, naming the header', async (name, value) => {
    const answer = await desk.admin.post('/v1/keys', requestFor(keyspaceId), { [name]: value });
    expect([answer.status, answer.body.errors[0].field.toLowerCase()]).toEqual([400, name.toLowerCase()]);
  });
});

describe('what is not there', () => {
  const attest = (reviewId: string, id: string) =>
    desk.admin.post(`/v1/audit/reviews/${reviewId}/attest`, { keyId: id, decision: 'keep' });

  it.each([
    ['GET', '/v1/nothing', 404],
    ['GET', '/v1/keys/nobody1234567890', 404],
    ['GET', '/v1/keys/..%2F..%2Fsecret', 404],
    ['GET', '/v1/keyspaces/nobody', 404],
    ['DELETE', '/v1/keys', 405],
    ['PUT', '/v1/keyspaces/kl', 405],
    ['GET', '/v1/keys/', 404],
    ['PATCH', '/v1/keys/', 404],
    ['DELETE', '/v1/keys/', 404],
    ['GET', '/v1/keyspaces//scanner-rules', 404],
    ['POST', '/v1/keyspaces//archive', 404],
  ])('%s %s is %d', async (method, path, status) => {
    const answer = await refused(
      () => desk.admin.request(method, path),
      status,
      path.includes('keyspaces/nobody') ? ['keyspaceId'] : [],
    );
    if (status === 405) expect(answer.headers.get('allow')).toBeTruthy();
  });

  it('an id in a body or a query is named by its field', async () => {
    const due = new Date(Date.now() + 86_400_000);
    const filter = (id: string) => ({ name: 'r', dueAt: due, filter: { keyspaceId: id } });
    const { body: review } = await desk.admin.post('/v1/audit/reviews', filter(keyspaceId));
    const { key } = await desk.issue(keyspaceId);
    for (const id of ['nobody1234567890', '../$all']) {
      const query = encodeURIComponent(id);
      for (const [send, field] of [
        [() => desk.admin.post('/v1/audit/reviews', filter(id)), 'filter.keyspaceId'],
        [() => attest(review.reviewId, id), 'keyId'],
        [() => desk.as(key).post('/v1/keys/self/attest', { reviewId: id, decision: 'keep' }), 'reviewId'],
        [() => desk.admin.get(`/v1/deliveries?keyId=${query}`), 'keyId'],
        [() => desk.admin.get(`/v1/notifications?channelId=${query}`), 'channelId'],
      ] as const) {
        await refused(send, 404, [field]);
      }
    }
  });

  it('changes of a key that is not there append nothing', async () => {
    for (const [method, path, body] of [
      ['PATCH', '', { name: 'x' }],
      ['POST', '/rotate', {}],
      ['POST', '/revoke', { reason: 'other' }],
      ['POST', '/suspend', { reason: 'x' }],
      ['POST', '/reinstate', { reason: 'x' }],
    ] as const) {
      await refused(() => desk.admin.request(method, `/v1/keys/nobody1234567890${path}`, body), 404, []);
    }
  });
});
