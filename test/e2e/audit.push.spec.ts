import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { redisNames } from '@keyledger/contracts';
import { connectRedis } from '@keyledger/read-model';
import { Webhook } from 'standardwebhooks';
import { eventually, startApp, type Delivery, type Receiver, type System } from '../support/index.js';
import type { Desk } from './api.harness.js';
import { startToldSystem, webhook } from './channels.harness.js';

interface Pushed {
  id: string;
  type: string;
  subject: string;
  sequence: string;
  data: { metadata: { tenant_uid?: string } };
}

let system: System;
let desk: Desk;
let receiver: Receiver;
let keyspaceId: string;
let stop: () => Promise<void>;
/** Whether the receiver answers 503 at `/down`. */
let down = false;
/** When requests came to `/busy`; the first is told to come again later. */
const busyAt: number[] = [];
const BUSY_SECONDS = 2;
/** Whether the receiver leaves requests at `/killed` without an answer. */
let hanging = false;

beforeAll(async () => {
  const gone = (response: ServerResponse): void => void response.writeHead(410).end();
  ({ system, desk, receiver, keyspaceId, stop } = await startToldSystem({
    down: (response) => void response.writeHead(down ? 503 : 204).end(),
    gone,
    busy: (response) => {
      const headers = busyAt.push(performance.now()) === 1 ? { 'retry-after': String(BUSY_SECONDS) } : {};
      response.writeHead(busyAt.length === 1 ? 429 : 204, headers).end();
    },
    killed: (response) => (hanging ? undefined : void response.writeHead(204).end()),
  }));
});

afterAll(() => stop());

const trailTo = (path: string, audience: unknown) =>
  webhook(desk.admin, `${receiver.url}${path}`, {
    audience,
    target: { url: `${receiver.url}${path}`, format: 'cloudevents' },
  });

const eventsIn = (delivery: Delivery): Pushed[] => JSON.parse(delivery.text) as Pushed[];

/** What a receiver keeps that drops repetitions, in the order in which it first came. */
const kept = (deliveries: Delivery[]): Pushed[] =>
  [
    ...new Map(
      deliveries
        .flatMap(eventsIn)
        .reverse()
        .map((event) => [event.id, event]),
    ).values(),
  ].reverse();

const typesOf = (path: string, keyId: string): string[] =>
  kept(receiver.at(path))
    .filter(({ subject, type }) => subject === keyId && !/Usage|Notification/.test(type))
    .map(({ type }) => type);

const LIFE = ['keyledger.KeyIssued', 'keyledger.KeyRotated', 'keyledger.KeyRevoked'];

