/**
 * Proof of history on a log of BENCH_EVENTS events (default 1,000,000) in the embedded event store: how fast the tree is
 * made, how long a proof takes, how fast a bundle is exported and verified offline, how fast a live store is checked, and
 * the peak memory of each.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateSignerKey } from '../../dist/libs/audit/src/index.js';
import { EventStore } from '../../dist/libs/event-store/src/index.js';
import { ROOT, start, temporaryFolder } from './processes.mjs';
import { quantile, report } from './report.mjs';
import { inParallel, OTHER_CORE, startApp, startEventStore, startRedis, until } from './system.mjs';

const EVENTS = Number(process.env.BENCH_EVENTS ?? 1_000_000);
const PROOFS = 500;
const MEMORY_LIMIT_MIB = 300;
const STREAM_LENGTH = 500;

export async function benchAuditProof() {
  const [redis, eventStore] = await Promise.all([startRedis(), startEventStore()]);
  const store = new EventStore({ url: eventStore.url });
  const filling = performance.now();
  await fill(store);
  const filledPerSecond = EVENTS / seconds(filling);

  const adminKey = randomBytes(30).toString('base64url');
  const workerData = temporaryFolder();
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url, KEYLEDGER_ADMIN_KEY: adminKey };
  const signing = generateSignerKey('bench.example.com/audit');
  const following = performance.now();
  const workerEnv = {
    ...env,
    KEYLEDGER_DATA_DIR: workerData,
    KEYLEDGER_SIGNING_KEY: signing,
    KEYLEDGER_AUDIT_CHECKPOINT_SECONDS: '1',
    KEYLEDGER_AUDIT_CHECK_HOURS: '0',
  };
  const worker = await startApp('worker', workerEnv, OTHER_CORE, { readyWithinMs: 1_200_000 });
  const metric = async (name) => {
    const text = await (await fetch(`${worker.baseUrl}/metrics`)).text();
    return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)`, 'm').exec(text)?.[1]);
  };
  await until('the tree', worker.child, async () => (await metric('keyledger_audit_tree_size')) >= EVENTS, 1_200_000);
  const treePerSecond = EVENTS / seconds(following);
  const api = await startApp('api', env);
  const get = async (path, accept = 'application/json') => {
    const response = await fetch(api.baseUrl + path, { headers: { authorization: `Bearer ${adminKey}`, accept } });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return accept === 'application/json' ? JSON.parse(text) : text;
  };
  await until('a checkpoint', worker.child, async () => (await get('/v1/audit/checkpoint')).size >= EVENTS, 60_000);
  await until('the tree of the api', api.child, () => get('/v1/audit/proof/inclusion?index=1'), 1_200_000);

  const ids = [];
  const byIndex = await timed(async () => {
    const { event } = await get(`/v1/audit/proof/inclusion?index=${Math.floor(Math.random() * EVENTS)}`);
    ids.push(event.id);
  });
  const receipts = await timed((n) => get(`/v1/audit/proof/inclusion?eventId=${ids[n]}`, 'text/plain'));
  const consistency = await timed(() =>
    get(`/v1/audit/proof/consistency?first=${1 + Math.floor(Math.random() * (EVENTS - 1))}`),
  );

  const bundle = join(temporaryFolder(), 'bundle');
  const cliEnv = { KEYLEDGER_URL: api.baseUrl, KEYLEDGER_KEY: adminKey, EVENTSTORE_URL: eventStore.url };
  const apiBefore = peakMib(api.child.pid);
  const exported = await run(['export', '--to', String(EVENTS), '--out', bundle], cliEnv);
  const verified = await run(['verify', bundle], {});
  const checked = await run(['fsck', '--tree', join(workerData, 'audit', 'tree')], cliEnv);
  await store.dispose();

  report('audit-proof: one at a time', [
    { what: 'inclusion proof by index', ...byIndex },
    { what: 'receipt by event id', ...receipts },
    { what: 'consistency proof', ...consistency },
  ]);
  report(
    'audit-proof: the whole log',
    [
      {
        what: 'tree made from the log, by a starting worker',
        'events/s': treePerSecond,
        'peak MiB': peakMib(worker.child.pid),
      },
      { what: 'export of a bundle', 'events/s': exported.perSecond, 'peak MiB': exported.peakMib },
      { what: 'verify of that bundle, offline', 'events/s': verified.perSecond, 'peak MiB': verified.peakMib },
      { what: 'fsck of the live store', 'events/s': checked.perSecond, 'peak MiB': checked.peakMib },
    ],
    {
      events: EVENTS,
      'api, peak MiB before the export': apiBefore,
      'api, peak MiB after the export': peakMib(api.child.pid),
      'filled, events/s': filledPerSecond,
      'export and verify within the memory limit':
        exported.peakMib <= MEMORY_LIMIT_MIB && verified.peakMib <= MEMORY_LIMIT_MIB,
    },
  );
}

const seconds = (since) => (performance.now() - since) / 1000;

/** Peak resident memory of a running process. */
function peakMib(pid) {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function timed(task) {
  const millis = [];
  for (let n = 0; n < PROOFS; n++) {
    const begun = performance.now();
    await task(n);
    millis.push(performance.now() - begun);
  }
  return { 'p50 ms': quantile(millis, 0.5), 'p99 ms': quantile(millis, 0.99) };
}

async function run(args, env) {
  const begun = performance.now();
  const child = start(
    process.execPath,
    [join(ROOT, 'dist/apps/cli/src/main.js'), '--timeout', '600', 'audit', ...args],
    { env },
  );
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null) {
    if (existsSync(`/proc/${child.pid}/status`)) peak = Math.max(peak, peakMib(child.pid) || 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (child.exitCode !== 0) throw new Error(`audit ${args.join(' ')}: ${child.exitCode}\n${child.output}`);
  return { perSecond: EVENTS / seconds(begun), peakMib: peak };
}

/** Uses of keys, which the read model does not follow: what is measured is the log, not the projection. */
async function fill(store) {
  const recordedAt = new Date().toISOString();
  await inParallel(Math.ceil(EVENTS / STREAM_LENGTH), 8, async (index) => {
    const keyId = `bench${String(index).padStart(17, '0')}`;
    const length = Math.min(STREAM_LENGTH, EVENTS - index * STREAM_LENGTH);
    const events = Array.from({ length }, (_, n) => ({
      id: randomUUID(),
      type: 'KeyUsageRecorded',
      data: { keyId, secrets: [{ secretId: 'bench0000001', count: n + 1, lastUsedAt: recordedAt }], recordedAt },
      metadata: {
        schemaVersion: 1,
        commandId: `usage ${keyId} ${n}`,
        actor: { type: 'system', id: 'usage' },
        reason: 'the use of a key',
        requestId: `req_${index}_${n}`,
        $correlationId: `req_${index}_${n}`,
        $causationId: `usage ${keyId} ${n}`,
      },
    }));
    await store.append(`usage-${keyId}`, -1, events);
  });
}
