import { redisNames } from '@keyledger/contracts';
import { BadCursor, connectRedis, IncidentIndex, type IncidentQuery, type RedisClient } from '@keyledger/read-model';
import type { LeakState } from '@keyledger/domain';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { eventually, startRedis, type RedisServer } from '../support/index.js';

const INCIDENTS = 20_000;
const AT_ONCE = 2000;
const BEGAN = Date.parse('2026-01-01T00:00:00Z');
/** What is looked at for one request, at most, when nothing fits. */
const LOOKED_AT = 4000;

let server: RedisServer;
let redis: RedisClient;
let index: IncidentIndex;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url);
  await eventually('Redis is connected', async () => (await redis.ping()) === 'PONG');
  index = new IncidentIndex(redis);
  await index.tenure.read();
  await index.tenure.caughtUp(1n);
  // Not in the order of their reports.
  for (let from = 0; from < INCIDENTS; from += AT_ONCE) {
    await Promise.all(
      Array.from({ length: AT_ONCE }, (_, at) => index.apply(incident(((from + at) * 7919) % INCIDENTS), 0)),
    );
  }
}, 120_000);

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** The n-th report; every thousandth fits a key of the keyspace `rare`, and the very first came from GitHub. */
function incident(nth: number): LeakState {
  const leakId = idOf(nth);
  const reportedAt = new Date(BEGAN + Math.floor(nth / 3) * 1000).toISOString();
  const owner = { id: 'app', type: 'service' } as const;
  const match = { keyId: 'k', secretId: 's', keyspaceId: 'rare', environment: 'live', kind: 'secret', owner } as const;
  return {
    report: { leakId, source: nth === 0 ? 'github' : 'report', tokenHash: leakId, reportedAt },
    ...(nth % 1000 === 0 && { match: { ...match, response: 'alert', matchedAt: reportedAt } }),
  };
}

const idOf = (nth: number): string => String(nth).padStart(22, '0');

/** Every page, with how often Redis was asked for members to make it. */
async function pages(query: Omit<IncidentQuery, 'cursor'>): Promise<{ ids: string[]; asked: number }[]> {
  const found: { ids: string[]; asked: number }[] = [];
  for (let cursor: string | undefined; ;) {
    const before = await askedForMembers();
    const page = await index.list({ ...query, ...(cursor !== undefined && { cursor }) });
    const asked = (await askedForMembers()) - before;
    found.push({ ids: page.items.map(({ state }) => state.report.leakId), asked });
    cursor = page.nextCursor;
    if (cursor === undefined) return found;
  }
}

async function askedForMembers(): Promise<number> {
  return Number(/cmdstat_zrevrangebylex:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
}

it('gives every incident of a long list once, newest first, and its last page costs what its first does', async () => {
  const all = await pages({ within: 'all', limit: 1000 });
  const expected = Array.from({ length: INCIDENTS }, (_, at) => idOf(INCIDENTS - 1 - at));
  expect(all.flatMap(({ ids }) => ids)).toEqual(expected);
  expect(Math.max(...all.map(({ asked }) => asked))).toBe(all[0]?.asked);
});

it('gives the incidents of one keyspace without a look at those of others', async () => {
  const rare = await pages({ within: ['rare'], limit: 8 });
  expect(rare.flatMap(({ ids }) => ids)).toEqual(Array.from({ length: 20 }, (_, at) => idOf((19 - at) * 1000)));
  expect(rare.map(({ asked }) => asked)).toEqual([1, 1, 1]);
  expect((await pages({ within: ['rare'], state: 'unmatched', limit: 8 })).flatMap(({ ids }) => ids)).toEqual([]);
});

it('ends a request that finds nothing after a bounded look, and goes on behind it', async () => {
  const found = await pages({ within: 'all', source: 'github', limit: 10 });
  expect(found.flatMap(({ ids }) => ids)).toEqual([idOf(0)]);
  expect(found.length).toBeGreaterThanOrEqual(INCIDENTS / LOOKED_AT);
  expect(Math.max(...found.map(({ asked }) => asked))).toBe(found[0]?.asked);
});

it('goes on where a page ended, whatever is reported in between, and knows what is no cursor', async () => {
  const first = await index.list({ within: 'all', limit: 10 });
  await index.apply(incident(INCIDENTS + 1), 0);
  const second = await index.list({ within: 'all', limit: 10, cursor: first.nextCursor ?? '' });
  expect(second.items.map(({ state }) => state.report.leakId)).toEqual(
    Array.from({ length: 10 }, (_, at) => idOf(INCIDENTS - 11 - at)),
  );
  await expect(index.list({ within: 'all', limit: 10, cursor: 'page 2' })).rejects.toBeInstanceOf(BadCursor);
  expect(await redis.zcard(redisNames.leakIndex('any'))).toBe(INCIDENTS + 1);
});
