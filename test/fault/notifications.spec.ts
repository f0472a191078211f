import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { redisNames } from '@keyledger/contracts';
import { EventStore } from '@keyledger/event-store';
import { Redis } from 'ioredis';
import { eventually, http, startApp, type Receiver, type System } from '../support/index.js';
import type { Desk } from '../e2e/api.harness.js';
import { arrival, outcome, recordedWarnings, startToldSystem, toldWarnings, webhook } from '../e2e/channels.harness.js';
import { Ledger } from '../e2e/clock.desk.js';

let system: System;
let desk: Desk;
let receiver: Receiver;
let keyspaceId: string;
let stop: () => Promise<void>;
/** Called when a message came to `/held`; its answer waits for what this gives. */
let onHeld: () => Promise<void> = async () => undefined;
let down = true;

beforeAll(async () => {
  ({ system, desk, receiver, keyspaceId, stop } = await startToldSystem(
    {
      held: (response) => void onHeld().then(() => response.writeHead(204).end()),
      down: (response) => response.writeHead(down ? 503 : 204).end(),
    },
    { KEYLEDGER_NOTIFICATION_RETRIES: 'PT2S,PT2S,PT2S,PT2S,PT2S,PT2S,PT2S,PT2S,PT2S,PT2S' },
  ));
});

afterAll(() => stop());

const issueFor = (ownerId: string) => desk.issue(keyspaceId, { owner: { id: ownerId, type: 'service' } });

/** The notifications about an owner, by what their streams say. */
async function requested(ownerId: string): Promise<string[]> {
  const store = new EventStore({ url: system.eventStore.url });
  const end = new AbortController();
  const found: string[] = [];
  for await (const { events, live } of store.subscribe({
    after: 'start',
    streamPrefixes: ['notification-'],
    signal: end.signal,
  })) {
    for (const { event } of events) {
      if (event.type === 'NotificationRequested' && event.data.ownerId === ownerId)
        found.push(event.data.notificationId);
    }
    if (live) break;
  }
  end.abort();
  await store.dispose();
  return found;
}

it('a worker killed between sending and recording sends again under the same webhook-id, and records one outcome', async () => {
  await webhook(desk.admin, `${receiver.url}/held`, { audience: { ownerId: 'killed' } });
  let killing: Promise<void> | undefined;
  let killed = false;
  onHeld = async () => {
    if (killing) return;
    killing = system.worker.kill();
    await killing;
    killed = true;
  };
  await issueFor('killed');
  await eventually('the worker is dead', () => killed && receiver.at('/held').length === 1);
  await system.worker.start();
  await eventually('it came again', () => receiver.at('/held').length === 2, { timeoutMs: 100_000 });
  const [first, second] = receiver.at('/held').map(({ headers }) => headers['webhook-id']);
  expect(second).toBe(first);
  await outcome(desk.admin, String(first), 'delivered');
  expect(await desk.events(`notification-${String(first)}`)).toEqual([
    'NotificationRequested',
    'NotificationDelivered',
  ]);
});

it('an emptied Redis loses no message that waits and repeats none that was sent', async () => {
  await webhook(desk.admin, `${receiver.url}/down`, { audience: { ownerId: 'flushed' } });
  await webhook(desk.admin, `${receiver.url}/sent`, { audience: { ownerId: 'sent' } });
  const sent = await issueFor('sent');
  const first = await arrival(receiver, '/sent', ({ data }) => data.events[0].keys[0].keyId === sent.keyId);
  await outcome(desk.admin, String(first.headers['webhook-id']), 'delivered');
  for (let n = 0; n < 3; n++) await issueFor('flushed');
  await eventually(
    'they were tried',
    () => new Set(receiver.at('/down').map(({ headers }) => headers['webhook-id'])).size === 3,
  );
  await flush(system);
  down = false;
  const ids = [...new Set(await requested('flushed'))];
  expect(ids).toHaveLength(3);
  for (const id of ids) await outcome(desk.admin, id, 'delivered');
  // A worker without a checkpoint looks for where to begin, and asks for nothing twice.
  await system.worker.stop();
  await flush(system);
  await system.worker.start();
  const later = await issueFor('sent');
  await arrival(receiver, '/sent', ({ data }) => data.events[0].keys[0].keyId === later.keyId);
  expect(receiver.at('/sent')).toHaveLength(2);
  expect(new Set(await requested('sent')).size).toBe(2);
  const listed = await eventually('the lists are back', async () => {
    const { status, body } = await desk.admin.get('/v1/notifications?state=delivered&limit=1000');
    return status === 200 && body.items.length >= 6 && body;
  });
  expect(listed.items.map(({ notificationId }: { notificationId: string }) => notificationId)).toEqual(
    expect.arrayContaining(ids),
  );
});

