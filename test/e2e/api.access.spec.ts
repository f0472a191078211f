import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { http, startSystem, type Answer, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let desk: Desk;
let mine: string;
let theirs: string;

beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
  mine = await desk.keyspace();
  theirs = await desk.keyspace();
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

/** Everything of an answer that its receiver can compare, but for the id of the request. */
function comparable({ status, headers, body }: Answer): object {
  const { instance: _, ...problem } = body;
  return { status, challenge: headers.get('www-authenticate'), type: headers.get('content-type'), problem };
}

describe('credentials', () => {
  it('that are missing get a bare challenge; those that are no good all get the same bytes', async () => {
    const missing = await http(system.api.baseUrl).get('/v1/keys');
    expect([missing.status, missing.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="keyledger"']);
    // Whole, though all that looks like a credential is taken out of what an answer says.
    expect(missing.body.detail).toBe('Send a key in Authorization, with the scheme Bearer, or in X-API-Key.');

    const revoked = await desk.issue('system', { scopes: ['keys:read'] });
    await desk.admin.post(`/v1/keys/${revoked.keyId}/revoke`, { reason: 'other' });
    const suspended = await desk.issue('system', { scopes: ['keys:read'] });
    await desk.admin.post(`/v1/keys/${suspended.keyId}/suspend`, { reason: 'other' });
    const ordinary = await desk.issue(mine);
    const answers = await Promise.all(
      [revoked.key, suspended.key, ordinary.key, `${ordinary.key.slice(0, -1)}!`, 'nonsense', 'x'.repeat(40)].map(
        async (key) => {
          const { status, headers, body } = await desk.as(key).get('/v1/keys');
          return { status, challenge: headers.get('www-authenticate'), body };
        },
      ),
    );
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'INVALID_TOKEN' } });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  });

  it('are taken from X-API-Key too, and never from the URL', async () => {
    const open = http(system.api.baseUrl);
    expect((await open.get('/v1/keys', { 'x-api-key': system.adminKey })).status).toBe(200);
    for (const name of ['key', 'api_key', 'access_token']) {
      expect((await open.get(`/v1/keys?${name}=${system.adminKey}`)).status).toBe(401);
    }
  });

  it('without the scope of a route are told which one it is', async () => {
    const reader = desk.as(await desk.credential('keys:read'));
    const head = await desk.head();
    for (const [method, path, body, scope] of [
      ['POST', '/v1/keys', requestFor(mine), 'keys:issue'],
      ['POST', '/v1/keys/import', {}, 'keys:import'],
      ['POST', '/v1/keys/revoke', {}, 'keys:revoke'],
      ['PATCH', '/v1/keys/abcdefgh', {}, 'keys:update'],
      ['POST', '/v1/keys/abcdefgh/rotate', {}, 'keys:rotate'],
      ['POST', '/v1/keys/abcdefgh/revoke', {}, 'keys:revoke'],
      ['POST', '/v1/keys/abcdefgh/suspend', {}, 'keys:revoke'],
      ['POST', '/v1/keys/abcdefgh/reinstate', {}, 'keys:update'],
      ['POST', '/v1/keyspaces', {}, 'keyspaces:create'],
      ['GET', '/v1/keyspaces', undefined, 'keyspaces:read'],
      ['GET', '/v1/keyspaces/kl', undefined, 'keyspaces:read'],
      ['PATCH', '/v1/keyspaces/kl', {}, 'keyspaces:update'],
      ['POST', '/v1/keyspaces/kl/archive', {}, 'keyspaces:update'],
      ['GET', '/v1/system/status', undefined, 'system:read'],
      ['GET', '/v1/system/projections', undefined, 'system:read'],
      ['POST', '/v1/system/projections/rebuild', {}, 'system:operate'],
      ['POST', '/v1/system/backup', {}, 'system:operate'],
      ['POST', '/v1/verify', { key: 'x' }, 'verify'],
    ] as const) {
      const answer = await reader.request(method, path, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 403, 'INSUFFICIENT_SCOPE']);
      expect(answer.headers.get('www-authenticate')).toContain(`scope="${scope}"`);
      expect(answer.body.detail).toContain(scope);
    }
    expect(await desk.head()).toBe(head);
  });
});

