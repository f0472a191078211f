import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connectRedis, DeadlineIndex } from '@keyledger/read-model';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  claimPort,
  eventually,
  http,
  MISBEHAVIOURS,
  RealProcess,
  startApp,
  startReceiver,
  startSystem,
  temporaryFolder,
  type App,
  type Delivery,
  type Receiver,
  type System,
} from '../support/index.js';
import { newKeyId } from '../contract/read-model.harness.js';
import { Desk } from '../e2e/api.harness.js';
import { arrival, webhook } from '../e2e/channels.harness.js';
import { Ledger, RECEIVER_ENV, ReceiverKeys, secretIn } from '../e2e/clock.desk.js';

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
/** Longer than a worker's own appointments go back. */
const SWEPT_AFTER_MS = 6000;

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

/** At one stroke, as BullMQ itself would. */
const EMPTY_QUEUE = `local n = 0
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do n = n + redis.call('DEL', key) end
return n`;

it('two workers, and queues that are emptied under them, do everything once', async () => {
  const keyIds = await endingIn(5);
  const { stdout } = await redisCli('EVAL', EMPTY_QUEUE, '0', '{kl:q:deadlines}*');
  expect(Number(stdout)).toBeGreaterThan(0);
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

it('keys that nobody can deal with, first in line and long overdue, keep no other waiting', async () => {
  const redis = connectRedis(system.redis.url);
  try {
    await eventually('Redis is connected', async () => (await redis.ping()) === 'PONG');
    const index = new DeadlineIndex(redis, 'keys');
    const [like] = await endingIn(3600);
    const keyIds = Array.from({ length: 40 }, () => newKeyId());
    await Promise.all(keyIds.map((keyId) => ledger.issueNowhere(keyId, like as string)));
    const missed = await endingIn(8);
    const { expiresAt } = (await desk.admin.get(`/v1/keys/${missed.at(-1)}`)).body;
    await eventually('all that was issued is in the index', async () => {
      const known = (await index.due(Date.parse(expiresAt), 1000)).map(({ id }) => id);
      return missed.every((keyId) => known.includes(keyId));
    });
    await Promise.all([system.worker.stop(), second.stop()]);
    await index.put(keyIds.map((id) => ({ id, at: 1, revision: 1 })));
    await eventually('the others are long overdue', () => Date.now() > Date.parse(expiresAt) + SWEPT_AFTER_MS);
    await Promise.all([system.worker.start(), second.start()]);
    await eachEndedOnce(missed);
    expect((await index.due(1, 1000)).map(({ id }) => id).sort()).toEqual(keyIds.sort());
    await index.put(keyIds.map((id) => ({ id, revision: 2 })));
  } finally {
    redis.disconnect();
  }
});

it('rotations whose workers are killed go on with the secret that was prepared, and each is delivered', async () => {
  const keys = await ReceiverKeys.make();
  const receiver = await startReceiver();
  const keyspaceId = await desk.keyspace();
  const ownerId = `killed-${keyspaceId}`;
  await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'webhook', url: receiver.url });
  const owner = { id: ownerId, type: 'service' };
  const issued = await Promise.all(Array.from({ length: 20 }, () => desk.issue(keyspaceId, { owner })));
  // A leak that ends the secret in five minutes has each rotated at once, with as long a grace.
  await Promise.all(issued.map(({ keyId, secretId }) => ledger.leak(keyId, secretId, 'rotate:PT5M')));
  await eventually('the first rotation is on record', async () => {
    const done = await Promise.all(issued.map(async ({ keyId }) => (await ledger.types(keyId)).includes('KeyRotated')));
    return done.includes(true);
  });
  await Promise.all([system.worker.kill(), second.kill()]);
  await Promise.all([system.worker.start(), second.start()]);
  for (const { keyId, key } of issued) {
    const delivery = await eventually(
      'the new secret is there',
      async () => {
        const [first, ...others] = (await desk.admin.get(`/v1/deliveries?keyId=${keyId}`)).body.items;
        expect(others).toEqual([]);
        return first?.state === 'delivered' ? first : false;
      },
      { timeoutMs: 60_000 },
    );
    const sent = receiver.deliveries.map(secretIn).filter((secret) => secret.keyId === keyId);
    const opened = await Promise.all(sent.map(({ jwe }) => keys.open(jwe)));
    // Perhaps more than once, if the answer came to a worker that was killed; but always the same.
    expect([...new Set(opened.map(({ secretId }) => secretId))]).toEqual([delivery.secretId]);
    expect((await ledger.types(keyId)).filter((type) => type === 'KeyRotated')).toHaveLength(1);
    expect([await desk.verdict(key), await desk.verdict(opened[0]?.key ?? '')]).toEqual(['VALID', 'VALID']);
  }
  await receiver.close();
});

