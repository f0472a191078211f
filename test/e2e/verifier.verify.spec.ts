import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { eventually, http, startApp, startSystem, type Client, type System } from '../support/index.js';

let system: System;
let api: Client;
let verifier: Client;
const owner = { id: 'app_checkout', type: 'application' };

interface Issued {
  keyId: string;
  secretId: string;
  key: string;
  expiresAt: string;
}

beforeAll(async () => {
  system = await startSystem();
  api = http(system.api.baseUrl, system.adminKey);
  verifier = http(system.verifier.baseUrl, system.adminKey);
  for (const prefix of ['acme', 'other']) {
    expect((await api.post('/v1/keyspaces', { name: prefix, prefix })).status).toBe(201);
  }
});
afterAll(() => system.stop());

async function issue(more: object = {}, by: Client = api): Promise<Issued> {
  const request = { keyspaceId: 'acme', environment: 'live', name: 'Checkout', owner, scopes: ['pay:read'], ...more };
  const { status, body } = await by.post('/v1/keys', request);
  expect({ status, body }).toMatchObject({ status: 201 });
  return body;
}

async function verify(key: string, more: object = {}, by: Client = verifier) {
  const { status, body } = await by.post('/v1/verify', { key, ...more });
  expect({ status, body }).toMatchObject({ status: 200 });
  return body;
}

const codeOf = async (key: string, more: object = {}): Promise<string> => (await verify(key, more)).code;

async function credential(scopes: string[], more: object = {}): Promise<Issued> {
  const ops = { id: 'ops', type: 'service' };
  return issue({ keyspaceId: 'system', name: 'gateway', owner: ops, scopes, ...more });
}

/** The same key with another secret and a right checksum cannot be told from a real one but by looking it up. */
const UNKNOWN = `outage_live_000000000000_${'0'.repeat(44)}JXHGh`;

describe('a good key', () => {
  it('is told with who it is, on which revision, and not to any cache', async () => {
    const { key, keyId, secretId, expiresAt } = await issue({ metadata: { team: 'payments', größe: '"x"\n' } });
    const { status, headers, body } = await verifier.post('/v1/verify', { key, scopes: ['pay:read'], cost: 3 });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).toEqual({
      valid: true,
      code: 'VALID',
      keyId,
      secretId,
      keyspaceId: 'acme',
      owner,
      name: 'Checkout',
      environment: 'live',
      scopes: ['pay:read'],
      metadata: { team: 'payments', größe: '"x"\n' },
      expiresAt,
      revision: 0,
    });
  });

  it('is the same on api and verifier', async () => {
    const { key } = await issue();
    expect(await verify(key, {}, api)).toEqual(await verify(key));
  });

  it('can be one that was made elsewhere and imported by its hash', async () => {
    const foreign = `sk.${randomBytes(24).toString('hex')}`;
    const sha256 = createHash('sha256').update(foreign).digest('hex');
    expect(await codeOf(foreign)).toBe('NOT_FOUND');
    const keys = [{ sha256, environment: 'live', name: 'Old', owner, scopes: [] }];
    const { body } = await api.post('/v1/keys/import', { keyspaceId: 'acme', keys });
    expect(body.results).toMatchObject([{ status: 'imported' }]);
    expect(await verify(foreign)).toMatchObject({ valid: true, name: 'Old', keyId: body.results[0].keyId });
  });
});

