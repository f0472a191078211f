import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { instantOf, type Instant, type SecretUse } from '@keyledger/contracts';
import type { KeyUsage } from '@keyledger/domain';
import { connectRedis, ReadModelUnavailable, TenureLost, UsageStore, type RedisClient } from '@keyledger/read-model';
import { Metrics } from '@keyledger/platform';
import { UsageMeter } from '@keyledger/verification';
import { eventually, rememberRedis, startRedis, type RedisServer } from '../support/index.js';
import { newKeyId } from './read-model.harness.js';

const HOUR_MS = 3_600_000;
const at = (minute: number): Instant => instantOf(Date.UTC(2026, 0, 1, 0, minute));
const uses = (keyId: string, secretId: string, count: number, first: number, last = first) => {
  return { keyId, secretId, count, firstAt: at(first), lastAt: at(last) };
};
const use = (secretId: string, count: number, first: number, last: number): SecretUse => {
  return { secretId, count, firstUsedAt: at(first), lastUsedAt: at(last) };
};

describe('the use of keys in Redis', () => {
  let server: RedisServer;
  let redis: RedisClient;
  let store: UsageStore;
  let keyId: string;

  /** What a worker does that brings in what is on record. */
  const restore = async (...batches: { keyId: string; usage: KeyUsage }[][]): Promise<void> => {
    await store.tenure.read();
    for (const batch of batches) await store.restore(batch);
    await store.tenure.caughtUp(1n);
  };

  beforeAll(async () => {
    server = await startRedis();
    redis = connectRedis(server.url);
    await new Promise((resolve) => redis.once('ready', resolve));
    store = new UsageStore(redis);
  });
  beforeEach(async () => {
    await redis.flushall();
    await restore();
    keyId = newKeyId();
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  it('adds up what processes saw, in whatever order it comes', async () => {
    await store.add([uses(keyId, 'new', 2, 5, 9), uses(keyId, 'old', 1, 3)]);
    await store.add([uses(keyId, 'new', 3, 2, 4), uses(newKeyId(), 'other', 7, 1)]);
    expect(await store.usageOf(keyId)).toEqual([use('new', 5, 2, 9), use('old', 1, 3, 3)]);
  });

  it('does not call a key unused while what is on record is not here', async () => {
    await store.add([uses(keyId, 'new', 2, 5)]);
    expect(await store.tenure.isWhole()).toBe(true);
    await redis.flushall();
    expect(await store.tenure.isWhole()).toBe(false);
    await expect(store.usageOf(keyId)).rejects.toThrow(ReadModelUnavailable);
  });

  it('goes on counting from what is on record after Redis was emptied, and counts nothing twice', async () => {
    await redis.flushall();
    await store.add([uses(keyId, 'new', 2, 50, 51)]);
    const events = [
      [{ keyId, usage: [use('new', 10, 1, 20)] }],
      [{ keyId, usage: [use('new', 30, 1, 40), use('old', 4, 0, 2)] }],
    ];
    await restore(...events, ...events);
    await store.add([uses(keyId, 'new', 1, 52)]);
    expect(await store.usageOf(keyId)).toEqual([use('new', 33, 1, 52), use('old', 4, 0, 2)]);
  });

  it('is not whole if Redis was emptied again while it was restored', async () => {
    await redis.flushall();
    await store.tenure.read();
    await store.restore([{ keyId, usage: [use('new', 10, 1, 20)] }]);
    await redis.flushall();
    await expect(store.tenure.caughtUp(1n)).rejects.toThrow(TenureLost);
    await expect(store.usageOf(keyId)).rejects.toThrow(ReadModelUnavailable);
  });

  it('has the first use of a secret recorded at once, and later ones after the interval', async () => {
    await store.add([uses(keyId, 'new', 1, 5)]);
    expect(await store.due(HOUR_MS, 10)).toEqual([keyId]);
    await store.beginRollUp(keyId, [], HOUR_MS);
    await store.endRollUp(keyId);
    expect(await store.due(0, 10)).toEqual([]);
    await store.add([uses(keyId, 'new', 1, 6)]);
    expect(await store.due(HOUR_MS, 10)).toEqual([]);
    expect(await store.due(-1000, 10)).toEqual([keyId]);
    await store.add([uses(keyId, 'newer', 1, 7)]);
    expect(await store.due(HOUR_MS, 10)).toEqual([keyId]);
  });

  it('records the same when a roll-up is begun again, and counts on meanwhile', async () => {
    await store.add([uses(keyId, 'new', 5, 5, 6)]);
    const before = [use('new', 10, 1, 2)];
    const first = await store.beginRollUp(keyId, before, HOUR_MS);
    expect(first).toEqual([use('new', 15, 1, 6)]);
    expect(await store.beginRollUp(keyId, before, HOUR_MS)).toEqual(first);
    // The append was done and its worker killed: another one finds it in the events.
    expect(await store.beginRollUp(keyId, first, HOUR_MS)).toEqual(first);
    await store.add([uses(keyId, 'new', 1, 7)]);
    await store.endRollUp(keyId);
    expect(await store.usageOf(keyId)).toEqual([use('new', 16, 1, 7)]);
    expect(await store.due(-1000, 10)).toEqual([keyId]);
  });

  it('forgets secrets that are long over, and the numbers of none that is used', async () => {
    const all = Array.from({ length: 12 }, (_, n) => uses(keyId, `s${String(n).padStart(2, '0')}`, 1, n));
    await store.add(all);
    await store.beginRollUp(keyId, [], HOUR_MS);
    await store.endRollUp(keyId);
    expect((await store.usageOf(keyId)).map(({ secretId }) => secretId)).toEqual(
      all.slice(-8).map(({ secretId }) => secretId),
    );
  });

  it('gets from a meter all that was counted while Redis was away, and what is left when it stops', async () => {
    const client = connectRedis(server.url);
    let warnings = 0;
    const meter = new UsageMeter(new UsageStore(client), new Metrics('test'), { warn: () => warnings++ });
    await new Promise((resolve) => client.once('ready', resolve));
    client.disconnect();
    meter.start();
    meter.used(keyId, 'new', at(1));
    meter.used(keyId, 'new', at(2));
    await eventually('a flush to fail', () => warnings === 1);
    await client.connect();
    meter.used(keyId, 'new', at(3));
    await eventually('the uses to arrive', async () => (await store.usageOf(keyId)).length === 1);
    meter.used(keyId, 'old', at(4));
    await meter.stop();
    expect(await store.usageOf(keyId)).toEqual([use('new', 3, 1, 3), use('old', 1, 4, 4)]);
    client.disconnect();
  });

  it('calls no key unused that a Redis which lost its last second may have forgotten, and gets its uses from the meter again', async () => {
    const client = connectRedis(server.url);
    const own = new UsageStore(client);
    const meter = new UsageMeter(own, new Metrics('test'), { warn: () => undefined });
    await eventually('Redis is connected', () => own.runs() !== undefined);
    meter.start();
    const kept = newKeyId();
    meter.used(kept, 'kept', at(1));
    await eventually('the uses to arrive', async () => (await store.usageOf(kept)).length === 1);
    const lose = rememberRedis(server);
    meter.used(keyId, 'new', at(2));
    meter.used(keyId, 'new', at(3));
    await eventually('further uses to arrive', async () => (await store.usageOf(keyId)).length === 1);
    await lose();
    await eventually('Redis is there again', () => store.runs() !== undefined);
    await expect(store.usageOf(keyId)).rejects.toThrow(ReadModelUnavailable);
    await expect(store.tenure.caughtUp(2n)).rejects.toThrow(TenureLost);
    await restore();
    await eventually('the uses are there again', async () => (await store.usageOf(keyId)).length === 1);
    await meter.stop();
    expect(await store.usageOf(keyId)).toEqual([use('new', 2, 2, 3)]);
    expect(await store.usageOf(kept)).toEqual([use('kept', 1, 1, 1)]);
    client.disconnect();
  });

  it('gets each use of thousands of secrets from a meter once, however often it hands on meanwhile', async () => {
    const meter = new UsageMeter(store, new Metrics('test'), { warn: () => undefined });
    const keyIds = Array.from({ length: 1500 }, () => newKeyId());
    meter.start();
    for (const id of keyIds) meter.used(id, `s-${id}`, at(1));
    await eventually(
      'the first uses to arrive',
      async () => (await store.usageOf(keyIds.at(-1) as string)).length === 1,
    );
    for (const minute of [2, 3]) for (const id of keyIds) meter.used(id, `s-${id}`, at(minute));
    await eventually('further uses to arrive', async () => (await store.usageOf(keyIds[0] as string))[0]?.count === 3);
    for (const id of keyIds) meter.used(id, `s-${id}`, at(4));
    await meter.stop();
    for (const id of keyIds) expect(await store.usageOf(id)).toEqual([use(`s-${id}`, 4, 1, 4)]);
  });
});
