import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { http, startApp, startSystem, type Client, type System } from '../support/index.js';

let system: System;
let api: Client;
let gateway: Client;
/** A verifier that believes the X-Forwarded-For of this machine. */
let behindProxy: Client;
const PATH = '/v1/authorize';
const IDENTITY = ['key-id', 'keyspace', 'owner-id', 'owner-type', 'environment', 'scopes'];

beforeAll(async () => {
  system = await startSystem();
  api = http(system.api.baseUrl, system.adminKey);
  gateway = http(system.verifier.baseUrl);
  const trusting = await startApp('verifier', { ...system.env, KEYLEDGER_TRUSTED_PROXIES: '127.0.0.1' });
  behindProxy = http(trusting.baseUrl);
  for (const prefix of ['acme', 'other']) await api.post('/v1/keyspaces', { name: prefix, prefix });
});
afterAll(() => system.stop());

async function issue(more: object = {}): Promise<{ key: string; keyId: string; expiresAt: string }> {
  const owner = { id: 'app_checkout', type: 'application' };
  const request = { keyspaceId: 'acme', environment: 'live', name: 'Checkout', owner, scopes: ['pay:*'], ...more };
  const { status, body } = await api.post('/v1/keys', request);
  expect({ status, body }).toMatchObject({ status: 201 });
  return body;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const ask = (key: string, headers: Record<string, string> = {}, by = gateway) =>
  by.get(PATH, { ...bearer(key), ...headers });
const identityOf = ({ headers }: { headers: Headers }) => IDENTITY.map((name) => headers.get(`x-keyledger-${name}`));

describe('a request with a good key', () => {
  it('passes with who the key is in headers, and no body', async () => {
    const { key, keyId } = await issue({ scopes: ['pay:*', 'mail:send'] });
    const answer = await ask(key);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ text: '' });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(identityOf(answer)).toEqual([keyId, 'acme', 'app_checkout', 'application', 'live', 'pay:* mail:send']);
    expect(answer.headers.get('x-api-key-expires')).toBeNull();
  });

  it('passes by Authorization, by X-API-Key, by both if they agree, and never by its URL', async () => {
    const { key } = await issue();
    const status = async (path: string, headers: Record<string, string>) => (await gateway.get(path, headers)).status;
    expect(await status(PATH, { 'x-api-key': key })).toBe(200);
    expect(await status(PATH, { authorization: `bEaReR ${key}` })).toBe(200);
    expect(await status(PATH, { ...bearer(key), 'x-api-key': key })).toBe(200);
    expect(await status(PATH, { authorization: 'Basic eDp5', 'x-api-key': key })).toBe(200);
    expect(await status(PATH, { ...bearer(key), 'x-api-key': `${key}x` })).toBe(400);
    expect(await status(`${PATH}?key=${key}&api_key=${key}&access_token=${key}`, {})).toBe(401);
    expect(await status(`${PATH}?environment=test`, bearer(key))).toBe(200);
  });

  it('has every identity header, empty where there is nothing to say, in visible ASCII', async () => {
    const owner = { id: 'Büro 7%, "x"; 🔑', type: 'account' };
    const answer = await ask((await issue({ owner, scopes: [] })).key);
    expect(answer.status).toBe(200);
    const [, , ownerId, ownerType, , scopes] = identityOf(answer);
    expect(ownerId).toBe('B%C3%BCro%207%25,%20"x";%20%F0%9F%94%91');
    expect(decodeURIComponent(ownerId as string)).toBe(owner.id);
    expect([ownerType, scopes]).toEqual(['account', '']);
  });

  it('hears of an end that is near, and of the end of a grace however far', async () => {
    const near = await issue({ lifetime: 'P6D' });
    const answer = await ask(near.key);
    expect(answer.headers.get('x-api-key-expires')).toBe(near.expiresAt);
    const seconds = Number(answer.headers.get('x-api-key-expires-in'));
    expect(seconds).toBeGreaterThan(5 * 86_400);
    expect(seconds).toBeLessThanOrEqual(6 * 86_400);

    const rotated = await issue();
    const { body } = await api.post(`/v1/keys/${rotated.keyId}/rotate`, { graceSeconds: 20 * 86_400 });
    expect((await ask(rotated.key)).headers.get('x-api-key-expires')).toBe(body.previous.graceEndsAt);
    expect((await ask(body.key)).headers.get('x-api-key-expires')).toBeNull();
  });

  it('passes however a gateway asks: with its method, behind its path, with a body that is not read', async () => {
    const { key, keyId } = await issue();
    const json = { 'content-type': 'application/json', ...bearer(key) };
    const envoy = await gateway.request('POST', `${PATH}/orders/7?x=1`, '{"not json', json);
    expect([envoy.status, identityOf(envoy)[0]]).toEqual([200, keyId]);
    expect((await gateway.request('PUT', PATH, 'x'.repeat(50_000), { ...json, 'content-type': 'a/b' })).status).toBe(
      200,
    );
    expect((await gateway.request('DELETE', `${PATH}/orders/7`, undefined, bearer(key))).status).toBe(200);
    expect((await gateway.request('HEAD', PATH, undefined, bearer(key))).status).toBe(200);
  });

  it('is answered alike by api and verifier', async () => {
    const { key } = await issue();
    const [one, two] = [await ask(key), await ask(key, {}, http(system.api.baseUrl))];
    expect([two.status, identityOf(two)]).toEqual([one.status, identityOf(one)]);
  });
});