describe('a verdict', () => {
  it.each([
    ['a text that is no key', 'x'],
    ['a key with a wrong checksum', `acme_live_4f9kQ2LmZ7aB_${'S'.repeat(49)}`],
    ['a key that nobody issued', UNKNOWN],
    ['a text from elsewhere', 'sk_live_1234567890abcdefghij'],
    ['text beyond ASCII', '🔑'.repeat(20)],
  ])('says nothing but NOT_FOUND about %s', async (_, key) => {
    expect(await verify(key)).toEqual({ valid: false, code: 'NOT_FOUND' });
  });

  it('is NOT_FOUND outside the keyspace that was asked for', async () => {
    const { key } = await issue();
    expect(await codeOf(key, { keyspaceId: 'acme' })).toBe('VALID');
    expect(await verify(key, { keyspaceId: 'other' })).toEqual({ valid: false, code: 'NOT_FOUND' });
  });

  it('is FORBIDDEN in another environment, from another address and from another origin', async () => {
    const { key } = await issue({ restrictions: { addresses: ['10.0.0.0/8', '2001:db8::/32'] } });
    expect(await codeOf(key)).toBe('FORBIDDEN');
    expect(await codeOf(key, { clientIp: '11.0.0.1' })).toBe('FORBIDDEN');
    expect(await codeOf(key, { clientIp: '10.1.2.3' })).toBe('VALID');
    expect(await codeOf(key, { clientIp: '::ffff:10.1.2.3' })).toBe('VALID');
    expect(await codeOf(key, { clientIp: '2001:db8::1', environment: 'test' })).toBe('FORBIDDEN');
    const web = await issue({ restrictions: { origins: ['https://*.example.com'] } });
    expect(await codeOf(web.key, { origin: 'https://a.example.com/page?x' })).toBe('VALID');
    expect(await codeOf(web.key, { origin: 'https://example.org' })).toBe('FORBIDDEN');
  });

  it('is INSUFFICIENT_SCOPE unless the key has every scope that was asked for', async () => {
    const { key } = await issue({ scopes: ['pay:*', 'mail:send'] });
    expect(await codeOf(key, { scopes: ['pay:read', 'mail:send'] })).toBe('VALID');
    expect(await verify(key, { scopes: ['pay:read', 'mail:read'] })).toMatchObject({
      valid: false,
      code: 'INSUFFICIENT_SCOPE',
      scopes: ['pay:*', 'mail:send'],
    });
  });

  it('follows the life of a key, at once', async () => {
    const { key, keyId } = await issue();
    await api.post(`/v1/keys/${keyId}/suspend`, { reason: 'unpaid' });
    expect(await codeOf(key)).toBe('SUSPENDED');
    await api.post(`/v1/keys/${keyId}/reinstate`, { reason: 'paid' });
    expect(await codeOf(key)).toBe('VALID');
    await api.post(`/v1/keys/${keyId}/revoke`, { reason: 'other' });
    expect(await verify(key)).toMatchObject({ valid: false, code: 'REVOKED', keyId, revision: 3 });
  });

  it('follows the clock', async () => {
    const soon = await issue({ notBefore: new Date(Date.now() + 3_600_000).toISOString() });
    expect(await codeOf(soon.key)).toBe('NOT_YET_VALID');
    const short = await issue({ lifetime: 'PT1S' });
    await eventually('the key has expired', async () => (await codeOf(short.key)) === 'EXPIRED');
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(short.expiresAt));
  });

  it('lets a rotated secret work until its grace ends, never past it', async () => {
    const first = await issue();
    const rotate = async (graceSeconds: number) => {
      const { status, body } = await api.post(`/v1/keys/${first.keyId}/rotate`, { graceSeconds });
      expect(status).toBe(200);
      return body;
    };
    const second = await rotate(3600);
    const { graceEndsAt } = second.previous;
    expect(await verify(first.key)).toMatchObject({ valid: true, secretId: first.secretId, graceEndsAt });
    const now = await verify(second.key);
    expect(now).toMatchObject({ valid: true, secretId: second.secretId });
    expect(now).not.toHaveProperty('graceEndsAt');
    const third = await rotate(0);
    expect(await codeOf(first.key)).toBe('EXPIRED');
    expect(await codeOf(second.key)).toBe('EXPIRED');
    expect(await codeOf(third.key)).toBe('VALID');
  });
});