it('a key that was warned of is not warned of again that day by a worker that was killed, nor after Redis was emptied', async () => {
  const ledger = new Ledger(system.eventStore.url);
  const offsets = ['PT59M59S'];
  const own = await desk.keyspace({ expiryWarnings: offsets });
  await webhook(desk.admin, `${receiver.url}/warned`, { audience: { keyspaceId: own }, kinds: ['key.expiring'] });
  const { keyId } = await desk.issue(own, { lifetime: 'PT1H' });
  const first = await arrival(receiver, '/warned');
  await outcome(desk.admin, String(first.headers['webhook-id']), 'delivered');
  for (const [offset, empty] of [
    ['PT59M58S', async () => undefined],
    ['PT59M57S', () => flush(system)],
  ] as const) {
    await system.worker.kill();
    await empty();
    offsets.push(offset);
    await desk.admin.patch(`/v1/keyspaces/${own}`, { policy: { expiryWarnings: offsets } });
    await system.worker.start();
    await eventually('the next warning is on record', async () => {
      return (await recordedWarnings(ledger, keyId)).length === offsets.length;
    });
  }
  const other = await desk.issue(own, { lifetime: 'PT1H' });
  await arrival(receiver, '/warned', ({ data }) => data.events[0].keys[0].keyId === other.keyId);
  const recorded = [...(await recordedWarnings(ledger, keyId)), ...(await recordedWarnings(ledger, other.keyId))];
  await ledger.dispose();
  expect(recorded.length).toBeGreaterThanOrEqual(4);
  expect(toldWarnings(receiver, '/warned').toSorted()).toEqual([...new Set(recorded)].toSorted());
});

it('two workers tell each channel once', async () => {
  await webhook(desk.admin, `${receiver.url}/two`, { audience: { ownerId: 'two' } });
  const second = await startApp('worker', system.env);
  const keys = [];
  for (let n = 0; n < 10; n++) keys.push((await issueFor('two')).keyId);
  await eventually('all are told', async () => {
    const { body } = await desk.admin.get('/v1/notifications?state=pending');
    return new Set(told()).size === 10 && body.items.length === 0;
  });
  function told(): string[] {
    return receiver.at('/two').map(({ text }) => JSON.parse(text).data.events[0].keys[0].keyId);
  }
  expect(told().toSorted()).toEqual(keys.toSorted());
  expect((await http(second.baseUrl).get('/health/ready')).status).toBe(200);
  await second.stop();
});

it('a worker whose lists of notifications cannot be written is not ready and says why, and sends once they can', async () => {
  await webhook(desk.admin, `${receiver.url}/stuck`, { audience: { ownerId: 'stuck' } });
  const worker = http(system.worker.baseUrl);
  const pending = redisNames.notifications.list('pending');
  await inRedis(system.redis, (client) => client.set(pending, 'no list'));
  const { keyId } = await issueFor('stuck');
  const checks = await eventually<Record<string, { status: string }>>('it is not ready', async () => {
    const { status, body } = await worker.get('/health/ready');
    return status === 503 && body.checks;
  });
  const { notifications, ...others } = checks;
  expect(notifications).toMatchObject({ status: 'failing', detail: expect.stringContaining('WRONGTYPE') });
  expect(Object.values(others).map(({ status }) => status)).toEqual(Object.keys(others).map(() => 'ok'));
  await inRedis(system.redis, (client) => client.del(pending));
  await arrival(receiver, '/stuck', ({ data }) => data.events[0].keys[0].keyId === keyId);
  await eventually('it is ready again', async () => (await worker.get('/health/ready')).status === 200);
});

const flush = ({ redis }: System): Promise<unknown> => inRedis(redis, (client) => client.flushall());

async function inRedis(redis: System['redis'], work: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis(redis.url);
  await work(client);
  client.disconnect();
}