describe('a credential that is bound to a keyspace', () => {
  it('works there, and elsewhere finds nothing: the same answer as for what nobody has', async () => {
    const bound = desk.as(await desk.credential(`keys:*@${mine}`, `keyspaces:*@${mine}`));
    const own = await bound.post('/v1/keys', requestFor(mine));
    expect(own.status).toBe(201);
    const foreign = await desk.issue(theirs);
    const unknown = 'A'.repeat(foreign.keyId.length);
    const head = await desk.head();
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { name: 'mine now' }],
      ['POST', '/rotate', {}],
      ['POST', '/revoke', { reason: 'other' }],
      ['POST', '/suspend', { reason: 'other' }],
      ['POST', '/reinstate', { reason: 'other' }],
    ] as const) {
      const outside = await bound.request(method, `/v1/keys/${foreign.keyId}${path}`, body);
      const nowhere = await bound.request(method, `/v1/keys/${unknown}${path}`, body);
      expect(outside.status).toBe(404);
      const alike = JSON.stringify(comparable(outside)).replaceAll(foreign.keyId, unknown);
      expect(alike).toBe(JSON.stringify(comparable(nowhere)));
    }
    for (const [method, path, body] of [
      ['GET', `/v1/keyspaces/${theirs}`, undefined],
      ['PATCH', `/v1/keyspaces/${theirs}`, { name: 'mine now' }],
      ['POST', `/v1/keyspaces/${theirs}/archive`, {}],
      ['POST', '/v1/keys', requestFor(theirs)],
      ['GET', `/v1/keys?keyspaceId=${theirs}`, undefined],
    ] as const) {
      const outside = await bound.request(method, path, body);
      const nowhere = await desk.admin.request(
        method,
        path.replace(theirs, 'nobody'),
        body && JSON.parse(JSON.stringify(body).replaceAll(theirs, 'nobody')),
      );
      expect([path, outside.status]).toEqual([path, 404]);
      expect(JSON.stringify(comparable(outside)).replaceAll(theirs, 'nobody')).toBe(
        JSON.stringify(comparable(nowhere)),
      );
    }
    const bulk = await bound.post('/v1/keys/revoke', { keyIds: [foreign.keyId], reason: 'other' });
    expect(bulk.body.results[0]).toMatchObject({ status: 'rejected', error: { code: 'NOT_FOUND' } });
    expect(await desk.head()).toBe(head);
  });

  it('lists what it reaches and nothing else', async () => {
    await desk.issue(theirs);
    await desk.issue(mine);
    const bound = desk.as(await desk.credential(`keys:read@${mine}`, `keyspaces:read@${mine}`));
    const keys = (await bound.get('/v1/keys')).body.items;
    expect(keys.length).toBeGreaterThan(0);
    for (const { keyspaceId } of keys) expect(keyspaceId).toBe(mine);
    const byOwner = (await bound.get('/v1/keys?ownerId=app_checkout')).body.items;
    expect(byOwner.length).toBeGreaterThan(0);
    for (const { keyspaceId } of byOwner) expect(keyspaceId).toBe(mine);
    expect((await bound.get('/v1/keyspaces')).body.items.map((one: { keyspaceId: string }) => one.keyspaceId)).toEqual([
      mine,
    ]);
  });

  it('revokes in bulk by owner only where it reaches', async () => {
    const owner = { id: `shared-${mine}`, type: 'service' };
    const inside = await desk.issue(mine, { owner });
    const outside = await desk.issue(theirs, { owner });
    const bound = desk.as(await desk.credential(`keys:revoke@${mine}`));
    const { body } = await bound.post('/v1/keys/revoke', { ownerId: owner.id, reason: 'offboarding' });
    expect(body.results.map((one: { keyId: string }) => one.keyId)).toEqual([inside.keyId]);
    expect(await desk.verdict(outside.key)).toBe('VALID');
  });

  it('creates no other keyspace than that one', async () => {
    const creator = desk.as(await desk.credential('keyspaces:create@later'));
    const other = await creator.post('/v1/keyspaces', { name: 'Other', prefix: 'other' });
    expect([other.status, other.body.code]).toEqual([403, 'INSUFFICIENT_SCOPE']);
    expect((await creator.post('/v1/keyspaces', { name: 'Later', prefix: 'later' })).status).toBe(201);
  });
});

