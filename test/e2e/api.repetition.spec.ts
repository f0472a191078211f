import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { startApp, startSystem, type Answer, type App, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

let system: System;
let second: App;
let desk: Desk;

beforeAll(async () => {
  system = await startSystem();
  second = await startApp('api', system.env);
  desk = new Desk(system);
});

afterAll(async () => {
  await desk.dispose();
  await second.stop();
  await system.stop();
});

const once = () => ({ 'idempotency-key': randomUUID() });

describe('a repeated Idempotency-Key', () => {
  it('sent a hundred times at once to two processes makes one key', async () => {
    const id = await desk.keyspace();
    const headers = once();
    const other = new Desk({ ...system, api: second });
    const before = await desk.head();
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        (index % 2 === 0 ? desk : other).admin.post('/v1/keys', requestFor(id), headers),
      ),
    );
    await other.dispose();
    const made = answers.filter(({ status }) => status === 201);
    const rest = answers.filter(({ status }) => status !== 201);
    expect(made.length).toBeGreaterThan(0);
    expect(new Set(made.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(made[0]?.body.key).toEqual(expect.any(String));
    for (const { status, body } of rest) expect([status, body.code]).toEqual([409, 'IN_PROGRESS']);
    expect(await desk.events(`key-${made[0]?.body.keyId}`)).toEqual(['KeyIssued']);
    expect((await desk.admin.get(`/v1/keys?keyspaceId=${id}`)).body.items).toHaveLength(1);
    expect((await desk.head()) - before).toBeGreaterThan(0n);
    expect(await desk.verdict(made[0]?.body.key)).toBe('VALID');
  });

  it('gets the same answer, the key included, and appends nothing', async () => {
    const id = await desk.keyspace();
    const headers = once();
    const first = await desk.admin.post('/v1/keys', requestFor(id), headers);
    const head = await desk.head();
    const quoted = { 'idempotency-key': `"${headers['idempotency-key']}"` };
    const reordered = Object.fromEntries(Object.entries(requestFor(id)).reverse());
    const again = await desk.admin.post('/v1/keys', reordered, quoted);
    expect(again.status).toBe(201);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(await desk.head()).toBe(head);
  });

  it('with another body is refused, on every route that creates', async () => {
    const id = await desk.keyspace();
    const { keyId } = await desk.issue(id);
    const { keyspaceId: _, ...item } = requestFor(id);
    for (const [path, one, other] of [
      ['/v1/keys', requestFor(id), { ...requestFor(id), name: 'Other' }],
      ['/v1/keyspaces', { name: 'A', prefix: `${id.slice(0, 9)}a` }, { name: 'A', prefix: `${id.slice(0, 9)}b` }],
      [`/v1/keys/${keyId}/rotate`, { graceSeconds: 60 }, { graceSeconds: 61 }],
      [
        '/v1/keys/import',
        { keyspaceId: id, keys: [{ ...item, sha256: '01'.repeat(32) }] },
        { keyspaceId: id, keys: [{ ...item, sha256: '02'.repeat(32) }] },
      ],
      [`/v1/keys/${keyId}/suspend`, { reason: 'one' }, { reason: 'other' }],
    ] as const) {
      const headers = once();
      expect((await desk.admin.post(path, one, headers)).status).toBeLessThan(300);
      const head = await desk.head();
      const answer = await desk.admin.post(path, other, headers);
      expect([path, answer.status, answer.body.code]).toEqual([path, 422, 'IDEMPOTENCY_KEY_REUSED']);
      expect(await desk.head()).toBe(head);
    }
  });

  it('is another one from another caller and on another route', async () => {
    const id = await desk.keyspace();
    const headers = once();
    const first = await desk.admin.post('/v1/keys', requestFor(id), headers);
    const colleague = desk.as(await desk.credential('keys:issue'));
    const theirs = await colleague.post('/v1/keys', requestFor(id), headers);
    expect(theirs.status).toBe(201);
    expect(theirs.body.keyId).not.toBe(first.body.keyId);
    expect((await desk.admin.post(`/v1/keys/${first.body.keyId}/rotate`, {}, headers)).status).toBe(200);
    expect((await desk.admin.post(`/v1/keys/${theirs.body.keyId}/rotate`, {}, headers)).status).toBe(200);
  });

  it('of a rotation gets the same secret; the key is rotated once', async () => {
    const issued = await desk.issue(await desk.keyspace());
    const headers = once();
    const first = await desk.admin.post(`/v1/keys/${issued.keyId}/rotate`, {}, headers);
    const again = await desk.admin.post(`/v1/keys/${issued.keyId}/rotate`, {}, { ...headers, 'if-match': '"0"' });
    expect(again.body).toEqual(first.body);
    expect(await desk.events(`key-${issued.keyId}`)).toEqual(['KeyIssued', 'KeyRotated']);
  });

  it('of a refused request may be used again once the request is put right', async () => {
    const id = await desk.keyspace();
    const headers = once();
    const wrong = await desk.admin.post('/v1/keys', { ...requestFor(id), environment: 'nowhere' }, headers);
    expect(wrong.status).toBe(422);
    expect((await desk.admin.post('/v1/keys', requestFor(id), headers)).status).toBe(201);
  });

  it('of a request that changes without creating gives the same outcome', async () => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const headers = once();
    const first = await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'x' }, headers);
    await desk.admin.post(`/v1/keys/${keyId}/reinstate`, { reason: 'x' });
    const again = await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'x' }, headers);
    expect(first.body).toMatchObject({ state: 'suspended', revision: 1 });
    expect([again.status, again.body, again.headers.get('etag')]).toEqual([200, first.body, '"1"']);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    // Not suspended again: that request was done, and what came after it stays.
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeySuspended', 'KeyReinstated']);
  });

  it('survives the loss of Redis as a receipt without the key, and makes no second one', async () => {
    const id = await desk.keyspace();
    const headers = once();
    const first = await desk.admin.post('/v1/keys', requestFor(id), headers);
    const { keyId } = await desk.issue(id);
    const rotation = await desk.admin.post(`/v1/keys/${keyId}/rotate`, {}, headers);
    await desk.emptyRedis();
    const again = await desk.admin.post('/v1/keys', requestFor(id), headers);
    expect(again.status).toBe(201);
    const { key: _, ...withoutKey } = first.body;
    expect(again.body).toEqual({ ...withoutKey, effective: expect.any(Boolean) });
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const rotatedAgain = await desk.admin.post(`/v1/keys/${keyId}/rotate`, {}, headers);
    const { key: __, ...rotatedWithoutKey } = rotation.body;
    expect(rotatedAgain.body).toEqual({ ...rotatedWithoutKey, effective: expect.any(Boolean) });
    const reused = await desk.admin.post('/v1/keys', { ...requestFor(id), name: 'Other' }, headers);
    expect(reused.body.code).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(await desk.events(`key-${first.body.keyId}`)).toEqual(['KeyIssued']);
  });
});

