import { connectRedis, TenureLost, Tenure, type RedisClient } from '@keyledger/read-model';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { eventually, rememberRedis, startRedis, type RedisServer } from '../support/index.js';

const SLOTS = ['A', 'B', 'C'].map((tag) => ({ tag, mark: `test:{${tag}}:at` }));

let server: RedisServer;
let redis: RedisClient;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url);
  await connected();
});

beforeEach(() => redis.flushall());

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const tenure = () => new Tenure(redis, SLOTS);
/** Once the marks can be read the run of the server is known. */
const connected = () => eventually('Redis is connected', async () => (await tenure().read()) >= 0n);

it('goes on where everything is there, also in another process', async () => {
  const one = tenure();
  expect(await one.read()).toBe(0n);
  await one.advance('test', 77n);
  await one.advance('test', 76n);
  expect(await one.isIntact()).toBe(true);
  expect(await tenure().read()).toBe(77n);
});

it('ends with a Redis that was started anew, lost or not, and the next begins before what was lost', async () => {
  const one = tenure();
  await one.read();
  await one.advance('test', 10n);
  const lose = rememberRedis(server);
  await one.advance('test', 20n);
  await lose();
  await connected();
  expect(await one.isIntact()).toBe(false);
  await expect(one.advance('test', 30n)).rejects.toThrow(TenureLost);
  await expect(one.caughtUp(30n)).rejects.toThrow(TenureLost);
  expect(await one.read()).toBe(10n);
  expect(await tenure().read()).toBe(10n);
  await server.kill();
  await server.start();
  await connected();
  await expect(one.advance('test', 30n)).rejects.toThrow(TenureLost);
  expect(await one.read()).toBe(10n);
  await one.advance('test', 30n);
  expect(await tenure().read()).toBe(30n);
});

it('ends where a mark says less than was seen there, even if the server calls itself the same', async () => {
  const one = tenure();
  await one.read();
  await one.advance('test', 10n);
  const mark = SLOTS[0]?.mark ?? '';
  const earlier = String(await redis.get(mark));
  await one.advance('test', 20n);
  await redis.set(mark, earlier);
  await expect(one.advance('test', 30n)).rejects.toThrow(TenureLost);
  expect(await one.read()).toBe(10n);
});

it('is believed by readers from when somebody had caught up, until Redis is started anew, whoever lives on', async () => {
  const one = tenure();
  await one.read();
  await one.advance('test', 10n);
  expect([await one.isWhole(), one.isAfterLoss]).toEqual([false, false]);
  await one.caughtUp(10n);
  await one.advance('test', 20n);
  expect(await tenure().isWhole()).toBe(true);
  await server.kill();
  await server.start();
  await connected();
  expect(await tenure().isWhole()).toBe(false);
  const other = tenure();
  expect([await other.read(), other.isAfterLoss]).toEqual([20n, true]);
  await other.advance('test', 30n);
  expect(await tenure().isWhole()).toBe(false);
  await other.caughtUp(30n);
  expect(await tenure().isWhole()).toBe(true);
});

it('says nothing of a Redis that was emptied since it began, all of it or one slot, and the next begins at the start', async () => {
  const empty = [() => redis.flushall(), () => redis.del(SLOTS[1]?.mark ?? '')];
  for (const [nth, lose] of empty.entries()) {
    const one = tenure();
    await one.read();
    await one.advance('test', 10n);
    await lose();
    if (nth === 0) expect(await one.isIntact()).toBe(false);
    await expect(one.caughtUp(20n)).rejects.toThrow(TenureLost);
    expect(await one.isWhole()).toBe(false);
    expect(await one.isIntact()).toBe(false);
    const other = tenure();
    expect(await other.read()).toBe(0n);
    await expect(one.advance('test', 30n)).rejects.toThrow(TenureLost);
    await other.caughtUp(5n);
    expect(await tenure().isWhole()).toBe(true);
  }
});
