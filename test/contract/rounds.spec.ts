import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { DEADLINE_TAGS, instantOf, queuePrefix } from '@keyledger/contracts';
import { createLogger } from '@keyledger/platform';
import { connectRedis, DeadlineIndex, type RedisClient } from '@keyledger/read-model';
import { Rounds, type Round } from '../../apps/worker/src/deadlines/rounds.js';
import { Queues } from '../../apps/worker/src/queues.js';
import { eventually, startRedis, type RedisServer } from '../support/index.js';

const NOW = Date.now();
const now = instantOf(NOW);

let server: RedisServer;
let redis: RedisClient;
let queues: Queues;
let rounds: Rounds;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url);
  queues = new Queues(server.url, createLogger('test', 'silent'));
  await eventually('Redis is connected', async () => (await redis.ping()) === 'PONG');
});

beforeEach(async () => {
  await redis.flushall();
  const index = new DeadlineIndex(redis, 'keys');
  await index.read();
  rounds = new Rounds(index, queues);
});

afterAll(async () => {
  await queues.close();
  redis.disconnect();
  await server.stop();
});

const jobs = async () => (await queues.queue('deadlines').getJobs()) as { data: Round }[];
const many = (at: number) => Array.from({ length: 500 }, (_, nth) => ({ id: `key${nth}`, at, revision: 1 }));

it('deadlines of one instant share one round in each part of the index, whoever puts it in and however often', async () => {
  const entries = many(NOW + 2000);
  await rounds.put(entries.slice(0, 300), now);
  await rounds.put(entries, now);
  await rounds.sweep(now);
  const found = (await jobs()).map(({ data }) => data);
  expect(found.map(({ part }) => part).sort()).toEqual([...DEADLINE_TAGS].sort());
  for (const { from, until, at } of found) {
    expect(from).toBeLessThanOrEqual(NOW + 2000);
    expect(until).toBeGreaterThan(NOW + 2000);
    expect(at).toBe(until);
  }
});

it('what is far away has no round yet, and what is long overdue, at whatever instants, one in each part', async () => {
  await rounds.put(many(NOW + 60_000), now);
  await rounds.put(
    many(0).map((entry, nth) => ({ ...entry, id: `late${nth}`, at: NOW - 6000 - nth * 10_000 })),
    now,
  );
  expect(await jobs()).toEqual([]);
  await rounds.sweep(now);
  const found = (await jobs()).map(({ data }) => data);
  expect(found.map(({ part, from }) => [part, from])).toEqual(
    expect.arrayContaining(DEADLINE_TAGS.map((part) => [part, undefined])),
  );
  expect(found).toHaveLength(DEADLINE_TAGS.length);
});

it('a round of which Redis has lost all but its hash is put in again', async () => {
  await rounds.put(many(NOW - 60_000), now);
  await rounds.sweep(now);
  const prefix = queuePrefix('deadlines');
  await redis.del(`${prefix}:deadlines:wait`);
  expect(await jobs()).toEqual([]);
  await rounds.sweep(now);
  expect(await jobs()).toHaveLength(DEADLINE_TAGS.length);
});
