/**
 * Verification over HTTP: the verifier on one core against a bare Fastify route that makes the same Redis read and the
 * same SHA-256, and against `verifyApiKey` of @better-auth/api-key on SQLite. Rounds in rotated order, every answer
 * checked; ratios are medians of the ratios of each round.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cpuSeconds, firstJson, load, residentMib, ROOT, start, temporaryFolder } from './processes.mjs';
import { median, report } from './report.mjs';
import { inParallel, KEY_REQUEST, OTHER_CORE, SERVER_CORE, startSystem } from './system.mjs';

const KEYS = Number(process.env['BENCH_VERIFY_KEYS'] ?? 10_000);
const PEER_KEYS = 1_000;
const CONNECTIONS = 64;
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7);
const SECONDS = 2;

export async function benchVerify() {
  const system = await startSystem({ verifierCore: SERVER_CORE });
  await system.call('POST', '/v1/keyspaces', { name: 'Bench', prefix: 'bench' });
  const issued = await inParallel(KEYS, 32, (index) =>
    system.call('POST', '/v1/keys', { ...KEY_REQUEST, owner: { id: `app_${index}`, type: 'service' } }),
  );
  const { generation } = await system.call('GET', '/v1/system/projections');
  const bodies = issued.map(({ key }) => JSON.stringify({ key }));
  const authorization = `Bearer ${system.adminKey}`;

  const bare = start(process.execPath, ['test/bench/bare-fastify.server.mjs', system.redis.url, generation], {
    core: SERVER_CORE,
  });
  const peer = startPeer();
  const { port: barePort } = await firstJson(bare, 'port');
  const { port: peerPort, keys: peerKeys } = await firstJson(peer, 'port');
  const contestants = [
    { name: 'keyledger verifier', pid: system.verifier.child.pid, port: system.verifier.port, bodies },
    { name: 'bare Fastify: SHA-256 and GET', pid: bare.pid, port: barePort, bodies },
    { name: 'better-auth verifyApiKey, SQLite', pid: peer.pid, port: peerPort, bodies: bodiesOf(peerKeys) },
  ].map((contestant) => ({ ...contestant, headers: { authorization }, runs: [] }));

  for (let round = -1; round < ROUNDS; round++) {
    for (let i = 0; i < contestants.length; i++) {
      const contestant = contestants[(i + Math.max(round, 0)) % contestants.length];
      const run = await measure(contestant);
      if (round >= 0) contestant.runs.push(run);
    }
  }
  const [ours, ceiling, other] = contestants;
  report('verify over HTTP, one process on one core', contestants.map(rowOf), {
    'verifier / bare Fastify, requests per second (goal: at least 0.8)': ratio(ours, ceiling, 'perSecond'),
    'verifier / bare Fastify, requests per server CPU second': ratio(ours, ceiling, 'perCpuSecond'),
    'verifier / better-auth, requests per second (goal: at least 5)': ratio(ours, other, 'perSecond'),
    'verifier / better-auth, requests per server CPU second': ratio(ours, other, 'perCpuSecond'),
  });
  const memory = ['api', 'worker', 'verifier', 'eventStore'].map((name) => ({
    process: name,
    'resident MiB': Math.round(residentMib(system[name].child.pid)),
  }));
  report('memory of each process after the verify bench (goal: at most 200 MiB)', memory);
}

function startPeer() {
  const folder = join(ROOT, 'test/bench/peer');
  if (!existsSync(join(folder, 'node_modules/better-auth'))) {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' });
  }
  const file = join(temporaryFolder(), 'peer.db');
  return start(process.execPath, ['test/bench/peer/better-auth.server.mjs', file, String(PEER_KEYS)], {
    core: SERVER_CORE,
  });
}

const bodiesOf = (keys) => keys.map((key) => JSON.stringify({ key }));

async function measure({ name, pid, port, bodies, headers }) {
  const before = cpuSeconds(pid);
  const options = { port, path: '/v1/verify', headers, bodies, expect: '"valid":true' };
  const run = await load({ ...options, connections: CONNECTIONS, seconds: SECONDS }, OTHER_CORE);
  if (run.wrong > 0) throw new Error(`${name}: ${run.wrong} of ${run.requests} answers were wrong, e.g. ${run.sample}`);
  const cpu = cpuSeconds(pid) - before;
  return { ...run, perSecond: run.requests / SECONDS, perCpuSecond: run.requests / cpu };
}

function rowOf({ name, runs }) {
  const rates = runs.map(({ perSecond }) => perSecond);
  return {
    server: name,
    'requests/s (median)': Math.round(median(rates)),
    'min–max': `${Math.round(Math.min(...rates))}–${Math.round(Math.max(...rates))}`,
    'per server CPU s': Math.round(median(runs.map(({ perCpuSecond }) => perCpuSecond))),
    'p50 µs': median(runs.map(({ p50us }) => p50us)),
    'p99 µs': median(runs.map(({ p99us }) => p99us)),
  };
}

function ratio(one, other, figure) {
  return median(one.runs.map((run, index) => run[figure] / other.runs[index][figure]));
}
