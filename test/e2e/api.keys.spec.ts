import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
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

  it('is rotated also while something else of it is changed', async () => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const rotate = async () => (await desk.admin.post(`/v1/keys/${keyId}/rotate`, { graceSeconds: 0 })).status;
    for (let round = 0; round < 10; round += 1) {
      const rename = (nth: number) => desk.admin.patch(`/v1/keys/${keyId}`, { name: `round ${round}, ${nth}` });
      const [rotated, ...renamed] = await Promise.all([rotate(), ...[1, 2, 3].map(rename)]);
      expect([rotated, ...renamed.map(({ status }) => status)]).toEqual([200, 200, 200, 200]);
    }
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