it('a receiver that is slow, breaks off or answers without end gets its secret, which is delivered once; one that redirects does not, and somebody is told', async () => {
  const keys = await ReceiverKeys.make();
  const isFirst = (path: string): boolean => receiver.at(path).length === 1;
  const receiver: Receiver = await startReceiver({
    slow: (response, { path }) => (isFirst(path) ? MISBEHAVIOURS.silent() : void response.writeHead(204).end()),
    half: (response, { path }) => (isFirst(path) ? MISBEHAVIOURS.half(response) : void response.writeHead(204).end()),
    endless: MISBEHAVIOURS.endless,
    elsewhere: (response) => void response.writeHead(307, { location: `${receiver.url}/landed` }).end(),
  });
  const issuedTo = async (path: string, policy: object = {}) => {
    const keyspaceId = await desk.keyspace(policy);
    const ownerId = `owner-${keyspaceId}`;
    const url = receiver.url + path;
    await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'webhook', url });
    await webhook(desk.admin, `${receiver.url}/alerts`, { audience: { ownerId }, kinds: ['secret.delivery_failed'] });
    return desk.issue(keyspaceId, { owner: { id: ownerId, type: 'service' } });
  };
  const redirected = await issuedTo('/elsewhere', {
    rotation: { every: 'PT4S', grace: 'PT3S', mode: 'automatic' },
    failedDelivery: 'extend:PT1H',
  });
  const tries = { '/slow': 2, '/half': 2, '/endless': 1 };
  for (const [path, times] of Object.entries(tries)) {
    const { keyId, secretId, key } = await issuedTo(path);
    await ledger.leak(keyId, secretId, 'rotate:PT5M');
    await eventually(`${path} was tried`, () => receiver.at(path).length > 0);
    expect(await desk.verdict(key)).toBe('VALID');
    const delivery = await eventually(
      `${path} has it`,
      async () => {
        const [first] = (await desk.admin.get(`/v1/deliveries?keyId=${keyId}`)).body.items;
        return first.state === 'delivered' && first;
      },
      { timeoutMs: 60_000 },
    );
    const sent = receiver.at(path);
    expect(sent.map(({ headers }) => headers['webhook-id'])).toEqual(Array(times).fill(delivery.deliveryId));
    expect(new Set(sent.map((message) => secretIn(message).jwe)).size).toBe(1);
    const opened = await keys.open(secretIn(sent[0] as Delivery).jwe);
    expect([await desk.verdict(key), await desk.verdict(opened.key)]).toEqual(['VALID', 'VALID']);
    expect(await desk.events(`delivery-${delivery.deliveryId}`)).toEqual(['SecretDeliveryPrepared', 'SecretDelivered']);
    expect((await ledger.types(keyId)).filter((type) => type === 'KeyRotated')).toHaveLength(1);
  }

  const alert = await arrival(receiver, '/alerts');
  const [told] = JSON.parse(alert.text).data.events;
  expect(told).toMatchObject({
    keys: [{ keyId: redirected.keyId }],
    details: { problem: 'the receiver answered 307' },
  });
  await eventually('the grace is extended', async () =>
    (await ledger.types(redirected.keyId)).includes('KeyGraceExtended'),
  );
  expect(await desk.verdict(redirected.key)).toBe('VALID');
  expect(receiver.at('/elsewhere').length).toBeGreaterThan(1);
  expect(receiver.at('/landed')).toEqual([]);
  expect(receiver.at('/alerts').map(({ headers }) => headers['webhook-id'])).toEqual([alert.headers['webhook-id']]);
  for (const [path, times] of Object.entries(tries)) expect(receiver.at(path)).toHaveLength(times);
  await receiver.close();
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
  // So late that only the sweep finds them: the fast worker must not have put that off either.
  const passed = Date.now();
  await eventually('they are long overdue', async () => Date.now() - passed > SWEPT_AFTER_MS);
  await Promise.all([system.worker.start(), second.start()]);
  await eachEndedOnce(soon);
});
