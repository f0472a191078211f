/**
 * Ten million events, or `BENCH_EVENTS`: whether the audit trail still answers rightly, and what memory that takes. What
 * is right is known by the way the log was made (`long-log.fill.mjs`), not by a fold. With `BENCH_FOLDER` the log, the
 * trees and the snapshots stay there, and the next run begins where the last one ended.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatVerifierKey, generateSignerKey, parseSignerKey } from '../../dist/libs/audit/src/index.js';
import { expected, fill, keyIdOf, ROUNDS } from './long-log.fill.mjs';
import { ROOT, firstJson, freePort, start, stop, temporaryFolder } from './processes.mjs';
import { quantile, report } from './report.mjs';
import { startApp, startRedis, until } from './system.mjs';

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 10_000_000);
const EXPORTED = 100_000;
const PAGES = 50;
const WAIT_MS = 4 * 3_600_000;

export async function benchLongLog() {
  const folder = process.env['BENCH_FOLDER'] ?? temporaryFolder();
  const eventStore = await startKeptEventStore(folder);
  const log = await filled(folder, eventStore.url);
  const system = await startOn(folder, eventStore);
  await ask(system, log, folder);
  for (const { child } of [system.api, system.worker, system.eventStore, system.redis]) await stop(child);
}

/** Asks everything, and refuses whatever is answered wrongly. */
export async function ask(system, log, folder) {
  const { get, call } = system;
  const rows = [];
  const step = async (what, task) => {
    const began = performance.now();
    const figures = await task();
    const peaks = Object.fromEntries(
      ['api', 'worker', 'eventStore'].map((name) => [`${name} MiB`, Math.round(peakMib(system[name].child.pid))]),
    );
    rows.push({ what, seconds: seconds(began), ...peaks, 'CLI MiB': '', ...figures });
    console.error(what, JSON.stringify(rows.at(-1)));
  };
  await step('worker and api have followed the log', () => followed(system, log));
  for (const round of [2, 9, ROUNDS - 1]) {
    await step(`all keys as of event ${log.ends[round].events.toLocaleString('en')}`, () => asOf(get, log, round));
  }
  await step('before the first event, beyond the head', () => atTheEdges(call, get));
  await step('pages of one key', () => pages(get));
  await step('proofs by index', () => proofs(get, log));
  await step('a receipt, verified offline', () => receipt(system, log));
  const bundle = join(temporaryFolder(), 'bundle');
  const from = Math.floor(EVENTS / 2);
  const range = ['--from', String(from), '--to', String(from + Math.min(EXPORTED, EVENTS - from))];
  await step('export of 100,000 events', () => cli(['export', ...range, '--out', bundle], system.cliEnv));
  await step('its verification offline', () => cli(['verify', bundle, '--trusted-key', system.verifierKey], {}));
  for (const name of ['scope-holders', 'revocations', 'rotations', 'changes-by-actor', 'inventory']) {
    await step(`report ${name}`, () => reportRows(get, log, name));
  }
  const tree = join(folder, 'worker', 'audit', 'tree');
  await step('fsck', () => cli(['fsck', '--tree', tree], system.cliEnv));
  report(`the trail over ${EVENTS.toLocaleString('en')} events`, rows, {
    keys: log.keysPerRound * ROUNDS,
    'event store, bytes per event on disk': statSync(join(folder, 'eventstore', 'data.mdb')).size / EVENTS,
    'filled, events/s': EVENTS / log.seconds,
  });
}

async function startKeptEventStore(folder) {
  const port = await freePort();
  const env = { KEYLEDGER_EVENTSTORE_PORT: String(port), KEYLEDGER_DATA_DIR: folder };
  const child = start(process.execPath, ['dist/apps/eventstore/src/main.js'], { env });
  await firstJson(child, 'port');
  return { child, url: `kurrentdb://127.0.0.1:${port}?tls=false` };
}