describe('a request without a good key', () => {
  it('is challenged bare where it brings none', async () => {
    const { status, headers } = await gateway.get(PATH);
    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="keyledger"']);
  });

  it('gets the same bytes whether the key is unknown, broken, revoked, suspended, not yet valid or of another keyspace', async () => {
    const [revoked, suspended] = [await issue(), await issue()];
    await api.post(`/v1/keys/${revoked.keyId}/revoke`, { reason: 'leaked' });
    await api.post(`/v1/keys/${suspended.keyId}/suspend`, { reason: 'unpaid' });
    const later = await issue({ notBefore: new Date(Date.now() + 3_600_000).toISOString() });
    const other = await issue({ keyspaceId: 'other' });
    const keys = [revoked, suspended, later, other].map(({ key }) => key);
    keys.push('x', `${other.key.slice(0, -1)}_`, `outage_live_000000000000_${'0'.repeat(44)}JXHGh`);
    const answers = await Promise.all(keys.map((key) => ask(key, { 'x-keyledger-keyspace': 'acme' })));
    const bytes = answers.map(({ status, body, headers }) => {
      const varying = ['date', 'x-request-id'];
      return JSON.stringify([status, body, [...headers].filter(([name]) => !varying.includes(name))]);
    });
    expect(new Set(bytes).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'INVALID_TOKEN' } });
    expect(identityOf(answers[0] as never)).toEqual(IDENTITY.map(() => null));
  });

  it('never passes with a management credential', async () => {
    expect((await ask(system.adminKey)).status).toBe(401);
    expect((await ask(system.adminKey, { 'x-keyledger-keyspace': 'system' })).status).toBe(401);
  });
});

describe('a gateway', () => {
  it('narrows by keyspace, environment and scopes; what lacks is named', async () => {
    const { key } = await issue();
    const status = async (headers: Record<string, string>) => (await ask(key, headers)).status;
    const narrow = { 'x-keyledger-keyspace': 'acme', 'x-keyledger-environment': 'live' };
    expect(await status({ ...narrow, 'x-keyledger-scopes': 'pay:read  pay:write' })).toBe(200);
    expect(await status({ 'x-keyledger-keyspace': '', 'x-keyledger-scopes': '' })).toBe(200);
    expect(await status({ 'x-keyledger-environment': 'test' })).toBe(403);
    expect(await status({ 'x-keyledger-keyspace': 'other' })).toBe(401);
    const lacking = await ask(key, { 'x-keyledger-scopes': 'pay:read mail:send mail:read' });
    expect(lacking).toMatchObject({ status: 403, body: { code: 'INSUFFICIENT_SCOPE' } });
    expect(lacking.headers.get('www-authenticate')).toContain('scope="mail:send mail:read"');
  });

  it('is told when its list of scopes is none, and nothing of it is echoed into a header', async () => {
    const { key } = await issue();
    for (const scopes of ['pay:read "', 'a'.repeat(200), Array.from({ length: 51 }, () => 'a').join(' ')]) {
      const answer = await ask(key, { 'x-keyledger-scopes': scopes });
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'x-keyledger-scopes' }] } });
      expect(answer.headers.get('www-authenticate')).toBeNull();
    }
  });

  it('that is trusted says where the client is; of any other only its own address counts', async () => {
    const { key } = await issue({ restrictions: { addresses: ['203.0.113.0/24'] } });
    const from = (address: string) => ({ 'x-forwarded-for': address });
    expect((await ask(key, from('203.0.113.7'), behindProxy)).status).toBe(200);
    expect((await ask(key, from('203.0.113.7, 198.51.100.1'), behindProxy)).status).toBe(403);
    expect((await ask(key, {}, behindProxy)).status).toBe(403);
    expect((await ask(key, from('203.0.113.7'))).status).toBe(403);
  });

  it('passes the client’s Origin, or its Referer', async () => {
    const { key } = await issue({ restrictions: { origins: ['https://app.example.com'] } });
    expect((await ask(key, { origin: 'https://app.example.com' })).status).toBe(200);
    expect((await ask(key, { referer: 'https://app.example.com/page?x=1' })).status).toBe(200);
    expect((await ask(key, { origin: 'https://evil.example', referer: 'https://app.example.com/' })).status).toBe(403);
    expect((await ask(key)).status).toBe(403);
  });
});
