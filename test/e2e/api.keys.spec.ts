import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { startSystem, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let desk: Desk;

beforeAll(async () => {
  system = await startSystem();
  desk = new Desk(system);
});

afterAll(async () => {
  await desk.dispose();
  await system.stop();
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('keyspaces', () => {
  it('are created with defaults, shown, listed, and changed by merging the policy', async () => {
    const id = `k${randomBytes(4).toString('hex')}`;
    const made = await desk.admin.post('/v1/keyspaces', { name: 'Acme', prefix: id, policy: { maxLifetime: 'P30D' } });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/v1/keyspaces/${id}`);
    expect(made.headers.get('etag')).toBe('"0"');
    expect(made.body).toMatchObject({
      keyspaceId: id,
      prefix: id,
      name: 'Acme',
      environments: ['live', 'test'],
      policy: { defaultLifetime: 'P30D', maxLifetime: 'P30D', defaultGrace: 'P1D', nonExpiring: false },
      revision: 0,
      effective: true,
    });

    const changed = await desk.admin.patch(
      `/v1/keyspaces/${id}`,
      { policy: { defaultGrace: 'PT1H', scopes: ['a:*'] } },
      { 'if-match': '"0"' },
    );
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).toBe('"1"');
    expect(changed.body.policy).toMatchObject({ defaultGrace: 'PT1H', maxLifetime: 'P30D', scopes: ['a:*'] });

    const lifted = await desk.admin.patch(`/v1/keyspaces/${id}`, { policy: { scopes: null } });
    expect(lifted.body.policy.scopes).toBeUndefined();

    const { effective: _, ...view } = lifted.body;
    expect((await desk.admin.get(`/v1/keyspaces/${id}`)).body).toEqual(view);
    expect((await desk.admin.get('/v1/keyspaces')).body.items).toContainEqual(view);
  });

  it('have the prefix kl unless another is named, and a prefix belongs to one of them', async () => {
    const first = await desk.admin.post('/v1/keyspaces', { name: 'Default' });
    expect(first.body.keyspaceId).toBe('kl');
    const second = await desk.admin.post('/v1/keyspaces', { name: 'Again' });
    expect([second.status, second.body.code]).toEqual([409, 'KEYSPACE_EXISTS']);
    expect(second.body.errors).toEqual([expect.objectContaining({ field: 'prefix' })]);
  });

  it('that are archived take no new keys or secrets, while their keys are judged as before', async () => {
    const id = await desk.keyspace();
    const key = await desk.issue(id);
    const archived = await desk.admin.post(`/v1/keyspaces/${id}/archive`);
    expect([archived.status, archived.body.archivedAt]).toEqual([200, expect.any(String)]);
    const refused = await desk.admin.post('/v1/keys', requestFor(id));
    expect([refused.status, refused.body.code]).toEqual([409, 'KEYSPACE_ARCHIVED']);
    const rotation = await desk.admin.post(`/v1/keys/${key.keyId}/rotate`, {});
    expect(rotation.body.code).toBe('KEYSPACE_ARCHIVED');
    expect(await desk.verdict(key.key)).toBe('VALID');
  });
});

describe('a key', () => {
  it('is shown once, and ever after by its mask', async () => {
    const id = await desk.keyspace();
    const issued = await desk.admin.post('/v1/keys', { ...requestFor(id), metadata: { team: 'pay' }, lifetime: 'P7D' });
    expect(issued.status).toBe(201);
    expect(issued.headers.get('cache-control')).toBe('no-store');
    expect(issued.headers.get('location')).toBe(`/v1/keys/${issued.body.keyId}`);
    const { key, secretId, mask, effective, ...view } = issued.body;
    expect(key).toMatch(new RegExp(`^${id}_live_${secretId}_[0-9A-Za-z]{49}$`));
    expect(mask).toBe(`${id}_live_${secretId}_…${key.slice(-4)}`);
    expect(effective).toBe(true);
    expect(view).toMatchObject({ state: 'active', scopes: ['payments:read'], metadata: { team: 'pay' }, revision: 0 });
    expect(Date.parse(view.expiresAt) - Date.parse(view.createdAt)).toBe(7 * 86_400_000);

    const shown = await desk.admin.get(`/v1/keys/${view.keyId}`);
    expect(shown.headers.get('etag')).toBe('"0"');
    expect(shown.body).toEqual(view);
    expect(JSON.stringify(shown.body)).not.toContain(key.slice(-49));
  });

  it('is changed where it says so, and its expiry only brought forward', async () => {
    const { keyId, expiresAt } = await desk.issue(await desk.keyspace());
    const earlier = new Date(Date.parse(expiresAt) - 86_400_000).toISOString();
    const owner = { id: 'svc_other', type: 'service' };
    const change = {
      name: 'Renamed',
      metadata: {},
      owner,
      restrictions: { addresses: ['10.0.0.0/8'] },
      expiresAt: earlier,
    };
    const changed = await desk.admin.patch(`/v1/keys/${keyId}`, change);
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ ...change, revision: 1 });
    const later = await desk.admin.patch(`/v1/keys/${keyId}`, { expiresAt });
    expect([later.status, later.body.errors[0].field]).toEqual([422, 'expiresAt']);
    const lifted = await desk.admin.patch(`/v1/keys/${keyId}`, { restrictions: {} });
    expect(lifted.body.restrictions).toEqual({});
  });

  it('gets a new secret by rotation, while the old one works until its grace ends', async () => {
    const issued = await desk.issue(await desk.keyspace());
    const rotated = await desk.admin.post(`/v1/keys/${issued.keyId}/rotate`, {
      graceSeconds: 3600,
      comment: 'planned',
    });
    expect(rotated.status).toBe(200);
    expect(rotated.headers.get('etag')).toBe('"1"');
    expect(rotated.body).toEqual({
      keyId: issued.keyId,
      secretId: expect.any(String),
      key: expect.any(String),
      mask: expect.any(String),
      previous: { secretId: issued.secretId, graceEndsAt: expect.any(String) },
      expiresAt: issued.expiresAt,
      revision: 1,
      effective: true,
    });
    expect(await desk.verdict(issued.key)).toBe('VALID');
    expect(await desk.verdict(rotated.body.key)).toBe('VALID');
    const { body: view } = await desk.admin.get(`/v1/keys/${issued.keyId}`);
    expect(view.secrets.map((secret: { secretId: string }) => secret.secretId)).toEqual([
      rotated.body.secretId,
      issued.secretId,
    ]);

    const atOnce = await desk.admin.post(`/v1/keys/${issued.keyId}/rotate`, { graceSeconds: 0 });
    expect(await desk.verdict(issued.key)).toBe('EXPIRED');
    expect(await desk.verdict(rotated.body.key)).toBe('EXPIRED');
    expect(await desk.verdict(atOnce.body.key)).toBe('VALID');
  });

  it('is suspended and reinstated, and revoked for good', async () => {
    const { keyId, key } = await desk.issue(await desk.keyspace());
    const suspended = await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'odd traffic' });
    expect(suspended.body).toMatchObject({ state: 'suspended', suspension: { reason: 'odd traffic' } });
    expect(await desk.verdict(key)).toBe('SUSPENDED');
    const reinstated = await desk.admin.post(`/v1/keys/${keyId}/reinstate`, { reason: 'it was the load test' });
    expect(reinstated.body.state).toBe('active');
    expect(await desk.verdict(key)).toBe('VALID');

    const revoked = await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'leaked', comment: 'in a gist' });
    expect(revoked.status).toBe(200);
    expect(revoked.body).toEqual({
      keyId,
      state: 'revoked',
      requestedAt: expect.any(String),
      revision: 3,
      effective: true,
    });
    expect(await desk.verdict(key)).toBe('REVOKED');
    const again = await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'other' });
    expect(again.body).toEqual(revoked.body);
    for (const [path, body] of [
      ['rotate', {}],
      ['reinstate', { reason: 'x' }],
      ['suspend', { reason: 'x' }],
    ] as const) {
      const refused = await desk.admin.post(`/v1/keys/${keyId}/${path}`, body);
      expect([path, refused.status, refused.body.code]).toEqual([path, 409, 'KEY_REVOKED']);
    }
    const { body: view } = await desk.admin.get(`/v1/keys/${keyId}`);
    expect(view).toMatchObject({ state: 'revoked', revocation: { reason: 'leaked', comment: 'in a gist' } });
  });

  it('may live for ever only where the policy allows it, and with a justification', async () => {
    const strict = await desk.admin.post('/v1/keys', { ...requestFor(await desk.keyspace()), expiresAt: null });
    expect([strict.status, strict.body.errors[0].field]).toEqual([422, 'expiresAt']);
    const id = await desk.keyspace({ nonExpiring: true });
    const unexplained = await desk.admin.post('/v1/keys', { ...requestFor(id), expiresAt: null });
    expect([unexplained.status, unexplained.body.errors[0].field]).toEqual([422, 'justification']);
    const key = await desk.issue(id, { expiresAt: null, justification: 'a device without a clock' });
    expect(key).toMatchObject({ expiresAt: null, justification: 'a device without a clock' });
  });
});

describe('revisions', () => {
  it('keep a change that was meant for another revision from happening', async () => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const head = await desk.head();
    for (const [method, path, body] of [
      ['PATCH', '', { name: 'late' }],
      ['POST', '/rotate', {}],
      ['POST', '/revoke', { reason: 'other' }],
      ['POST', '/suspend', { reason: 'other' }],
    ] as const) {
      const answer = await desk.admin.request(method, `/v1/keys/${keyId}${path}`, body, { 'if-match': '"7"' });
      expect([path, answer.status, answer.body.code]).toEqual([path, 412, 'PRECONDITION_FAILED']);
      const unreadable = await desk.admin.request(method, `/v1/keys/${keyId}${path}`, body, { 'if-match': '7' });
      expect([path, unreadable.status, unreadable.body.errors[0].field]).toEqual([path, 400, 'If-Match']);
    }
    expect(await desk.head()).toBe(head);
    const right = await desk.admin.patch(`/v1/keys/${keyId}`, { name: 'in time' }, { 'if-match': '"0"' });
    expect(right.body.revision).toBe(1);
  });
});

describe('lists', () => {
  it('filter by keyspace, owner, environment, state and expiry, page by page in the order of creation', async () => {
    const id = await desk.keyspace();
    const ids: string[] = [];
    for (let index = 0; index < 7; index++) {
      const environment = index % 2 === 0 ? 'live' : 'test';
      const owner = { id: index < 3 ? `first-${id}` : `second-${id}`, type: 'service' };
      ids.push((await desk.issue(id, { environment, owner, lifetime: `P${10 + index}D` })).keyId);
    }
    await desk.admin.post(`/v1/keys/${ids[6]}/revoke`, { reason: 'unused' });
    const found = async (query: string) => {
      const { status, body } = await desk.admin.get(`/v1/keys?${query}`);
      expect(status).toBe(200);
      return body.items.map((item: { keyId: string }) => item.keyId);
    };
    expect(await found(`keyspaceId=${id}`)).toEqual(ids);
    expect(await found(`ownerId=first-${id}`)).toEqual(ids.slice(0, 3));
    expect(await found(`keyspaceId=${id}&environment=test`)).toEqual([ids[1], ids[3], ids[5]]);
    expect(await found(`keyspaceId=${id}&state=revoked`)).toEqual([ids[6]]);
    expect(await found(`keyspaceId=${id}&state=active&ownerId=second-${id}`)).toEqual(ids.slice(3, 6));
    const before = new Date(Date.now() + 12.5 * 86_400_000).toISOString();
    expect(await found(`keyspaceId=${id}&expiringBefore=${before}`)).toEqual(ids.slice(0, 3));

    const paged: string[] = [];
    let query = `keyspaceId=${id}&limit=3`;
    for (let pages = 0; pages < 10; pages++) {
      const { body } = await desk.admin.get(`/v1/keys?${query}`);
      expect(body.items.length).toBeLessThanOrEqual(3);
      paged.push(...body.items.map((item: { keyId: string }) => item.keyId));
      if (body.nextCursor === undefined) break;
      query = `keyspaceId=${id}&limit=3&cursor=${encodeURIComponent(body.nextCursor)}`;
    }
    expect(paged).toEqual(ids);
  });
});

describe('importing', () => {
  it('takes foreign keys by their SHA-256, each with a result, and each hash once', async () => {
    const id = await desk.keyspace();
    const foreign = Array.from({ length: 4 }, () => `legacy-${randomBytes(16).toString('hex')}`);
    const { keyspaceId: _, ...item } = requestFor(id);
    const digest = createHash('sha256')
      .update(foreign[1] as string)
      .digest();
    const keys = [
      { ...item, sha256: sha256(foreign[0] as string), externalId: 'old-1' },
      { ...item, sha256: digest.toString('base64') },
      { ...item, sha256: digest.toString('base64url') },
      { ...item, sha256: sha256(foreign[2] as string), environment: 'nowhere' },
      { ...item, sha256: sha256(foreign[3] as string), expiresAt: '2001-01-01T00:00:00Z' },
    ];
    const { status, body } = await desk.admin.post('/v1/keys/import', { keyspaceId: id, keys });
    expect(status).toBe(200);
    expect(body.results.map((one: { status: string }) => one.status)).toEqual([
      'imported',
      'imported',
      'rejected',
      'rejected',
      'rejected',
    ]);
    expect(body.results[2].error).toMatchObject({ code: 'KEY_EXISTS', errors: [{ field: 'keys[2].sha256' }] });
    expect(body.results[3].error).toMatchObject({ code: 'POLICY', errors: [{ field: 'keys[3].environment' }] });
    expect(body.results[4].error).toMatchObject({ code: 'POLICY', errors: [{ field: 'keys[4].expiresAt' }] });
    expect(await desk.verdict(foreign[0] as string)).toBe('VALID');
    expect(await desk.verdict(foreign[2] as string)).toBe('NOT_FOUND');
    const { body: view } = await desk.admin.get(`/v1/keys/${body.results[0].keyId}`);
    expect(view).toMatchObject({ externalId: 'old-1', name: item.name });

    const elsewhere = await desk.keyspace();
    const again = await desk.admin.post('/v1/keys/import', { keyspaceId: elsewhere, keys: keys.slice(0, 1) });
    expect(again.body.results[0]).toMatchObject({ status: 'rejected', error: { code: 'KEY_EXISTS' } });
    expect(JSON.stringify(again.body)).not.toContain(body.results[0].keyId);

    const { key: own } = await desk.issue(id);
    const ours = { keyspaceId: elsewhere, keys: [{ ...item, sha256: sha256(own) }] };
    const { body: refused } = await desk.admin.post('/v1/keys/import', ours);
    expect(refused.results[0]).toMatchObject({ status: 'rejected', error: { code: 'KEY_EXISTS' } });

    const rotated = await desk.admin.post(`/v1/keys/${body.results[0].keyId}/rotate`, {});
    expect(await desk.verdict(rotated.body.key)).toBe('VALID');
    expect(await desk.verdict(foreign[0] as string)).toBe('VALID');
  });

  it('takes a thousand in one call, and repeats the answer for the same Idempotency-Key', async () => {
    const id = await desk.keyspace();
    const { keyspaceId: _, ...item } = requestFor(id);
    const keys = Array.from({ length: 1000 }, (__, index) => ({ ...item, sha256: sha256(`${id}-${index}`) }));
    const headers = { 'idempotency-key': `import-${id}` };
    const first = await desk.admin.post('/v1/keys/import', { keyspaceId: id, keys }, headers);
    expect(first.body.results.filter((one: { status: string }) => one.status === 'imported')).toHaveLength(1000);
    const head = await desk.head();
    const second = await desk.admin.post('/v1/keys/import', { keyspaceId: id, keys }, headers);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(await desk.head()).toBe(head);
  });
});

describe('bulk revocation', () => {
  it('ends all keys of a keyspace, of an owner or those named, with a result for each', async () => {
    const id = await desk.keyspace();
    const keys = await Promise.all(Array.from({ length: 6 }, () => desk.issue(id)));
    const named = await desk.admin.post('/v1/keys/revoke', {
      keyIds: [keys[0].keyId, 'nobody12345'],
      reason: 'closed',
    });
    expect(named.body.results).toEqual([
      { keyId: keys[0].keyId, status: 'revoked', requestedAt: expect.any(String), revision: 1 },
      { keyId: 'nobody12345', status: 'rejected', error: { code: 'NOT_FOUND', detail: expect.any(String) } },
    ]);

    const done: string[] = [];
    let cursor: string | undefined;
    let calls = 0;
    do {
      const request = { keyspaceId: id, reason: 'offboarding', limit: 2, ...(cursor !== undefined && { cursor }) };
      const { status, body } = await desk.admin.post('/v1/keys/revoke', request);
      expect(status).toBe(200);
      expect(body.results.length).toBeLessThanOrEqual(2);
      done.push(...body.results.map((one: { keyId: string }) => one.keyId));
      cursor = body.nextCursor;
      calls++;
    } while (cursor !== undefined && calls < 20);
    expect(new Set(done)).toEqual(new Set(keys.slice(1).map(({ keyId }) => keyId)));
    for (const { key } of keys) expect(await desk.verdict(key)).toBe('REVOKED');

    const owner = { id: `gone-${id}`, type: 'account' };
    const other = await desk.issue(id, { owner });
    const byOwner = await desk.admin.post('/v1/keys/revoke', { ownerId: owner.id, reason: 'offboarding' });
    expect(byOwner.body.results).toEqual([expect.objectContaining({ keyId: other.keyId, status: 'revoked' })]);
  });

  it('is told by one choice of keys', async () => {
    for (const choice of [{}, { keyIds: ['abcdefgh'], keyspaceId: 'kl' }, { keyIds: [] }]) {
      const { status, body } = await desk.admin.post('/v1/keys/revoke', { ...choice, reason: 'other' });
      expect([choice, status, body.errors[0].field]).toEqual([choice, 400, 'keyIds']);
    }
  });
});

describe('by possession', () => {
  it('a key rotates and revokes itself where its keyspace allows it', async () => {
    const id = await desk.keyspace({ selfRotate: true, selfRevoke: true, defaultGrace: 'PT1H' });
    const issued = await desk.issue(id);
    const rotated = await desk.as(issued.key).post('/v1/keys/self/rotate', {});
    expect(rotated.status).toBe(200);
    expect(rotated.body).toMatchObject({ keyId: issued.keyId, previous: { secretId: issued.secretId } });
    const byOld = await desk.as(issued.key).post('/v1/keys/self/rotate', {});
    expect([byOld.status, byOld.body.code]).toEqual([409, 'CONFLICT']);
    const grace = await desk.as(rotated.body.key).post('/v1/keys/self/rotate', { graceSeconds: 0 });
    expect([grace.status, grace.body.errors[0].field]).toEqual([400, 'graceSeconds']);

    const revoked = await desk.as(rotated.body.key).post('/v1/keys/self/revoke', { reason: 'compromised' });
    expect(revoked.body).toMatchObject({ keyId: issued.keyId, state: 'revoked' });
    expect(await desk.verdict(rotated.body.key)).toBe('REVOKED');
    const after = await desk.as(rotated.body.key).post('/v1/keys/self/revoke', { reason: 'other' });
    expect([after.status, after.body.code]).toEqual([401, 'INVALID_TOKEN']);
  });

  it('a lost response to a rotation is had again with the old secret and the same Idempotency-Key', async () => {
    const issued = await desk.issue(await desk.keyspace({ selfRotate: true }));
    const headers = { 'idempotency-key': '"rotate-me"' };
    const first = await desk.as(issued.key).post('/v1/keys/self/rotate', {}, headers);
    const second = await desk.as(issued.key).post('/v1/keys/self/rotate', {}, headers);
    expect(second.body).toEqual(first.body);
  });

  it('nothing happens where the keyspace does not allow it, for publishable keys, or without a key', async () => {
    const closed = await desk.issue(await desk.keyspace());
    const open = await desk.keyspace({ selfRotate: true, selfRevoke: true });
    const restrictions = { origins: ['https://app.example.com'] };
    const publishable = await desk.issue(open, { kind: 'publishable', restrictions });
    expect(publishable.key.startsWith(`${open}pk_live_`)).toBe(true);
    const head = await desk.head();
    for (const [path, body] of [
      ['rotate', {}],
      ['revoke', { reason: 'other' }],
    ] as const) {
      const refused = await desk.as(closed.key).post(`/v1/keys/self/${path}`, body);
      expect([refused.status, refused.body.code]).toEqual([403, 'NOT_ALLOWED']);
      const origin = { origin: 'https://app.example.com' };
      const seen = await desk.as(publishable.key).post(`/v1/keys/self/${path}`, body, origin);
      expect([seen.status, seen.body.code]).toEqual([403, 'NOT_ALLOWED']);
      const elsewhere = await desk.as(publishable.key).post(`/v1/keys/self/${path}`, body);
      expect([elsewhere.status, elsewhere.body.code]).toEqual([401, 'INVALID_TOKEN']);
      const unknown = await desk.as('x'.repeat(40)).post(`/v1/keys/self/${path}`, body);
      expect([unknown.status, unknown.body.code]).toEqual([401, 'INVALID_TOKEN']);
    }
    expect(await desk.head()).toBe(head);
  });
});
