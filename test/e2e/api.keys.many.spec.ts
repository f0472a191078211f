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
