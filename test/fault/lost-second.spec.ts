import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connectRedis, DeadlineIndex, NotificationIndex, UsageStore, type RedisClient } from '@keyledger/read-model';
import { createHash, randomBytes } from 'node:crypto';
import { eventually, rememberRedis, type Receiver, type System } from '../support/index.js';
import type { Desk } from '../e2e/api.harness.js';
import { startToldSystem, webhook } from '../e2e/channels.harness.js';
import { Ledger, RECEIVER_ENV, ReceiverKeys } from '../e2e/clock.desk.js';

let system: System;
let desk: Desk;
let receiver: Receiver;
let ledger: Ledger;
let redis: RedisClient;
let stop: () => Promise<void>;
/** Nobody takes a message before: all that is to be sent waits when the second is lost. */
let takes = false;

beforeAll(async () => {
  const behaviour: Parameters<typeof startToldSystem>[0][string] = (response) =>
    void response.writeHead(takes ? 204 : 500).end();
  ({ system, desk, receiver, stop } = await startToldSystem(
    { told: behaviour, secret: behaviour },
    { ...RECEIVER_ENV, KEYLEDGER_NOTIFICATION_RETRIES: Array(30).fill('PT2S').join() },
  ));
  ledger = new Ledger(system.eventStore.url);
  redis = connectRedis(system.redis.url);
});

afterAll(async () => {
  redis.disconnect();
  await ledger.dispose();
  await stop();
});

const UNUSED_AFTER_SECONDS = 30;
const EXPIRES_AFTER_SECONDS = 15;
const SLOW = { timeoutMs: 90_000 };

it.each([
  { who: 'lives on', before: async () => undefined, after: async () => undefined },
  { who: 'is killed with it', before: () => system.worker.kill(), after: () => system.worker.start() },
])('a Redis that loses its last second takes nothing for good from a worker that $who', async ({ before, after }) => {
  takes = false;
  const name = randomBytes(5).toString('hex');
  const keys = await ReceiverKeys.make();
  const owner = { id: `owner-${name}`, type: 'service' };
  await webhook(desk.admin, `${receiver.url}/told/${name}`, {
    audience: { ownerId: owner.id },
    kinds: ['key.revoked'],
  });
  const url = `${receiver.url}/secret/${name}`;
  await ledger.receiver(owner.id, { publicKey: keys.publicJwk, via: 'webhook', url });
  const unused = await desk.keyspace({ unused: { after: `PT${UNUSED_AFTER_SECONDS}S`, action: 'suspend' } });
  const keyspaceId = await desk.keyspace({ expiryWarnings: [] });
  const used = await desk.issue(unused);
  const idle = await desk.issue(unused);
  const revoked = await desk.issue(keyspaceId, { owner });
  const leaked = await desk.issue(keyspaceId, { owner });
  const sha256 = createHash('sha256').update(name).digest('hex');
  const { leakId } = (await desk.admin.post('/v1/leaks', { source: 'report', sha256 })).body;
  const listed = async () => {
    const { status, body } = await desk.admin.get('/v1/leaks?limit=100');
    return status === 200 && body.items.find((one: { leakId: string }) => one.leakId === leakId)?.state;
  };
  await eventually('the incident is listed', async () => (await listed()) === 'unmatched');

  const lose = rememberRedis(system.redis);
  const expiresAt = new Date(Date.now() + EXPIRES_AFTER_SECONDS * 1000).toISOString();
  const expiring = await desk.issue(keyspaceId, { expiresAt });
  await desk.admin.post(`/v1/keys/${revoked.keyId}/revoke`, { reason: 'compromised' });
  await ledger.leak(leaked.keyId, leaked.secretId, 'rotate:PT5M');
  expect((await desk.admin.post(`/v1/leaks/${leakId}/resolve`, { resolution: 'false-positive' })).status).toBe(200);
  const deadlines = new DeadlineIndex(redis, 'keys');
  await eventually('all of it is in Redis, and was tried', async () => {
    const due = (await deadlines.due(Date.parse(expiresAt), 1000)).map(({ id }) => id);
    expect(due).toContain(expiring.keyId);
    expect((await new NotificationIndex(redis).list({ state: 'pending', limit: 10 })).items).toHaveLength(1);
    expect(await listed()).toBe('resolved');
    expect([receiver.at(`/told/${name}`), receiver.at(`/secret/${name}`)].map(({ length }) => length > 0)).toEqual([
      true,
      true,
    ]);
  });
  // Last of all: whoever counts uses can say again what he handed on within three seconds.
  expect(await desk.verdict(used.key)).toBe('VALID');
  const usage = new UsageStore(redis);
  await eventually('the use is in Redis', async () => expect(await usage.usageOf(used.keyId)).toHaveLength(1));
  await before();
  await lose();
  await after();
  takes = true;

  await eventually('the incident is listed as it is', async () => (await listed()) === 'resolved', SLOW);
  await eventually(
    'the new secret is there',
    async () => (await desk.admin.get(`/v1/deliveries?keyId=${leaked.keyId}`)).body.items?.[0]?.state === 'delivered',
    SLOW,
  );
  await eventually(
    'the message is there',
    async () => {
      const { body } = await desk.admin.get('/v1/notifications?state=delivered');
      return body.items?.some(({ keyIds }: { keyIds: string[] }) => keyIds.includes(revoked.keyId));
    },
    SLOW,
  );
  await eventually(
    'the end is on record',
    async () => (await ledger.types(expiring.keyId)).includes('KeyExpired'),
    SLOW,
  );
  await eventually(
    'the idle key is suspended',
    async () => (await ledger.types(idle.keyId)).includes('KeySuspended'),
    SLOW,
  );
  const [suspended] = (await ledger.key(used.keyId)).filter(({ event }) => event.type === 'KeySuspended');
  expect(suspended).toBeUndefined();
});
