/**
 * Deadlines: how late they are when many come at once, how many a second go the whole way from job to event compared with
 * jobs of BullMQ that do nothing (one of our jobs is a round through all deadlines of a stretch of the index, so what is
 * counted is deadlines), how long a missed lot takes to be caught up with, and what a deadline costs in Redis.
 *
 * The worker has core 0 to itself, as has the worker of the bare queue; Redis and event store share core 1. Times are
 * those that the event store gave its events, read afterwards, so that nobody watches on either core meanwhile.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { cpuSeconds, firstJson, residentMib, start, stop, temporaryFolder } from './processes.mjs';
import { quantile, report } from './report.mjs';
import { inParallel, KEY_REQUEST, SERVER_CORE, startApp, startEventStore, startRedis, until } from './system.mjs';

const AT_ONCE = Number(process.env['BENCH_AT_ONCE'] ?? 1000);
const RATE_JOBS = Number(process.env['BENCH_JOBS'] ?? 60_000);
const MISSED = Number(process.env['BENCH_DEADLINES'] ?? 100_000);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const ONLY = process.env['BENCH_JOBS_ONLY'];
/** Of the bare queue: more does not make it faster. */
const CONCURRENCY = 200;
const STORES = 4;
const DAY_MS = 86_400_000;
const CATCH_UP_WITHIN_MS = 1_800_000;
const LOOK_EVERY_MS = 250;

export async function benchJobs() {
  const [redis, eventStore] = await Promise.all([startRedis(), startEventStore()]);
  // One folder for all workers, as where one is started again: a new one would have the audit tree made anew meanwhile.
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url, KEYLEDGER_DATA_DIR: temporaryFolder() };
  const ledger = await ledgerAt(eventStore.url);
  const system = {
    ledger,
    redisUrl: redis.url,
    worker: (options) => startApp('worker', env, SERVER_CORE, options),
  };
  try {
    for (const [name, phase] of Object.entries({ lateness, bytes, rate, caughtUp })) {
      if (ONLY === undefined || ONLY === name) await phase(system);
    }
  } finally {
    await ledger.dispose();
    for (const { child } of [eventStore, redis]) await stop(child);
  }
}

async function lateness({ ledger, redisUrl, worker }) {
  const { child } = await worker();
  const expiresAt = Date.now() + 10_000;
  const keys = await ledger.issue(AT_ONCE, () => expiresAt);
  await until('the instant', child, async () => Date.now() > expiresAt);
  await allDone(redisUrl, child, expiresAt);
  const expired = await ledger.expiriesOf(keys);
  const late = expired.map(({ recordedAt }) => recordedAt - expiresAt);
  report(`${AT_ONCE.toLocaleString('en')} deadlines in one instant, from the instant to the event in the store`, [
    { 'p50 ms': quantile(late, 0.5), 'p99 ms': quantile(late, 0.99), 'last ms': Math.max(...late) },
  ]);
  await stop(child);
}

async function bytes({ ledger, redisUrl, worker }) {
  const { child } = await worker();
  const far = Math.min(20_000, MISSED);
  const before = await indexed(redisUrl);
  await ledger.issue(far, (index) => Date.now() + 40 * DAY_MS + index * 1000);
  await until('the index', child, async () => (await indexed(redisUrl)).count >= before.count + far, 120_000);
  const after = await indexed(redisUrl);
  report('the deadline index in Redis', [{ deadlines: after.count, bytes: after.bytes }], {
    'bytes per scheduled deadline': Math.round((after.bytes - before.bytes) / (after.count - before.count)),
  });
  await stop(child);
}

/** Deadlines that are in the index and due when the worker starts, against a full queue of jobs that do nothing. */
async function rate({ ledger, redisUrl, worker }) {
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const dueAt = Date.now() + 40_000;
    const preparing = await worker();
    const before = (await indexed(redisUrl)).count;
    const keys = await ledger.issue(RATE_JOBS, () => dueAt);
    await until('the index', preparing.child, async () => (await indexed(redisUrl)).count >= before + RATE_JOBS);
    await stop(preparing.child);
    const bare = await bareRate(redisUrl);
    await until('the instant', undefined, async () => Date.now() > dueAt);
    const { child } = await worker();
    const [began, cpuBefore] = [Date.now(), cpuSeconds(child.pid)];
    await allDone(redisUrl, child, dueAt);
    const cpu = cpuSeconds(child.pid) - cpuBefore;
    const at = (await ledger.expiriesOf(keys)).map(({ recordedAt }) => recordedAt).filter((one) => one >= began);
    const perSecond = at.length / ((Math.max(...at) - began) / 1000);
    rounds.push({ bare, whole: { perSecond, cpuMicros: (cpu / at.length) * 1e6 } });
    await stop(child);
  }
  const middle = (of) => quantile(rounds.map(of), 0.5);
  report(
    `${RATE_JOBS.toLocaleString('en')} due deadlines, one worker, median of ${ROUNDS} rounds`,
    [
      {
        what: 'jobs of BullMQ that do nothing',
        'a second': Math.round(middle(({ bare }) => bare.perSecond)),
        'CPU us for each': Math.round(middle(({ bare }) => bare.cpuMicros)),
      },
      {
        what: 'deadlines, the whole way: job, command, event',
        'a second': Math.round(middle(({ whole }) => whole.perSecond)),
        'CPU us for each': Math.round(middle(({ whole }) => whole.cpuMicros)),
      },
    ],
    {
      'whole way / bare, deadlines and jobs per second (goal: at least 0.25)': middle(
        ({ whole, bare }) => whole.perSecond / bare.perSecond,
      ),
      'whole way / bare, per CPU second of the worker': middle(({ whole, bare }) => bare.cpuMicros / whole.cpuMicros),
    },
  );
}

