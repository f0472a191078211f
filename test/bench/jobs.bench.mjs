/**
 * Deadlines: how late they are when many come at once, how many a second go the whole way from job to event compared with
 * jobs of BullMQ that do nothing, how long a missed lot takes to be caught up with, and what a deadline costs in Redis.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { stop } from './processes.mjs';
import { quantile, report } from './report.mjs';
import { inParallel, KEY_REQUEST, startApp, startEventStore, startRedis, until } from './system.mjs';

const AT_ONCE = Number(process.env['BENCH_AT_ONCE'] ?? 1000);
const MISSED = Number(process.env['BENCH_DEADLINES'] ?? 100_000);
const BARE_JOBS = 20_000;
/** As many as the worker has. */
const CONCURRENCY = 60;
const STORES = 4;

export async function benchJobs() {
  const [redis, eventStore] = await Promise.all([startRedis(), startEventStore()]);
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url };
  const ledger = await ledgerAt(eventStore.url);
  try {
    const worker = await startApp('worker', env);
    await lateness(ledger, worker);
    await bytes(ledger, worker, redis.url);
    await stop(worker.child);
    await caughtUp(ledger, env, redis.url);
  } finally {
    await ledger.dispose();
    for (const { child } of [eventStore, redis]) await stop(child);
  }
}

async function lateness(ledger, worker) {
  const expiresAt = Date.now() + 10_000;
  await ledger.issue(AT_ONCE, () => expiresAt);
  await until('every expiry', worker.child, async () => ledger.expired.length >= AT_ONCE, 120_000);
  const late = ledger.expired.splice(0).map((recordedAt) => recordedAt - expiresAt);
  report(`${AT_ONCE.toLocaleString('en')} deadlines in one instant, from the instant to the event's own time`, [
    { 'p50 ms': quantile(late, 0.5), 'p99 ms': quantile(late, 0.99), 'last ms': Math.max(...late) },
  ]);
}

async function bytes(ledger, worker, url) {
  const far = Math.min(20_000, MISSED);
  const day = 86_400_000;
  const before = await indexed(url);
  await ledger.issue(far, (index) => Date.now() + 40 * day + index * 1000);
  await until('the index', worker.child, async () => (await indexed(url)).count >= before.count + far, 120_000);
  const after = await indexed(url);
  report('the deadline index in Redis', [{ deadlines: after.count, bytes: after.bytes }], {
    'bytes per scheduled deadline': Math.round((after.bytes - before.bytes) / (after.count - before.count)),
  });
}

async function caughtUp(ledger, env, url) {
  await ledger.issue(MISSED, () => Date.now() - 60_000);
  const bare = await bareRate(url);
  const began = performance.now();
  const worker = await startApp('worker', env);
  await until('the first', worker.child, async () => ledger.expired.length > 0, 300_000);
  const [first, already] = [performance.now(), ledger.expired.length];
  await until('every expiry', worker.child, async () => ledger.expired.length >= MISSED, 1_800_000);
  const ended = performance.now();
  const rate = (MISSED - already) / ((ended - first) / 1000);
  report(
    `${MISSED.toLocaleString('en')} deadlines that were missed while no worker ran`,
    [
      { what: 'jobs of BullMQ that do nothing, one process', 'jobs/s': Math.round(bare) },
      { what: 'the whole way: job, command, event', 'jobs/s': Math.round(rate) },
    ],
    {
      'whole way / bare (goal: at least 0.25)': rate / bare,
      'seconds from the start of the worker to the last event': (ended - began) / 1000,
    },
  );
  await stop(worker.child);
}

async function bareRate(url) {
  const { Queue, Worker } = await import('bullmq');
  const { Redis } = await import('ioredis');
  const connect = () => new Redis(url, { maxRetriesPerRequest: null });
  const [one, other] = [connect(), connect()];
  const prefix = '{bench}';
  const queue = new Queue('bare', { connection: one, prefix });
  for (let from = 0; from < BARE_JOBS; from += 1000) {
    const jobs = Array.from({ length: 1000 }, (_, index) => ({
      name: 'look',
      data: { id: randomUUID(), at: Date.now() },
      opts: { jobId: `bare-${from + index}`, removeOnComplete: true },
    }));
    await queue.addBulk(jobs);
  }
  let done = 0;
  const began = performance.now();
  const worker = new Worker('bare', async () => void (done += 1), {
    connection: other,
    prefix,
    concurrency: CONCURRENCY,
  });
  await until('the bare jobs', undefined, async () => done >= BARE_JOBS, 120_000);
  const seconds = (performance.now() - began) / 1000;
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  for (const client of [one, other]) client.disconnect();
  return BARE_JOBS / seconds;
}

/** How many deadlines the index holds, and in how many bytes. */
async function indexed(url) {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url);
  try {
    const keys = (await redis.keys('kl:d:*keys')).filter((key) => !key.endsWith(':at'));
    const counts = await Promise.all(keys.map((key) => redis.zcard(key)));
    const sizes = await Promise.all(keys.map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)));
    const sum = (values) => values.reduce((total, value) => total + Number(value), 0);
    return { count: sum(counts), bytes: sum(sizes) };
  } finally {
    redis.disconnect();
  }
}

/** The event store as the api would fill it, and the expiries that come back. */
async function ledgerAt(url) {
  const { EventStore } = await import('../../dist/libs/event-store/src/index.js');
  const { mintKey, DEFAULT_POLICY } = await import('../../dist/libs/domain/src/index.js');
  const stores = Array.from({ length: STORES }, () => new EventStore({ url, timeoutMs: 30_000 }));
  const event = (type, data, schemaVersion = 1) => {
    const id = randomUUID();
    const actor = { type: 'system', id: 'bench' };
    const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
    return [{ id, type, data, metadata: { schemaVersion, actor, reason: 'bench', ...names } }];
  };
  const createdAt = new Date(Date.now() - 86_400_000).toISOString();
  const policy = { ...DEFAULT_POLICY, expiryWarnings: [] };
  const keyspace = { keyspaceId: 'bench', name: 'Bench', prefix: 'bench', environments: ['live'], policy, createdAt };
  await stores[0].append('keyspace-bench', -1, event('KeyspaceCreated', keyspace, 2));

  const expired = [];
  const end = new AbortController();
  const listening = (async () => {
    const batches = stores[0].subscribe({ after: 'start', streamPrefixes: ['key-'], signal: end.signal });
    for await (const { events } of batches) {
      for (const one of events) {
        if (one.event.type === 'KeyExpired') expired.push(Date.parse(one.event.data.recordedAt));
      }
    }
  })();
  return {
    expired,
    issue: (count, expiresAt) =>
      inParallel(count, STORES * 15, (index) => {
        const keyId = randomBytes(11).toString('hex');
        const { key, secretId, mask } = mintKey('bench', 'live', randomBytes);
        const data = {
          ...KEY_REQUEST,
          keyId,
          kind: 'secret',
          restrictions: {},
          secret: { secretId, hash: createHash('sha256').update(key).digest('base64url'), mask },
          createdAt,
          expiresAt: new Date(expiresAt(index)).toISOString(),
        };
        return stores[index % STORES].append(`key-${keyId}`, -1, event('KeyIssued', data));
      }),
    dispose: async () => {
      end.abort();
      await listening;
      await Promise.all(stores.map((store) => store.dispose()));
    },
  };
}
