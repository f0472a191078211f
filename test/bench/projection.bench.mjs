/**
 * The way from an event to the verifier: how long a change takes to be seen, how fast the projector catches up compared
 * with a bare subscription, how long a rebuild takes and what a key costs in Redis.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { firstJson, residentMib, start, stop } from './processes.mjs';
import { median, quantile, report } from './report.mjs';
import {
  caller,
  inParallel,
  KEY_REQUEST,
  startApp,
  startEventStore,
  startRedis,
  startSystem,
  until,
} from './system.mjs';

const KEYS = Number(process.env['BENCH_KEYS'] ?? 100_000);
const CHANGES = 300;
const STORES = 4;
const APPENDS_PER_STORE = 15;
const ROUNDS = 3;

export async function benchProjection() {
  await visibility();
  await catchUpAndRebuild();
}

/** Revocations through the api, and events that reach Redis through the projector only. */
async function visibility() {
  const { EventStore, NewEvents } = await library();
  const system = await startSystem();
  await system.call('POST', '/v1/keyspaces', { name: 'Bench', prefix: 'bench' });
  const issue = () => system.call('POST', '/v1/keys', KEY_REQUEST);
  const verify = async (key) =>
    (await caller(system.verifier.baseUrl, system.adminKey)('POST', '/v1/verify', { key })).code;
  const seen = async (key) => {
    for (const since = performance.now(); performance.now() - since < 10_000;)
      if ((await verify(key)) === 'REVOKED') return;
    throw new Error('a revocation was not seen within ten seconds');
  };

  const answered = [];
  const afterAnswer = [];
  for (let i = 0; i < CHANGES; i++) {
    const { keyId, key } = await issue();
    const asked = performance.now();
    await system.call('POST', `/v1/keys/${keyId}/revoke`, { reason: 'other' });
    const told = performance.now();
    await seen(key);
    answered.push(told - asked);
    afterAnswer.push(performance.now() - told);
  }
  const projected = [];
  const store = new EventStore({ url: system.eventStore.url });
  for (let i = 0; i < CHANGES; i++) {
    const { keyId, key, revision } = await issue();
    await store.append(`key-${keyId}`, revision, NewEvents.revoked(keyId));
    const appended = performance.now();
    await seen(key);
    projected.push(performance.now() - appended);
  }
  await store.dispose();
  const row = (what, values) => ({
    what,
    n: values.length,
    'p50 ms': quantile(values, 0.5),
    'p99 ms': quantile(values, 0.99),
  });
  report('from a change to the verifier, one at a time', [
    row('revoke: request to answer, durable and in effect', answered),
    row('revoke: answer to REVOKED at the verifier (one verify request)', afterAnswer),
    row('append by somebody else to REVOKED at the verifier, by the projector alone', projected),
  ]);
  for (const part of ['verifier', 'worker', 'api', 'eventStore', 'redis']) await stop(system[part].child);
}

async function catchUpAndRebuild() {
  const [redis, eventStore] = await Promise.all([startRedis(), startEventStore()]);
  const fresh = await Promise.all(Array.from({ length: ROUNDS }, startRedis));
  // Live on the empty log: from here on it is as if the worker had been away.
  for (const { url } of fresh) await follow(['prepare', eventStore.url, url]);
  const began = performance.now();
  await seed(eventStore.url);
  const seedSeconds = (performance.now() - began) / 1000;

  const client = [];
  const bare = [];
  const projected = [];
  for (const { url, child } of fresh) {
    client.push(await follow(['client', eventStore.url]));
    bare.push(await follow(['bare', eventStore.url]));
    projected.push(await follow(['projector', eventStore.url, url]));
    await stop(child);
  }
  const best = (runs) => Math.max(...runs.map(({ eventsPerSecond }) => eventsPerSecond));
  const ratioTo = (runs) =>
    median(runs.map(({ eventsPerSecond }, index) => projected[index].eventsPerSecond / eventsPerSecond));
  const row = (reader, runs) => ({
    reader,
    'events/s': Math.round(best(runs)),
    'CPU µs per event': median(runs.map(({ cpuMicros, events }) => cpuMicros / events)),
    'resident MiB': Math.round(Math.max(...runs.map(({ residentMib }) => residentMib))),
  });
  report(
    `catch-up over ${KEYS.toLocaleString('en')} KeyIssued, best of ${ROUNDS}: event store and Redis on one core, the reader on any`,
    [
      row("the official client's subscription, decoded, nothing written", client),
      row('our own subscription, decoded, nothing written', bare),
      row('projector into the live generation', projected),
    ],
    {
      'projector / our own bare subscription (goal: at least 0.5), median of rounds': ratioTo(bare),
      "projector / the official client's bare subscription (goal: at least 0.5), median of rounds": ratioTo(client),
      'appends a second by which the events came (60 at once, one event each)': Math.round(KEYS / seedSeconds),
    },
  );
  await rebuild(redis, eventStore);
}