async function caughtUp({ ledger, redisUrl, worker }) {
  const keys = await ledger.issue(MISSED, () => Date.now() - 60_000);
  const began = Date.now();
  // It builds a read model of all of them first, and works on the first of them meanwhile.
  const starting = worker({ readyWithinMs: CATCH_UP_WITHIN_MS });
  await until('the first', undefined, async () => (await indexed(redisUrl)).overdue > 0, CATCH_UP_WITHIN_MS);
  const { child } = await starting;
  let mostMib = 0;
  const watching = setInterval(() => (mostMib = Math.max(mostMib, residentMib(child.pid))), 500);
  let expired;
  await until(
    'every expiry',
    child,
    async () => {
      await allDone(redisUrl, child, Date.now());
      expired = await ledger.expiriesOf(keys);
      return true;
    },
    CATCH_UP_WITHIN_MS,
  );
  clearInterval(watching);
  const last = expired.reduce((latest, { recordedAt }) => Math.max(latest, recordedAt), 0);
  report(`${MISSED.toLocaleString('en')} deadlines that nobody has seen, missed while no worker ran`, [], {
    'seconds from the start of the worker to the last event': (last - began) / 1000,
    'most MiB that the worker took, from when it was ready': Math.round(mostMib),
  });
  await stop(child);
}

/** Nothing that was due by then is left. */
async function allDone(url, child, dueAt) {
  await until(
    'everything that is due',
    child,
    async () => (await indexed(url, dueAt)).overdue === 0,
    CATCH_UP_WITHIN_MS,
    // Each look takes time of Redis and of a core. When all was done the events say.
    LOOK_EVERY_MS,
  );
}

async function bareRate(url) {
  const child = start(process.execPath, ['test/bench/bare-queue.worker.mjs', url, RATE_JOBS, CONCURRENCY].map(String), {
    core: SERVER_CORE,
  });
  return firstJson(child, 'perSecond');
}

/** How many deadlines the index holds, in how many bytes, and how many of them were due by an instant. */
async function indexed(url, dueAt = Date.now()) {
  const { Redis } = await import('ioredis');
  const { DEADLINE_TAGS, redisNames } = await import('../../dist/libs/contracts/src/index.js');
  const redis = new Redis(url);
  try {
    const keys = DEADLINE_TAGS.map((tag) => redisNames.deadlines('keys', tag));
    const sumOf = async (ask) => (await Promise.all(keys.map(ask))).reduce((total, one) => total + Number(one), 0);
    return {
      count: await sumOf((key) => redis.zcard(key)),
      overdue: await sumOf((key) => redis.zcount(key, '-inf', dueAt + 1)),
      bytes: await sumOf((key) => redis.memory('USAGE', key, 'SAMPLES', 1)),
    };
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

  return {
    /** Gives the ids of the keys. */
    issue: (count, expiresAt) =>
      inParallel(count, STORES * 15, async (index) => {
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
        await stores[index % STORES].append(`key-${keyId}`, -1, event('KeyIssued', data));
        return keyId;
      }),
    /** When the store recorded that they expired. Each has to have expired once. */
    expiriesOf: async (keyIds) => {
      const wanted = new Map(keyIds.map((keyId) => [keyId, 0]));
      const found = [];
      for await (const events of stores[0].readStored({ after: 'start', streamPrefixes: ['key-'] })) {
        for (const { type, stream, recordedAt } of events) {
          const keyId = stream.slice('key-'.length);
          if (type !== 'KeyExpired' || !wanted.has(keyId)) continue;
          wanted.set(keyId, wanted.get(keyId) + 1);
          found.push({ keyId, recordedAt: Date.parse(recordedAt) });
        }
      }
      const wrong = [...wanted].filter(([, times]) => times !== 1);
      if (wrong.length > 0) throw new Error(`${wrong.length} keys did not expire exactly once, e.g. ${wrong[0]}`);
      return found;
    },
    dispose: async () => {
      await Promise.all(stores.map((store) => store.dispose()));
    },
  };
}
