import { DEADLINE_TAGS, redisNames } from '@keyledger/contracts';
import { connectRedis, DeadlineIndex, TenureLost, type RedisClient } from '@keyledger/read-model';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { eventually, startRedis, type RedisServer } from '../support/index.js';

let server: RedisServer;
let redis: RedisClient;
let index: DeadlineIndex;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url);
  await eventually('Redis is connected', async () => (await redis.ping()) === 'PONG');
});

beforeEach(async () => {
  await redis.flushall();
  index = new DeadlineIndex(redis, 'keys');
  await index.read();
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const NOW = Date.parse('2026-01-01T00:00:00.123Z');

it('gives what is due and nothing else, whatever the ids, from all of its parts', async () => {
  const entries = Array.from({ length: 2000 }, (_, nth) => {
    return { id: `key${nth * 7919}x${nth}`, at: NOW + (nth % 2 === 0 ? 0 : 1), revision: nth };
  });
  await index.put(entries);
  const expected = entries.filter(({ at }) => at <= NOW).map(({ id, at }) => ({ id, at }));
  const due = await index.due(NOW, 100_000);
  expect(due.sort((one, other) => (one.id < other.id ? -1 : 1))).toEqual(
    expected.sort((one, other) => (one.id < other.id ? -1 : 1)),
  );
  const sizes = await Promise.all(DEADLINE_TAGS.map((tag) => redis.zcard(redisNames.deadlines('keys', tag))));
  expect(sizes.reduce((sum, one) => sum + one)).toBe(2000);
  expect(Math.min(...sizes)).toBeGreaterThan(100);
});

it('gives a stretch of one part in the order of time, from its first instant on and before its last', async () => {
  const ids = Array.from({ length: 400 }, (_, nth) => `key${nth}`);
  await index.put(ids.map((id, nth) => ({ id, at: NOW + nth, revision: 1 })));
  const part = index.partOf('key0');
  const own = ids.flatMap((id, nth) => (index.partOf(id) === part ? [{ id, at: NOW + nth }] : []));
  expect(await index.within({ part, until: NOW + 400 }, 1000)).toEqual(own);
  expect(await index.within({ part, until: NOW + 400 }, 5)).toEqual(own.slice(0, 5));
  expect(await index.within({ part, from: NOW + 100, until: NOW + 300 }, 1000)).toEqual(
    own.filter(({ at }) => at >= NOW + 100 && at < NOW + 300),
  );
});

it('names each step of time and each part in which anything is due, once', async () => {
  const [first, second] = ['a', 'b'].map((id) => index.partOf(id)) as [string, string];
  expect(first).not.toBe(second);
  await index.put([
    { id: 'a', at: 1_000_049, revision: 1 },
    { id: 'b', at: 1_000_050, revision: 1 },
  ]);
  expect(await index.steps(1_000_000, 2_000_000, 50)).toEqual(
    [
      { part: first, at: 1_000_000 },
      { part: second, at: 1_000_050 },
    ].sort((one, other) => DEADLINE_TAGS.indexOf(one.part) - DEADLINE_TAGS.indexOf(other.part)),
  );
  expect(await index.steps(1_000_000, 1_000_050, 50)).toEqual([{ part: first, at: 1_000_000 }]);
  expect(await index.steps(1_000_051, 2_000_000, 50)).toEqual([]);
  expect(await index.partsDueBefore(1_000_049)).toEqual([]);
  expect(await index.partsDueBefore(1_000_050)).toEqual([first]);
});

it('keeps what follows from the newest revision, also where its count goes round', async () => {
  for (const revision of [5, 900, 1023, 1024, 1500]) {
    await index.put([{ id: 'a', at: NOW + revision, revision }]);
    await index.put([{ id: 'a', at: NOW, revision: revision - 1 }]);
    await index.put([{ id: 'a', revision: revision - 1 }]);
    expect(await index.due(NOW + 10_000, 10)).toEqual([{ id: 'a', at: NOW + revision }]);
  }
  await index.put([{ id: 'a', revision: 1501 }]);
  expect(await index.size()).toBe(0);
});

it('begins at the start of the log when a part of it is gone, and tells whoever worked in the old epoch', async () => {
  await index.advance('timekeeper', 77n);
  expect(await new DeadlineIndex(redis, 'keys').read()).toBe(77n);
  await redis.del(redisNames.deadlineMarker('keys', DEADLINE_TAGS[3] as string));
  expect(await index.isIntact()).toBe(false);
  const fresh = new DeadlineIndex(redis, 'keys');
  expect(await fresh.read()).toBe(0n);
  await expect(index.advance('timekeeper', 99n)).rejects.toBeInstanceOf(TenureLost);
  expect(await new DeadlineIndex(redis, 'keys').read()).toBe(0n);
  await fresh.advance('timekeeper', 80n);
  expect(await fresh.isIntact()).toBe(true);
  expect(await new DeadlineIndex(redis, 'keys').read()).toBe(80n);
});