describe('a request that cannot be', () => {
  const key = UNKNOWN;
  it.each([
    ['no key', {}, 'key'],
    ['a key that is no string', { key: 1 }, 'key'],
    ['an empty key', { key: '' }, 'key'],
    ['an unknown field', { key, scope: 'a' }, 'scope'],
    ['scopes that are no list', { key, scopes: 'pay:read' }, 'scopes'],
    ['a scope that is no string', { key, scopes: ['a', 2] }, 'scopes[1]'],
    ['too many scopes', { key, scopes: Array.from({ length: 51 }, (_, index) => `s${index}`) }, 'scopes'],
    ['a clientIp that is none', { key, clientIp: '10.0.0.0/8' }, 'clientIp'],
    ['a clientIp of another form', { key, clientIp: '010.0.0.1' }, 'clientIp'],
    ['a cost as text', { key, cost: '1' }, 'cost'],
    ['a negative cost', { key, cost: -1 }, 'cost'],
    ['null for a field', { key, environment: null }, 'environment'],
    ['a body that is no object', [], 'body'],
  ])('for %s is a 400 that names the field', async (_, body, field) => {
    const answer = await verifier.post('/v1/verify', body);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID', errors: [{ field }] } });
    expect(answer.body.errors[0].message).toEqual(expect.any(String));
  });

  it('is refused whole for its size, its type and its form', async () => {
    const of = async (body: string, headers = {}) => {
      const answer = await verifier.post('/v1/verify', body, headers);
      return [answer.status, answer.body.code];
    };
    expect(await of('{"key":')).toEqual([400, 'MALFORMED']);
    expect(await of('{"key":"a","__proto__":{}}')).toEqual([400, 'MALFORMED']);
    expect(await of('')).toEqual([400, 'MALFORMED']);
    expect(await of(JSON.stringify({ key: 'x'.repeat(70_000) }))).toEqual([413, 'TOO_LARGE']);
    expect(await of('key=1', { 'content-type': 'application/x-www-form-urlencoded' })).toEqual([
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ]);
    const { status, headers } = await verifier.get('/v1/verify');
    expect([status, headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('is never answered with the key in it', async () => {
    const { key } = await issue();
    for (const body of [{ [key]: 1, key }, { key: [key] }, { key, scopes: [key, 1] }, { key, clientIp: key }]) {
      const { status, body: problem } = await verifier.post('/v1/verify', body);
      expect(status).toBe(400);
      expect(JSON.stringify(problem)).not.toContain(key.slice(-49));
    }
  });
});

describe('the caller', () => {
  it('without a credential, or with one that cannot be used, learns nothing, whatever the body', async () => {
    const missing = await http(system.verifier.baseUrl).post('/v1/verify', '{');
    expect(missing.status).toBe(401);
    expect(missing.headers.get('www-authenticate')).toBe('Bearer realm="keyledger"');
    const revoked = await credential(['verify']);
    await api.post(`/v1/keys/${revoked.keyId}/revoke`, { reason: 'other' });
    const customer = await issue();
    const unusable = ['x', UNKNOWN, revoked.key, customer.key, `${system.adminKey}x`];
    const answers = await Promise.all(
      unusable.map((text) => http(system.verifier.baseUrl, text).post('/v1/verify', { key: UNKNOWN })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(new Set(answers.map(({ headers }) => headers.get('www-authenticate'))).size).toBe(1);
  });

  it('needs the scope verify', async () => {
    const { key } = await credential(['keys:read', 'audit:*']);
    const answer = await http(system.verifier.baseUrl, key).post('/v1/verify', { key: UNKNOWN });
    expect(answer.status).toBe(403);
    expect(answer.headers.get('www-authenticate')).toContain('scope="verify"');
  });

  it('knows no keys outside the keyspaces to which his scope is bound', async () => {
    const bound = http(system.verifier.baseUrl, (await credential(['verify@acme'])).key);
    const [mine, theirs] = [await issue(), await issue({ keyspaceId: 'other' })];
    expect((await verify(mine.key, {}, bound)).code).toBe('VALID');
    expect(await verify(theirs.key, {}, bound)).toEqual({ valid: false, code: 'NOT_FOUND' });
    expect(await codeOf(theirs.key)).toBe('VALID');
  });

  it('never takes a management credential for a customer’s key unless he asks for just that, and may', async () => {
    const { key, keyId } = await credential(['verify']);
    expect(await codeOf(key)).toBe('NOT_FOUND');
    expect(await verify(key, { keyspaceId: 'system' })).toMatchObject({ valid: true, keyId });
    const bound = http(system.verifier.baseUrl, (await credential(['verify@system'])).key);
    expect((await verify(key, { keyspaceId: 'system' }, bound)).code).toBe('NOT_FOUND');
  });

  it('may use a credential that is bound to addresses from those only', async () => {
    const near = await credential(['verify'], { restrictions: { addresses: ['127.0.0.1'] } });
    const far = await credential(['verify'], { restrictions: { addresses: ['10.0.0.0/8'] } });
    expect((await http(system.verifier.baseUrl, near.key).post('/v1/verify', { key: 'x' })).status).toBe(200);
    expect((await http(system.verifier.baseUrl, far.key).post('/v1/verify', { key: 'x' })).status).toBe(401);
  });

  it('is refused soon after his credential was revoked while he was calling', async () => {
    const { key, keyId } = await credential(['verify']);
    const caller = http(system.verifier.baseUrl, key);
    const status = async () => (await caller.post('/v1/verify', { key: 'x' })).status;
    expect(await status()).toBe(200);
    await api.post(`/v1/keys/${keyId}/revoke`, { reason: 'other' });
    await eventually('the caller is refused', async () => (await status()) === 401);
  });
});

describe('what a verifier tells its operators', () => {
  it('counts verdicts by code and times them, and logs no success and no key', async () => {
    const { key } = await issue();
    const counted = async (line: RegExp) => {
      const { body } = await verifier.get('/metrics');
      return Number(line.exec(body.text)?.[1]);
    };
    const valid = /keyledger_verifications_total\{(?=[^}]*code="VALID")[^}]*\} (\d+)/;
    const timed = /keyledger_verification_duration_seconds_count\{[^}]*\} (\d+)/;
    const before = [await counted(valid), await counted(timed)];
    const lines = system.verifier.logs().split('\n').length;
    for (let i = 0; i < 5; i++) await verify(key);
    expect([await counted(valid), await counted(timed)]).toEqual(before.map((count) => count + 5));
    expect(system.verifier.logs().split('\n').length).toBe(lines);

    await http(system.verifier.baseUrl, key).post('/v1/verify', { key });
    const mask = `${key.slice(0, key.lastIndexOf('_'))}_…${key.slice(-4)}`;
    await eventually('the refused credential is logged', () => system.verifier.logs().includes(mask));
    expect(system.verifier.logs()).not.toContain(key.slice(-49));
  });
});

describe('peppers', () => {
  it('are turned on and changed without the loss of a key', async () => {
    const pepper = (id: string) => `${id}:${createHash('sha256').update(id).digest('base64')}`;
    const plain = await issue();
    const admin = system.adminKey;
    const ages = [pepper('p1'), [pepper('p2'), pepper('p1')].join(',')];
    const keys = [plain.key];
    for (const KEYLEDGER_PEPPERS of ages) {
      const env = { ...system.env, KEYLEDGER_PEPPERS };
      const apps = await Promise.all([startApp('api', env), startApp('verifier', env)]);
      const [newer, verifies] = apps.map(({ baseUrl }) => http(baseUrl, admin)) as [Client, Client];
      keys.push((await issue({}, newer)).key);
      for (const key of keys) expect((await verify(key, {}, verifies)).code).toBe('VALID');
      expect((await verify(UNKNOWN, {}, verifies)).code).toBe('NOT_FOUND');
      await Promise.all(apps.map((app) => app.stop()));
    }
    expect(await codeOf(keys[1] as string)).toBe('NOT_FOUND');
  });
});
