import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  claimPort,
  eventually,
  http,
  RealProcess,
  startApp,
  startSystem,
  temporaryFolder,
  type App,
  type System,
} from '../support/index.js';
import { Desk } from '../e2e/api.harness.js';
import { Ledger, RECEIVER_ENV, ReceiverKeys, startReceiver } from '../e2e/clock.desk.js';

const run = promisify(execFile);

let system: System;
let desk: Desk;
let ledger: Ledger;
let second: App;

beforeAll(async () => {
  system = await startSystem(RECEIVER_ENV);
  desk = new Desk(system);
  ledger = new Ledger(system.eventStore.url);
  second = await startApp('worker', system.env);
});

afterAll(async () => {
  await second.stop();
  await ledger.dispose();
  await desk.dispose();
  await system.stop();
});

const KEYS = 40;

/** Keys that all end at the same instant, `seconds` from now. */
async function endingIn(seconds: number): Promise<string[]> {
  const keyspaceId = await desk.keyspace({ expiryWarnings: ['PT1S'] });
  const expiresAt = new Date(Date.now() + seconds * 1000).toISOString();
  const issued = await Promise.all(Array.from({ length: KEYS }, () => desk.issue(keyspaceId, { expiresAt })));
  return issued.map(({ keyId }) => keyId);
}

/** Every key has its end on record, and everything on record once. */
async function eachEndedOnce(keyIds: readonly string[]): Promise<void> {
  await eventually(
    'every expiry is on record',
    async () => {
      const ended = await Promise.all(keyIds.map(async (keyId) => (await ledger.types(keyId)).includes('KeyExpired')));
      const left = ended.filter((one) => !one).length;
      if (left > 0) throw new Error(`${left} are missing`);
    },
    { timeoutMs: 90_000 },
  );
  for (const keyId of keyIds) {
    const types = await ledger.types(keyId);
    expect(new Set(types).size).toBe(types.length);
  }
}

const redisCli = (...args: string[]) => run('redis-cli', ['-p', String(system.redis.port), ...args]);

it('two workers, and queues that are emptied under them, do everything once', async () => {
  const keyIds = await endingIn(5);
  for (const key of (await redisCli('--scan', '--pattern', '{kl:q:deadlines}*')).stdout.split('\n').filter(Boolean)) {
    await redisCli('DEL', key);
  }
  await eachEndedOnce(keyIds);
});

it('a Redis that is emptied with everything scheduled loses no deadline', async () => {
  const keyIds = await endingIn(6);
  await redisCli('FLUSHALL');
  await eachEndedOnce(keyIds);
});

it('workers that are killed at work, and were down when deadlines came, catch up without doing anything twice', async () => {
  const keyIds = await endingIn(3);
  await eventually('the first ends are on record', async () => {
    const ended = await Promise.all(keyIds.map(async (keyId) => (await ledger.types(keyId)).includes('KeyExpired')));
    return ended.includes(true);
  });
  await Promise.all([system.worker.kill(), second.kill()]);
  const missed = await endingIn(3);
  const last = (await desk.admin.get(`/v1/keys/${missed.at(-1)}`)).body;
  await eventually('their end has come while nobody was there', () => Date.now() > Date.parse(last.expiresAt));
  await Promise.all([system.worker.start(), second.start()]);
  await eachEndedOnce([...keyIds, ...missed]);
});

it('a rotation whose worker is killed half-way goes on with the secret that was prepared, and is delivered once', async () => {
  const keys = await ReceiverKeys.make();
  const receiver = await startReceiver();
  const keyspaceId = await desk.keyspace({ rotation: { every: 'PT30S', grace: 'PT20S', mode: 'automatic' } });
  const ownerId = `killed-${keyspaceId}`;
  await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'webhook', url: receiver.url });
  const owner = { id: ownerId, type: 'service' };
  const rotation = { every: 'PT5S', grace: 'PT4S', mode: 'automatic' };
  const issued = await Promise.all(Array.from({ length: 10 }, () => desk.issue(keyspaceId, { owner, rotation })));
  await eventually('the first rotation is on record', async () => {
    const done = await Promise.all(issued.map(async ({ keyId }) => (await ledger.types(keyId)).includes('KeyRotated')));
    return done.includes(true);
  });
  await Promise.all([system.worker.kill(), second.kill()]);
  await Promise.all([system.worker.start(), second.start()]);
  for (const { keyId } of issued) {
    await eventually('the new secret is there and works', async () => {
      const events = await ledger.key(keyId);
      const rotated = events.find(({ event }) => event.type === 'KeyRotated')?.event.data as {
        secret: { secretId: string };
      };
      const [first] = (await desk.admin.get(`/v1/deliveries?keyId=${keyId}`)).body.items.slice(-1);
      expect(first).toMatchObject({ state: 'delivered', secretId: rotated.secret.secretId });
    });
  }
  receiver.close();
});

it('a worker whose clock is an hour off says so, is not ready, and writes nothing down', async () => {
  const shift = join(temporaryFolder(), 'shift.mjs');
  writeFileSync(shift, 'const now = Date.now; Date.now = () => now() + 3_600_000;\n');
  const keyspaceId = await desk.keyspace({ expiryWarnings: [] });
  const { keyId } = await desk.issue(keyspaceId, { lifetime: 'PT30M' });
  await Promise.all([system.worker.stop(), second.stop()]);
  const { port } = await claimPort();
  const fast = new RealProcess({
    name: 'fast worker',
    module: 'dist/apps/worker/src/main.js',
    env: { ...system.env, KEYLEDGER_WORKER_PORT: String(port), NODE_OPTIONS: `--import=${shift}` },
    ready: async () => {
      const { body } = await http(`http://127.0.0.1:${port}`).get('/health/ready');
      return body.checks.deadlines.detail?.includes('ahead of that of Redis') ?? false;
    },
  });
  await fast.start();
  const { status } = await http(`http://127.0.0.1:${port}`).get('/health/ready');
  expect(status).toBe(503);
  const soon = await endingIn(2);
  await eventually(
    'a deadline has passed',
    async () => (await desk.admin.get(`/v1/keys/${soon[0]}`)).body.state === 'expired',
  );
  expect(await ledger.types(keyId)).toEqual(['KeyIssued']);
  for (const one of soon) expect(await ledger.types(one)).toEqual(['KeyIssued']);
  await fast.stop();
  await Promise.all([system.worker.start(), second.start()]);
  await eachEndedOnce(soon);
});