async function rebuild(redis, eventStore) {
  const adminKey = randomBytes(30).toString('base64url');
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url, KEYLEDGER_ADMIN_KEY: adminKey };
  const worker = await startApp('worker', env);
  const api = await startApp('api', env);
  const call = caller(api.baseUrl, adminKey);
  const began = performance.now();
  const { rebuildId } = await call('POST', '/v1/system/projections/rebuild', {});
  let last;
  await until(
    'the rebuild',
    worker.child,
    async () => {
      last = (await call('GET', '/v1/system/projections')).rebuild.lastRebuild;
      return last?.rebuildId === rebuildId;
    },
    300_000,
  );
  const seconds = (performance.now() - began) / 1000;
  const memory = Object.fromEntries(
    Object.entries({ api, worker, 'event store': eventStore }).map(([name, { child }]) => [
      `${name}, resident MiB (goal: at most 200)`,
      Math.round(residentMib(child.pid)),
    ]),
  );
  // The generation before is written for some seconds more and then deleted; with it a key would be counted twice.
  await until(
    'the old generation to be deleted',
    worker.child,
    async () => (await generationsIn(redis.url)) === 1,
    60_000,
  );
  const before = await usedMemory(redis.url);
  await flush(redis.url);
  const empty = await usedMemory(redis.url);
  report(
    `rebuild beside the live generation, ${KEYS.toLocaleString('en')} keys`,
    [{ 'seconds from request to switch': seconds, 'events applied': last.eventsApplied, 'digests equal': last.equal }],
    { 'Redis bytes per key with indexes (goal: at most 1,536)': Math.round((before - empty) / KEYS), ...memory },
  );
  for (const { child } of [api, worker, eventStore, redis]) await stop(child);
}

/** One reader in a process of its own. */
async function follow(args) {
  const child = start(process.execPath, ['test/bench/follow.mjs', ...args]);
  const result = await firstJson(child, 'eventsPerSecond', 300_000);
  await stop(child);
  return result;
}

async function seed(url) {
  const { EventStore, NewEvents } = await library();
  const stores = Array.from({ length: STORES }, () => new EventStore({ url, timeoutMs: 30_000 }));
  await stores[0].append('keyspace-bench', -1, NewEvents.keyspace());
  await inParallel(KEYS, STORES * APPENDS_PER_STORE, (index) => {
    const keyId = `key_${String(index).padStart(20, '0')}`;
    return stores[index % STORES].append(`key-${keyId}`, -1, NewEvents.issued(keyId, index));
  });
  await Promise.all(stores.map((store) => store.dispose()));
}

/** Our own library, as it was built, and events as the api would append them. */
async function library() {
  const { EventStore } = await import('../../dist/libs/event-store/src/index.js');
  const { mintKey, DEFAULT_POLICY } = await import('../../dist/libs/domain/src/index.js');
  const now = new Date().toISOString();
  const event = (type, data) => {
    const id = randomUUID();
    const actor = { type: 'system', id: 'bench' };
    const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
    return [{ id, type, data, metadata: { schemaVersion: 1, actor, reason: 'bench', ...names } }];
  };
  const NewEvents = {
    keyspace: () =>
      event('KeyspaceCreated', {
        keyspaceId: 'bench',
        name: 'Bench',
        prefix: 'bench',
        environments: ['live'],
        policy: DEFAULT_POLICY,
        createdAt: now,
      }),
    issued: (keyId, index) => {
      const { key, secretId, mask } = mintKey('bench', 'live', randomBytes);
      const hash = createHash('sha256').update(key).digest('base64url');
      return event('KeyIssued', {
        ...KEY_REQUEST,
        keyId,
        kind: 'secret',
        owner: { id: `app_${index % 5000}`, type: 'service' },
        restrictions: {},
        secret: { secretId, hash, mask },
        createdAt: now,
        expiresAt: new Date(Date.now() + 90 * 86_400_000 + index * 1000).toISOString(),
      });
    },
    revoked: (keyId) => event('KeyRevoked', { keyId, reason: 'other', requestedAt: now, revokedAt: now }),
  };
  return { EventStore, NewEvents };
}

async function usedMemory(url) {
  const info = await redisCommand(url, (redis) => redis.info('memory'));
  return Number(/used_memory:(\d+)/.exec(info)?.[1]);
}

/** How many generations have records: looked for by their names. */
async function generationsIn(url) {
  return redisCommand(url, async (redis) => {
    const found = new Set();
    let cursor = '0';
    do {
      const [next, names] = await redis.scan(cursor, 'MATCH', 'kl:?????????:k:*', 'COUNT', 10_000);
      for (const name of names) found.add(name.slice(3, 12));
      cursor = next;
    } while (cursor !== '0');
    return found.size;
  });
}

const flush = (url) => redisCommand(url, (redis) => redis.flushall('SYNC'));

async function redisCommand(url, use) {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}