/** A key that is issued, rotated and revoked. */
async function life(of: string, during: () => Promise<void> = async () => undefined): Promise<string> {
  const { keyId } = await desk.issue(of);
  expect((await desk.admin.post(`/v1/keys/${keyId}/rotate`, {})).status).toBe(200);
  await during();
  expect((await desk.admin.post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' })).status).toBe(200);
  return keyId;
}

describe('a channel of the format cloudevents', () => {
  it('is sent the trail in order, signed, as a batch of CloudEvents, and no news', async () => {
    const channel = await trailTo('/all', 'system');
    expect(channel.target).toEqual({ url: `${receiver.url}/all`, format: 'cloudevents' });
    const keyId = await life(keyspaceId);
    await eventually('its trail came', () => expect(typesOf('/all', keyId)).toEqual(LIFE));
    for (const delivery of receiver.at('/all')) {
      expect(delivery.headers['content-type']).toBe('application/cloudevents-batch+json');
      const sent = new Webhook(channel.signingSecret).verify(delivery.text, delivery.headers as Record<string, string>);
      expect(sent).toEqual(eventsIn(delivery));
    }
    const sequences = kept(receiver.at('/all')).map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort());
    const exported = await desk.admin.get(`/v1/audit/events?keyId=${keyId}&order=oldest`);
    const ids = exported.body.items.map(({ id }: { id: string }) => id);
    expect(kept(receiver.at('/all')).filter(({ id }) => ids.includes(id))).toHaveLength(ids.length);
  });

  it('loses nothing while its receiver is down, and holds up no other', async () => {
    down = true;
    await trailTo('/down', 'system');
    const keyId = await life(keyspaceId, async () => {
      await eventually('it was tried in vain', () => receiver.at('/down').length > 1);
    });
    await eventually('the other channel has it all', () => expect(typesOf('/all', keyId)).toEqual(LIFE));
    const inVain = receiver.at('/down').length;
    down = false;
    const taken = (): Delivery[] => receiver.at('/down').slice(inVain);
    await eventually('everything came', () => {
      const types = kept(taken()).filter(({ subject }) => subject === keyId);
      expect(types.map(({ type }) => type).filter((type) => LIFE.includes(type))).toEqual(LIFE);
    });
  });

  it('goes on where it was when it was disabled for a while, and from its registration when Redis lost its cursor', async () => {
    const channel = await trailTo('/cursor', { keyspaceId });
    const first = await life(keyspaceId);
    await eventually('the first came', () => expect(typesOf('/cursor', first)).toEqual(LIFE));
    const path = `/v1/channels/${channel.channelId}`;
    expect((await desk.admin.patch(path, { enabled: false })).status).toBe(200);
    const second = await life(keyspaceId);
    expect((await desk.admin.patch(path, { enabled: true })).status).toBe(200);
    await eventually('the second came', () => expect(typesOf('/cursor', second)).toEqual(LIFE));
    expect(receiver.at('/cursor').flatMap(eventsIn)).toEqual(kept(receiver.at('/cursor')));

    expect((await desk.admin.patch(path, { enabled: false })).status).toBe(200);
    const redis = connectRedis(system.redis.url);
    const cursor = redisNames.checkpoint(`siem:${channel.channelId}`);
    await eventually('the way has ended', async () => (await redis.get(`${cursor}:holder`)) === null);
    expect(await redis.del(cursor)).toBe(1);
    redis.disconnect();
    const before = receiver.at('/cursor').length;
    expect((await desk.admin.patch(path, { enabled: true })).status).toBe(200);
    await eventually('all came again', () => {
      const again = kept(receiver.at('/cursor').slice(before)).filter(({ subject }) =>
        [first, second].includes(subject),
      );
      expect(again.map(({ type }) => type).filter((type) => LIFE.includes(type))).toEqual([...LIFE, ...LIFE]);
    });
  });

  it('hears of its keyspace only', async () => {
    const other = await desk.keyspace();
    await trailTo('/bound', { keyspaceId: other });
    await life(keyspaceId);
    const own = await life(other);
    await eventually('its trail came', () => expect(typesOf('/bound', own)).toEqual(LIFE));
    const tenants = new Set(kept(receiver.at('/bound')).map(({ data }) => data.metadata.tenant_uid));
    expect([...tenants]).toEqual([other]);
  });

  it('never carries what is kept encrypted of people, neither readable nor as it is stored', async () => {
    const onBehalfOf = { 'x-keyledger-on-behalf-of': 'jane@example.com' };
    const { keyId } = await desk.issue(keyspaceId);
    const suspended = await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'looked at' }, onBehalfOf);
    expect(suspended.status).toBe(200);
    await eventually('it came', () => typesOf('/all', keyId).includes('keyledger.KeySuspended'));
    const texts = receiver.at('/all').map(({ text }) => text);
    expect(texts.join('\n')).not.toMatch(/jane@example\.com|pii:v1:/);
    expect(texts.some((text) => text.includes('"on_behalf_of":"[withheld]"'))).toBe(true);
  });

  it('is sent each event once where several workers run', async () => {
    const second = await startApp('worker', system.env);
    try {
      await trailTo('/shared', { keyspaceId });
      const lives = await Promise.all([life(keyspaceId), life(keyspaceId), life(keyspaceId)]);
      for (const keyId of lives) {
        await eventually('its trail came', () => expect(typesOf('/shared', keyId)).toEqual(LIFE));
      }
      const ids = receiver
        .at('/shared')
        .flatMap(eventsIn)
        .map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
    } finally {
      await second.stop();
    }
  });

  it('sends what has gathered in requests of 100 events and 256 KiB at most, in order and each once', async () => {
    const path = `/v1/channels/${(await trailTo('/many', { keyspaceId })).channelId}`;
    expect((await desk.admin.patch(path, { enabled: false })).status).toBe(200);
    const owner = { id: 'app_many', type: 'service' };
    const imported = async (amount: number, metadata: object): Promise<string[]> => {
      const keys = Array.from({ length: amount }, (_, index) => {
        const sha256 = randomBytes(32).toString('hex');
        return { sha256, environment: 'live', name: `many ${index}`, owner, scopes: ['a:b'], metadata };
      });
      const { body } = await desk.admin.post('/v1/keys/import', { keyspaceId, keys });
      return body.results.map(({ keyId }: { keyId: string }) => keyId);
    };
    const small = await imported(220, {});
    const large = await imported(80, Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, name.repeat(1000)])));
    expect((await desk.admin.patch(path, { enabled: true })).status).toBe(200);
    const isImport = ({ type }: Pushed) => type === 'keyledger.KeyImported';
    const came = () => receiver.at('/many').flatMap(eventsIn).filter(isImport);
    await eventually('all came', () => came().length >= small.length + large.length);
    expect(came().map(({ subject }) => subject)).toHaveLength(300);
    expect(new Set(came().map(({ subject }) => subject))).toEqual(new Set([...small, ...large]));
    const sequences = came().map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.toSorted());
    const requests = receiver.at('/many').map((one) => ({ events: eventsIn(one).length, bytes: one.text.length }));
    // How full they are hangs on how the log is read; that they are not each event's own does not.
    const most = Math.max(...requests.map(({ events }) => events));
    expect(most).toBeLessThanOrEqual(100);
    expect(most).toBeGreaterThan(50);
    const largest = Math.max(...requests.map(({ bytes }) => bytes));
    expect(largest).toBeLessThanOrEqual(256 * 1024);
    expect(largest).toBeGreaterThan(128 * 1024);
  });

  it('waits as long as its receiver says in Retry-After, and sends the same events again, first and in order', async () => {
    const path = `/v1/channels/${(await trailTo('/busy', { keyspaceId })).channelId}`;
    // All of a life is there before the first request goes out: with the next one may come what has happened since.
    expect((await desk.admin.patch(path, { enabled: false })).status).toBe(200);
    const keyId = await life(keyspaceId);
    expect((await desk.admin.patch(path, { enabled: true })).status).toBe(200);
    await eventually('its trail came', () => expect(typesOf('/busy', keyId)).toEqual(LIFE));
    const [first] = receiver.at('/busy');
    const refused = eventsIn(first as Delivery);
    // It may be cut into other requests: what the store brings together is not up to us.
    const again = (): Pushed[] => receiver.at('/busy').slice(1).flatMap(eventsIn);
    await eventually('it was sent again', () => again().length >= refused.length);
    expect(again().slice(0, refused.length)).toEqual(refused);
    expect(Number(busyAt[1]) - Number(busyAt[0])).toBeGreaterThanOrEqual(BUSY_SECONDS * 1000);
  });

  it('goes on in another worker without a gap after the one that pushed was killed, and only with what was not taken', async () => {
    const channel = await trailTo('/killed', { keyspaceId });
    const taken = await life(keyspaceId);
    await eventually('its trail came', () => expect(typesOf('/killed', taken)).toEqual(LIFE));
    const before = receiver.at('/killed').length;
    hanging = true;
    const inFlight = await life(keyspaceId);
    await eventually('a request hangs', () => receiver.at('/killed').length > before);
    const second = await startApp('worker', system.env);
    try {
      await system.worker.kill();
      hanging = false;
      const redis = connectRedis(system.redis.url);
      const holder = `${redisNames.checkpoint(`siem:${channel.channelId}`)}:holder`;
      // Whoever was killed holds the channel for 30 s at most; they pass here sooner.
      const left = await eventually('Redis answers', () => redis.pttl(holder));
      expect(left).toBeGreaterThan(0);
      expect(left).toBeLessThanOrEqual(30_000);
      await redis.pexpire(holder, 1);
      redis.disconnect();
      const again = (): Pushed[] =>
        receiver
          .at('/killed')
          .slice(before + 1)
          .flatMap(eventsIn);
      await eventually('the rest came', () => {
        const types = again().filter(({ subject }) => subject === inFlight);
        expect(types.map(({ type }) => type).filter((type) => LIFE.includes(type))).toEqual(LIFE);
      });
      expect(again().filter(({ subject }) => subject === taken && !/Usage/.test(subject))).toEqual([]);
    } finally {
      await second.stop();
      await system.worker.start();
    }
  });

  it('is disabled by 410', async () => {
    const { channelId } = await trailTo('/gone', 'system');
    await desk.issue(keyspaceId);
    await eventually('it is disabled', async () => {
      const { body } = await desk.admin.get(`/v1/channels/${channelId}`);
      expect(body).toMatchObject({ enabled: false, disabledBecause: 'answered 410' });
    });
  });

  it('is for whoever may export the trail of its audience', async () => {
    const target = { url: `${receiver.url}/own`, format: 'cloudevents' };
    const request = { name: 'x', type: 'webhook', audience: { keyspaceId }, target };
    const ask = async (...scopes: string[]) =>
      (await desk.as(await desk.credential(...scopes)).post('/v1/channels', request)).status;
    expect(await ask(`channels:write@${keyspaceId}`)).toBe(403);
    expect(await ask('channels:write', `audit:export@${await desk.keyspace()}`)).toBe(403);
    expect(await ask(`channels:write@${keyspaceId}`, `audit:export@${keyspaceId}`)).toBe(201);
  });

  it('refuses what makes no sense for it, naming the field', async () => {
    const target = { url: `${receiver.url}/x`, format: 'cloudevents' };
    const right = { name: 'x', type: 'webhook', audience: 'system', target };
    const fields = async (body: object) =>
      (await desk.admin.post('/v1/channels', body)).body.errors?.map(({ field }: { field: string }) => field);
    expect(await fields({ ...right, target: { ...target, format: 'xml' } })).toEqual(['target.format']);
    expect(await fields({ ...right, kinds: ['key.leaked'] })).toEqual(['kinds']);
    expect(await fields({ ...right, audience: { ownerId: 'x' } })).toEqual(['audience.ownerId']);
    const made = await trailTo('/untested', { keyspaceId });
    expect((await desk.admin.post(`/v1/channels/${made.channelId}/test`, {})).status).toBe(422);
  });
});
