/** A whole Keyledger for a benchmark, its processes on chosen cores, and a client for its management API. */
import { randomBytes } from 'node:crypto';
import { firstJson, freePort, start, temporaryFolder } from './processes.mjs';

/** Servers under measurement run alone on core 0; all that serves them runs on core 1. */
export const SERVER_CORE = 0;
export const OTHER_CORE = 1;

export async function startRedis() {
  const port = await freePort();
  const options = [
    '--port',
    port,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'yes',
    '--dir',
    temporaryFolder(),
  ];
  const child = start('redis-server', options.map(String), { core: OTHER_CORE });
  const deadline = Date.now() + 10_000;
  while (!child.output.includes('Ready to accept connections')) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`redis-server:\n${child.output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { child, url: `redis://127.0.0.1:${port}` };
}

export async function startEventStore() {
  const port = await freePort();
  const env = { KEYLEDGER_EVENTSTORE_PORT: String(port), KEYLEDGER_DATA_DIR: temporaryFolder() };
  const child = start(process.execPath, ['dist/apps/eventstore/src/main.js'], { core: OTHER_CORE, env });
  await firstJson(child, 'port');
  return { child, url: `kurrentdb://127.0.0.1:${port}?tls=false` };
}

/** @param options.readyWithinMs longer where it has a long log to follow first */
export async function startApp(name, env, core = OTHER_CORE, { readyWithinMs = 60_000 } = {}) {
  const port = await freePort();
  const variable = `KEYLEDGER_${name.toUpperCase()}_PORT`;
  // As `up` starts them.
  const options = {
    core,
    env: {
      NODE_ENV: 'production',
      MALLOC_ARENA_MAX: '2',
      KEYLEDGER_DATA_DIR: temporaryFolder(),
      [variable]: String(port),
      ...env,
    },
  };
  const child = start(process.execPath, ['--max-semi-space-size=8', `dist/apps/${name}/src/main.js`], options);
  const isReady = async () => (await fetch(`http://127.0.0.1:${port}/health/ready`)).ok;
  await until(`${name} to be ready`, child, isReady, readyWithinMs);
  return { child, port, baseUrl: `http://127.0.0.1:${port}` };
}

export async function until(what, child, test, timeoutMs = 60_000, everyMs = 25) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (await test().catch(() => false)) return;
    if ((child && child.exitCode !== null) || Date.now() > deadline) {
      throw new Error(`waited in vain for ${what}:\n${child?.output.slice(-3000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export async function startSystem({ verifierCore = OTHER_CORE } = {}) {
  const adminKey = randomBytes(30).toString('base64url');
  const [redis, eventStore] = await Promise.all([startRedis(), startEventStore()]);
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url, KEYLEDGER_ADMIN_KEY: adminKey };
  const [api, worker] = await Promise.all([startApp('api', env), startApp('worker', env)]);
  const verifier = await startApp('verifier', env, verifierCore);
  const call = caller(api.baseUrl, adminKey);
  return { redis, eventStore, api, worker, verifier, adminKey, env, call };
}

/** Calls the management API and gives the answer's body; anything but success is an error. */
export function caller(baseUrl, credential) {
  return async (method, path, body) => {
    const response = await fetch(baseUrl + path, {
      method,
      headers: { authorization: `Bearer ${credential}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
}

/** Runs `task(index)` for every index below `count`, at most `width` at once, and gives the results in order. */
export async function inParallel(count, width, task) {
  const results = new Array(count);
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < count; index = next++) results[index] = await task(index);
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}

export const KEY_REQUEST = {
  keyspaceId: 'bench',
  environment: 'live',
  name: 'checkout service, production',
  owner: { id: 'app_checkout', type: 'service' },
  scopes: ['payments:read', 'payments:write'],
  metadata: { team: 'payments', region: 'eu-central-1' },
};