async function filled(folder, url) {
  const path = join(folder, 'filled.json');
  if (!existsSync(path)) {
    const began = performance.now();
    const made = await fill(url, EVENTS, (end) => console.error('filled', JSON.stringify(end)));
    writeFileSync(path, JSON.stringify({ ...made, seconds: seconds(began) }));
  }
  const log = JSON.parse(readFileSync(path, 'utf8'));
  if (log.ends.at(-1).events !== EVENTS) throw new Error(`${folder} holds a log of another length`);
  return log;
}

async function startOn(folder, eventStore) {
  const keyFile = join(folder, 'signing-key');
  if (!existsSync(keyFile)) writeFileSync(keyFile, generateSignerKey('bench.example.com/audit'));
  const signing = readFileSync(keyFile, 'utf8');
  const redis = await startRedis();
  const adminKey = randomBytes(30).toString('base64url');
  const folderOf = (name) => (mkdirSync(join(folder, name), { recursive: true }), join(folder, name));
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url, KEYLEDGER_ADMIN_KEY: adminKey };
  const workerEnv = {
    ...env,
    KEYLEDGER_DATA_DIR: folderOf('worker'),
    KEYLEDGER_SIGNING_KEY: signing,
    KEYLEDGER_AUDIT_CHECKPOINT_SECONDS: '5',
    KEYLEDGER_AUDIT_CHECK_HOURS: '0',
  };
  const patience = { readyWithinMs: WAIT_MS };
  const worker = await startApp('worker', workerEnv, undefined, patience);
  const api = await startApp('api', { ...env, KEYLEDGER_DATA_DIR: folderOf('api') }, undefined, patience);
  const call = (path, accept = 'application/json') =>
    fetch(api.baseUrl + path, { headers: { authorization: `Bearer ${adminKey}`, accept } });
  const get = async (path, accept) => {
    const response = await call(path, accept);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text.slice(0, 500)}`);
    return accept === undefined ? JSON.parse(text) : text;
  };
  const cliEnv = { KEYLEDGER_URL: api.baseUrl, KEYLEDGER_KEY: adminKey, EVENTSTORE_URL: eventStore.url };
  const verifierKey = formatVerifierKey(parseSignerKey(signing));
  return { redis, eventStore, worker, api, call, get, cliEnv, verifierKey, snapshots: folderOf('api') };
}

/** Tree and checkpoint of the worker, tree and snapshots of the api: until all are as far as the log. */
async function followed({ worker, api, get }, log) {
  const size = async () => {
    const text = await (await fetch(`${worker.baseUrl}/metrics`)).text();
    return Number(/^keyledger_audit_tree_size\{[^}]*\} (\S+)/m.exec(text)?.[1]);
  };
  await until('the tree', worker.child, async () => (await size()) >= EVENTS, WAIT_MS);
  await until('a checkpoint', worker.child, async () => (await get('/v1/audit/checkpoint')).size >= EVENTS, WAIT_MS);
  await until('the tree of the api', api.child, () => get('/v1/audit/proof/inclusion?index=1'), WAIT_MS);
  const { position } = log.ends.at(-1);
  const scope = `/v1/audit/state?position=${position}&owner=nobody&limit=1`;
  // With the snapshots made it reads a few events beside them; a fold of all would take far longer.
  const isQuick = async () => {
    const began = performance.now();
    await get(scope);
    return seconds(began) < 20;
  };
  await until('the snapshots', api.child, isQuick, WAIT_MS);
}

async function asOf(get, log, round) {
  const { position, instant } = log.ends[round];
  const right = expected(round + 1, log.keysPerRound);
  for (const place of [`position=${position}`, `at=${instant}`]) {
    const count = async (query) => linesIn(await get(`/v1/audit/state?${place}&format=ndjson${query}`, 'text/plain'));
    assertSame(`keys as of ${place}`, await count(''), right.keys);
    assertSame(`revoked as of ${place}`, await count('&state=revoked'), right.revoked);
    assertSame(`suspended as of ${place}`, await count('&state=suspended'), right.suspended);
    assertSame(`active as of ${place}`, await count('&state=active'), right.active);
    const writers = await count('&state=active&scope=payments:write');
    assertSame(`writers as of ${place}`, writers, right.activeWriters);
  }
}

async function atTheEdges(call, get) {
  for (const place of ['at=2001-01-01T00:00:00Z', 'position=0']) {
    assertSame(place, linesIn(await get(`/v1/audit/state?${place}&format=ndjson`, 'text/plain')), 0);
  }
  const beyond = EVENTS * 1000;
  for (const [path, field] of [
    [`state?position=${beyond}`, 'position'],
    [`events?after=${beyond}`, 'after'],
    ['state?at=2999-01-01T00:00:00Z', 'at'],
  ]) {
    const response = await call(`/v1/audit/${path}`);
    assertSame(`${path}: status`, response.status, 400);
    assertSame(`${path}: field`, (await response.json()).errors[0].field, field);
  }
  assertSame('events behind the end', (await get(`/v1/audit/events?fromPosition=${beyond}`)).items.length, 0);
  assertSame('events before the first', (await get('/v1/audit/events?to=2001-01-01T00:00:00Z')).items.length, 0);
}

async function pages(get) {
  const took = [];
  for (const round of [0, Math.floor(ROUNDS / 2), ROUNDS - 2]) {
    for (let index = 0; index < PAGES; index++) {
      const began = performance.now();
      const { items } = await get(`/v1/audit/events?keyId=${keyIdOf(round, index % 10)}`);
      took.push(performance.now() - began);
      assertSame(`events of ${keyIdOf(round, index % 10)}`, items.length, index % 10 < 2 ? 10 : 9);
    }
  }
  return { each: `p50 ${quantile(took, 0.5).toFixed(1)} ms, p99 ${quantile(took, 0.99).toFixed(1)} ms` };
}

async function proofs(get) {
  const took = [];
  for (let n = 0; n < PAGES; n++) {
    const began = performance.now();
    await get(`/v1/audit/proof/inclusion?index=${Math.floor((EVENTS / PAGES) * n)}`);
    took.push(performance.now() - began);
  }
  return { each: `p50 ${quantile(took, 0.5).toFixed(1)} ms, p99 ${quantile(took, 0.99).toFixed(1)} ms` };
}

async function receipt({ cliEnv, verifierKey }, log) {
  const folder = temporaryFolder();
  const [file, leaf] = [join(folder, 'receipt'), join(folder, 'leaf')];
  const position = log.ends[ROUNDS / 2].position;
  await cli(['receipt', '--position', position, '--out', file, '--leaf', leaf], cliEnv);
  return cli(['verify-receipt', file, '--leaf', leaf, '--trusted-key', verifierKey], {});
}

async function reportRows(get, log, name) {
  const { instant } = log.ends[ROUNDS - 1];
  const text = await get(`/v1/audit/reports/${name}?at=${instant}&format=csv`, 'text/csv');
  const { keys, revoked } = expected(ROUNDS, log.keysPerRound);
  const lines = linesIn(text) - 1;
  // A revoked key is a writer by the way the log is made.
  const holders = keys - revoked + keys / 5 - revoked;
  const right = { 'scope-holders': holders, revocations: revoked, rotations: 0, inventory: keys }[name];
  if (right !== undefined) assertSame(`lines of ${name}`, lines, right);
  return { each: `${lines.toLocaleString('en')} lines` };
}

const linesIn = (text) => text.split('\n').length - 1;

function assertSame(what, got, wanted) {
  if (got !== wanted) throw new Error(`${what}: ${got}, and not ${wanted}`);
}

const seconds = (since) => (performance.now() - since) / 1000;

/** Peak resident memory since it was asked for last, of a running process. */
function peakMib(pid) {
  const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return peak;
}

async function cli(args, env) {
  const child = start(
    process.execPath,
    [join(ROOT, 'dist/apps/cli/src/main.js'), '--timeout', '3600', 'audit', ...args],
    { env },
  );
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const status = existsSync(`/proc/${child.pid}/status`) ? readFileSync(`/proc/${child.pid}/status`, 'utf8') : '';
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (child.exitCode !== 0) throw new Error(`audit ${args.join(' ')}: ${child.exitCode}\n${child.output.slice(-2000)}`);
  return { 'CLI MiB': Math.round(peak) };
}
