import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, http, startSystem, type System } from '../support/index.js';
import { Desk } from './api.harness.js';

describe('the use of keys', () => {
  let system: System;
  let desk: Desk;

  beforeAll(async () => {
    system = await startSystem({ KEYLEDGER_USAGE_INTERVAL_SECONDS: '1' });
    desk = new Desk(system);
  });
  afterAll(async () => {
    await desk?.dispose();
    await system?.stop();
  });

  const verify = async (key: string, times: number) => {
    const verifier = http(system.verifier.baseUrl, system.adminKey);
    for (let n = 0; n < times; n++) {
      const { body } = await verifier.post('/v1/verify', { key });
      expect(body.code).toBe('VALID');
    }
  };
  const rotation = async (keyId: string) => (await desk.admin.get(`/v1/keys/${keyId}/rotation`)).body;

  it('shows for both secrets of a rotation how they are used, and when the old one will end', async () => {
    const keyspace = await desk.keyspace({
      endGrace: 'when-idle:PT1H',
      rotation: { every: 'P30D', grace: 'P1D', mode: 'announce' },
    });
    const key = await desk.issue(keyspace);
    await verify(key.key, 2);
    const rotated = (await desk.admin.post(`/v1/keys/${key.keyId}/rotate`, { graceSeconds: 86_400 })).body;
    expect((await rotation(key.keyId)).grace).toMatchObject({ endGrace: 'when-idle:PT1H' });
    expect((await rotation(key.keyId)).current).toMatchObject({ secretId: rotated.secretId, count: 0 });

    await verify(key.key, 1);
    await verify(rotated.key, 4);
    await eventually('the uses to arrive', async () => {
      const { current, previous } = await rotation(key.keyId);
      return current.count === 4 && previous.count === 3;
    });
    const { current, previous, grace, nextRotation } = await rotation(key.keyId);
    expect(current.firstUsedAt <= current.lastUsedAt).toBe(true);
    expect(previous.lastUsedAt <= current.firstUsedAt).toBe(true);
    const idleAt = new Date(Date.parse(previous.lastUsedAt) + 3_600_000).toISOString();
    expect(grace).toEqual({
      endsAt: rotated.previous.graceEndsAt,
      endGrace: 'when-idle:PT1H',
      next: 'end-when-idle',
      nextAt: idleAt,
    });
    expect(nextRotation).toMatchObject({ every: 'P30D', mode: 'announce' });
  });

  it('ends a grace early once the old secret is silent and the new one is used, with the evidence', async () => {
    const keyspace = await desk.keyspace({ endGrace: 'when-idle:PT2S' });
    const key = await desk.issue(keyspace);
    const rotated = (await desk.admin.post(`/v1/keys/${key.keyId}/rotate`, { graceSeconds: 3600 })).body;
    await verify(key.key, 3);
    await verify(rotated.key, 1);
    const ended = await eventually('the grace is over', async () => {
      const { body } = await desk.admin.get(`/v1/audit/events?keyId=${key.keyId}&type=KeyGraceEnded`);
      return body.items[0] ?? false;
    });
    expect(ended.data).toMatchObject({
      secretId: key.secretId,
      cause: 'idle',
      graceEndsAt: rotated.previous.graceEndsAt,
      evidence: [
        { secretId: rotated.secretId, count: 1 },
        { secretId: key.secretId, count: 3 },
      ],
    });
    const [, old] = ended.data.evidence;
    expect(Date.parse(ended.data.endedAt) - Date.parse(old.lastUsedAt)).toBeGreaterThanOrEqual(2000);
    expect([await desk.verdict(key.key), await desk.verdict(rotated.key)]).toEqual(['EXPIRED', 'VALID']);
  });

  it('knows the last use of a key after Redis was emptied, and goes on counting from there', async () => {
    const keyspace = await desk.keyspace();
    const [used, unused] = [await desk.issue(keyspace), await desk.issue(keyspace)];
    const since = new Date(Date.now() + 1).toISOString();
    await verify(used.key, 3);
    await eventually('the uses to be on record', async () => {
      return (await desk.recordedUses(used.keyId)) === 3;
    });
    const before = (await desk.admin.get(`/v1/keys/${used.keyId}`)).body.secrets[0].lastUsedAt;

    await desk.emptyRedis();
    await eventually('the use to be back', async () => {
      const { status, body } = await desk.admin.get(`/v1/keys/${used.keyId}/rotation`);
      return status === 200 && body.current.count === 3 && body.current.lastUsedAt === before;
    });
    await verify(used.key, 2);
    await eventually('counting to go on', async () => (await rotation(used.keyId)).current.count === 5);
    const list = await desk.admin.get(`/v1/keys?keyspaceId=${keyspace}&unusedSince=${since}`);
    expect(list.body.items.map(({ keyId }: { keyId: string }) => keyId)).toEqual([unused.keyId]);
  });

  it('refuses an unusedSince that is no instant, naming it', async () => {
    const { status, body } = await desk.admin.get('/v1/keys?unusedSince=yesterday');
    expect(status).toBe(400);
    expect(body.errors).toMatchObject([{ field: 'unusedSince' }]);
  });
});
