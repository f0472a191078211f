import { afterEach, describe, expect, it } from '@jest/globals';
import { redisNames } from '@keyledger/contracts';
import {
  eventually,
  redisCli,
  startRedisCluster,
  startRedisWithSentinel,
  startSystem,
  type RedisServer,
  type RedisTopology,
  type System,
} from '../support/index.js';
import { Desk, requestFor } from '../e2e/api.harness.js';

const KEYS = 24;

let topology: RedisTopology;
let system: System;
let desk: Desk;

const start = async (redis: RedisTopology): Promise<void> => {
  topology = redis;
  system = await startSystem({ REDIS_URL: redis.url });
  desk = new Desk(system);
};

afterEach(async () => {
  await desk.dispose();
  await system.stop();
  await topology.stop();
});

/** The verdicts on many keys; the status where there was no verdict. */
const verdicts = (keys: readonly string[]): Promise<string[]> =>
  Promise.all(
    keys.map(async (key) => {
      const { status, body } = await desk.admin.post('/v1/verify', { key });
      return status === 200 ? String(body.code) : String(status);
    }),
  );

interface Issued {
  keyId: string;
  key: string;
}

/** Keys of which every third is revoked, with what verification must say of each. */
const populate = async (keyspace: string): Promise<{ keys: string[]; truth: string[] }> => {
  const issued: Issued[] = await Promise.all(Array.from({ length: KEYS }, () => desk.issue(keyspace)));
  const revoked = issued.filter((_, index) => index % 3 === 0);
  for (const { keyId } of revoked) await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'other' });
  return {
    keys: issued.map(({ key }) => key),
    truth: issued.map((one) => (revoked.includes(one) ? 'REVOKED' : 'VALID')),
  };
};

/** Asks until every answer is the truth; until then each may only be 503. */
const expectTruthOr503Until = async (keys: readonly string[], truth: readonly string[]): Promise<void> => {
  const lies = new Set<string>();
  await eventually('every verdict is the truth again', async () => {
    const said = await verdicts(keys);
    said.forEach((one, index) => one !== truth[index] && one !== '503' && lies.add(`${one} for ${truth[index]}`));
    expect(said).toEqual(truth);
  });
  expect([...lies]).toEqual([]);
};

const expectRebuildFindsNothing = async (): Promise<void> => {
  const { body } = await desk.admin.post('/v1/system/projections/rebuild', {});
  await eventually('a rebuild found nothing to mend', async () => {
    const { body: status } = await desk.admin.get('/v1/system/projections');
    expect(status.rebuild.lastRebuild).toMatchObject({ rebuildId: body.rebuildId, equal: true, differing: [] });
  });
};

/** What every topology must do, beginning to end. */
const expectTheWholeLifeOfAKey = async (keyspace: string): Promise<void> => {
  const repeated = { 'idempotency-key': `once-${keyspace}` };
  const issued = await desk.admin.post('/v1/keys', requestFor(keyspace), repeated);
  const again = await desk.admin.post('/v1/keys', requestFor(keyspace), repeated);
  expect(again.body).toEqual(issued.body);
  expect(issued.body.effective).toBe(true);
  const rotated = await desk.admin.post(`/v1/keys/${issued.body.keyId}/rotate`, { graceSeconds: 3600 });
  const both = [issued.body.key, rotated.body.key];
  expect(await verdicts(both)).toEqual(['VALID', 'VALID']);
  await desk.admin.post(`/v1/keys/${issued.body.keyId}/revoke`, { reason: 'leaked' });
  expect(await verdicts(both)).toEqual(['REVOKED', 'REVOKED']);
  const listed = await desk.admin.get(`/v1/keys?keyspaceId=${keyspace}&state=revoked`);
  expect(listed.body.items.map(({ keyId }: Issued) => keyId)).toContain(issued.body.keyId);
};

describe('on a Redis Cluster', () => {
  it('everything works, spread over its nodes; of a node that is lost or emptied, answers are the truth or 503', async () => {
    await start(await startRedisCluster());
    const keyspace = await desk.keyspace();
    await expectTheWholeLifeOfAKey(keyspace);
    const { keys, truth } = await populate(keyspace);
    for (const { port } of topology.servers) expect(Number(await redisCli(port, 'dbsize'))).toBeGreaterThan(KEYS / 3);
    await expectRebuildFindsNothing();
    expect(await verdicts(keys)).toEqual(truth);

    // The node that holds what is said of the whole model, and one that holds nothing but records.
    const { servers } = topology;
    const holdsMeta = await Promise.all(servers.map(({ port }) => redisCli(port, 'exists', redisNames.meta)));
    const main = servers[holdsMeta.indexOf('1')] as RedisServer;
    const other = servers.find((server) => server !== main) as RedisServer;
    for (const server of [other, main]) {
      await server.kill();
      await server.start();
      await expectTruthOr503Until(keys, truth);
      await redisCli(server.port, 'flushall');
      await expectTruthOr503Until(keys, truth);
    }
    await expectTheWholeLifeOfAKey(await desk.keyspace());
  });
});

describe('under Sentinel', () => {
  it('everything works, and after a failover the replica answers with the truth or 503', async () => {
    await start(await startRedisWithSentinel());
    const keyspace = await desk.keyspace();
    await expectTheWholeLifeOfAKey(keyspace);
    const { keys, truth } = await populate(keyspace);

    const [master] = topology.servers;
    await master?.kill();
    await expectTruthOr503Until(keys, truth);
    await expectRebuildFindsNothing();
    await expectTheWholeLifeOfAKey(await desk.keyspace());
  });
});