describe('racing changes of one key', () => {
  const codes = (answers: Answer[]) => answers.map(({ status, body }) => (status === 200 ? 'done' : body.code));

  it('twenty rotations at once: one wins each round, nobody is told of a secret that is not there', async () => {
    const id = await desk.keyspace();
    for (let round = 0; round < 3; round++) {
      const { keyId, key } = await desk.issue(id);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => desk.admin.post(`/v1/keys/${keyId}/rotate`, { graceSeconds: 3600 })),
      );
      const winners = answers.filter(({ status }) => status === 200);
      expect(winners.length).toBeGreaterThan(0);
      for (const code of codes(answers)) expect(['done', 'CONFLICT']).toContain(code);
      expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', ...winners.map(() => 'KeyRotated')]);
      const { body } = await desk.admin.get(`/v1/keys/${keyId}`);
      expect(body.secrets).toHaveLength(2);
      const newest = winners.find(({ body: rotated }) => rotated.secretId === body.secrets[0].secretId);
      expect(await desk.verdict(newest?.body.key)).toBe('VALID');
      expect(await desk.verdict(key)).toBe(winners.length === 1 ? 'VALID' : 'EXPIRED');
    }
  });

  it('a revocation among rotations always comes through, and no secret of the key is good after it', async () => {
    const id = await desk.keyspace();
    for (let round = 0; round < 5; round++) {
      const { keyId, key } = await desk.issue(id);
      const rotate = () => desk.admin.post(`/v1/keys/${keyId}/rotate`, {});
      const revoke = () => desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'leaked' });
      const [one, revoked, other] = await Promise.all([rotate(), revoke(), rotate()]);
      expect([revoked.status, revoked.body.state]).toEqual([200, 'revoked']);
      for (const code of codes([one, other])) expect(['done', 'CONFLICT', 'KEY_REVOKED']).toContain(code);
      const keys = [key, ...[one, other].flatMap(({ status, body }) => (status === 200 ? [body.key] : []))];
      for (const each of keys) expect(await desk.verdict(each)).toBe('REVOKED');
      const events = await desk.events(`key-${keyId}`);
      expect(events.at(-1)).toBe('KeyRevoked');
    }
  });

  it('two changes for the same revision: one is done, the other hears that it came late', async () => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const answers = await Promise.all(
      ['a', 'b', 'c'].map((name) => desk.admin.patch(`/v1/keys/${keyId}`, { name }, { 'if-match': '"0"' })),
    );
    expect(codes(answers).sort()).toEqual(['PRECONDITION_FAILED', 'PRECONDITION_FAILED', 'done']);
  });
});