describe('management keys', () => {
  it('are issued and imported only with scopes that their issuer holds', async () => {
    const issuer = desk.as(await desk.credential('keys:issue', 'keys:import', 'keys:read'));
    const weaker = await issuer.post('/v1/keys', {
      ...requestFor('system'),
      scopes: ['keys:read', `keys:issue@${mine}`],
    });
    expect(weaker.status).toBe(201);
    const head = await desk.head();
    for (const [scopes, field] of [
      [['keys:read', 'keys:revoke'], 'scopes[1]'],
      [['keys:*'], 'scopes[0]'],
      [['system:operate'], 'scopes[0]'],
      [['keys:everything'], 'scopes[0]'],
    ] as const) {
      const stronger = await issuer.post('/v1/keys', { ...requestFor('system'), scopes });
      expect([scopes, stronger.status, stronger.body.errors[0].field]).toEqual([scopes, 403, field]);
    }
    const { keyspaceId: _, ...item } = requestFor('system');
    const imported = await issuer.post('/v1/keys/import', {
      keyspaceId: 'system',
      keys: [{ ...item, sha256: 'cd'.repeat(32), scopes: ['system:operate'] }],
    });
    expect(imported.body.results[0]).toMatchObject({ status: 'rejected', error: { code: 'INSUFFICIENT_SCOPE' } });
    expect(await desk.head()).toBe(head);
  });

  it('of unknown scopes or of the publishable kind cannot be', async () => {
    const unknown = await desk.admin.post('/v1/keys', { ...requestFor('system'), scopes: ['keys:fly'] });
    expect([unknown.status, unknown.body.errors[0].field]).toEqual([403, 'scopes[0]']);
    const open = await desk.admin.post('/v1/keys', {
      ...requestFor('system'),
      scopes: ['verify'],
      kind: 'publishable',
    });
    expect([open.status, open.body.errors[0].field]).toEqual([422, 'kind']);
  });

  it('are changed by nobody who holds less than they do', async () => {
    const { keyId } = await desk.issue('system', { scopes: ['system:operate', 'keys:read'] });
    const weaker = desk.as(await desk.credential('keys:*'));
    const head = await desk.head();
    for (const [method, path, body] of [
      ['POST', '/rotate', {}],
      ['POST', '/revoke', { reason: 'other' }],
      ['POST', '/suspend', { reason: 'other' }],
      ['POST', '/reinstate', { reason: 'other' }],
      ['PATCH', '', { name: 'x' }],
    ] as const) {
      const answer = await weaker.request(method, `/v1/keys/${keyId}${path}`, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 403, 'INSUFFICIENT_SCOPE']);
    }
    const bulk = await weaker.post('/v1/keys/revoke', { keyspaceId: 'system', reason: 'other' });
    const rejected = bulk.body.results.filter((one: { status: string }) => one.status === 'rejected');
    expect(rejected.map((one: { keyId: string }) => one.keyId)).toContain(keyId);
    expect((await desk.admin.get('/v1/system/status')).status).toBe(200);
    expect(await desk.head()).toBeGreaterThan(head);
  });

  it('that are restricted to addresses or origins are good from there only', async () => {
    const { key } = await desk.issue('system', {
      scopes: ['keys:read'],
      restrictions: { addresses: ['192.0.2.0/24'] },
    });
    expect((await desk.as(key).get('/v1/keys')).status).toBe(401);
    const local = await desk.issue('system', { scopes: ['keys:read'], restrictions: { addresses: ['127.0.0.1'] } });
    expect((await desk.as(local.key).get('/v1/keys')).status).toBe(200);
  });
});

it('the actor, the reason and, encrypted, the person behind a change stand in its event', async () => {
  const { EventStore } = await import('@keyledger/event-store');
  const store = new EventStore({ url: system.eventStore.url });
  const reason = {
    'x-keyledger-reason': 'ticket 42',
    'x-keyledger-on-behalf-of': 'jane@example.com',
    'x-request-id': 'request-4711',
  };
  const { body } = await desk.admin.post('/v1/keys', requestFor(mine), reason);
  await desk.admin.post(`/v1/keys/${body.keyId}/suspend`, { reason: 'odd traffic' });
  const { events } = await store.load(`key-${body.keyId}`);
  await store.dispose();
  expect(events.map(({ metadata }) => metadata)).toEqual([
    expect.objectContaining({
      actor: { type: 'key', id: expect.any(String), onBehalfOf: expect.stringMatching(/^pii:v1:/) },
      reason: 'ticket 42',
      requestId: 'request-4711',
      clientAddress: expect.stringMatching(/^pii:v1:/),
    }),
    expect.objectContaining({ reason: 'odd traffic' }),
  ]);
});
