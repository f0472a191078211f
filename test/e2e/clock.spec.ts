import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import {
  eventually,
  http,
  startReceiver,
  startSystem,
  type Delivery,
  type Receiver,
  type System,
} from '../support/index.js';
import { Desk } from './api.harness.js';
import { Holder, Ledger, RECEIVER_ENV, ReceiverKeys, secretIn, SIGNING_SECRET } from './clock.desk.js';

let system: System;
let desk: Desk;
let ledger: Ledger;

beforeAll(async () => {
  system = await startSystem(RECEIVER_ENV);
  desk = new Desk(system);
  ledger = new Ledger(system.eventStore.url);
});

afterAll(async () => {
  await ledger.dispose();
  await desk.dispose();
  await system.stop();
});

const owned = (ownerId: string, more: object = {}) => ({ owner: { id: ownerId, type: 'service' }, ...more });
const grace = { defaultGrace: 'PT2S' };

describe('expiry', () => {
  it('is warned of at its offsets, most urgent only, and recorded by the clock at its time', async () => {
    const keyspaceId = await desk.keyspace({ expiryWarnings: ['PT2S', 'PT1S'] });
    const { keyId, expiresAt } = await desk.issue(keyspaceId, { lifetime: 'PT4S' });
    await eventually('the expiry is on record', async () => (await ledger.types(keyId)).includes('KeyExpired'));
    const events = await ledger.key(keyId);
    expect(events.map(({ event }) => event.type)).toEqual([
      'KeyIssued',
      'KeyExpiryAnnounced',
      'KeyExpiryAnnounced',
      'KeyExpired',
    ]);
    const end = events.at(-1);
    expect(end?.event.data).toMatchObject({ expiresAt });
    expect(end?.metadata).toMatchObject({
      actor: { type: 'clock', id: 'worker' },
      reason: 'the key has expired',
    });
    const { recordedAt } = end?.event.data as { recordedAt: string };
    expect(recordedAt >= expiresAt).toBe(true);
  });

  it('of a key is moved by its keyspace: a new warning concerns keys that exist', async () => {
    const keyspaceId = await desk.keyspace({ expiryWarnings: [] });
    const { keyId } = await desk.issue(keyspaceId, { lifetime: 'PT1H' });
    await desk.admin.patch(`/v1/keyspaces/${keyspaceId}`, { policy: { expiryWarnings: ['PT59M58S'] } });
    await eventually('the owner is warned', async () => (await ledger.types(keyId)).includes('KeyExpiryAnnounced'));
  });
});

describe('a grace', () => {
  it('is warned of twice and its end is recorded with the evidence', async () => {
    const keyspaceId = await desk.keyspace(grace);
    const { keyId, secretId } = await desk.issue(keyspaceId);
    await desk.admin.post(`/v1/keys/${keyId}/rotate`, {});
    await eventually('the grace is over', async () => (await ledger.types(keyId)).includes('KeyGraceEnded'));
    const events = (await ledger.key(keyId)).map(({ event }) => event);
    expect(events.map(({ type }) => type)).toEqual([
      'KeyIssued',
      'KeyRotated',
      'KeyExpiryAnnounced',
      'KeyExpiryAnnounced',
      'KeyGraceEnded',
    ]);
    expect(events.at(-1)?.data).toMatchObject({ secretId, cause: 'deadline', evidence: [{ count: 0 }, { count: 0 }] });
  });
});

describe('rotation by policy', () => {
  it('with nobody who takes the secret is told to the owner, and begins once a receiver is there', async () => {
    const keyspaceId = await desk.keyspace({ rotation: { every: 'PT2S', grace: 'PT1S', mode: 'automatic' } });
    const ownerId = `late-${keyspaceId}`;
    const { keyId } = await desk.issue(keyspaceId, owned(ownerId));
    await eventually('it is announced', async () => (await ledger.types(keyId)).includes('KeyRotationAnnounced'));
    const announced = (await ledger.key(keyId)).find(({ event }) => event.type === 'KeyRotationAnnounced');
    expect(announced?.event.data).toMatchObject({ fallback: 'no-receiver' });

    const keys = await ReceiverKeys.make();
    await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'pickup' });
    await eventually('it is rotated', async () => (await ledger.types(keyId)).includes('KeyRotated'));
  });

  it('goes on by itself, signed and encrypted to the receiver, and refuses nobody', async () => {
    const keyspaceId = await desk.keyspace({ rotation: { every: 'PT4S', grace: 'PT3S', mode: 'automatic' } });
    const ownerId = `auto-${keyspaceId}`;
    const keys = await ReceiverKeys.make();
    const receiver: Receiver = await startReceiver({
      secrets: (response) => response.writeHead(receiver.deliveries.length === 1 ? 500 : 204).end(),
    });
    await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'webhook', url: `${receiver.url}/secrets` });
    const issued = await desk.issue(keyspaceId, owned(ownerId));

    const holder = new Holder(issued.key, keys, receiver, http(system.verifier.baseUrl, system.adminKey));
    await holder.useThrough(3, 60_000);
    await receiver.close();
    expect(holder.refused).toEqual([]);
    expect(holder.uses).toBeGreaterThan(20);
    const [first, second] = receiver.deliveries as [Delivery, Delivery];
    expect(new Webhook(SIGNING_SECRET).verify(first.text, first.headers as Record<string, string>)).toMatchObject({
      type: 'secret.ready',
      data: { keyId: issued.keyId },
    });
    // What was answered with 500 came again under the same id.
    expect(second.headers['webhook-id']).toBe(secretIn(first).deliveryId);
    const rotations = (await ledger.key(issued.keyId)).filter(({ event }) => event.type === 'KeyRotated');
    expect(rotations.every(({ metadata }) => metadata.actor.type === 'clock')).toBe(true);
  });

  it('that cannot be delivered leaves the old secret in force, longer if the policy says so', async () => {
    const keyspaceId = await desk.keyspace({
      rotation: { every: 'PT3S', grace: 'PT2S', mode: 'automatic' },
      failedDelivery: 'extend:PT1H',
    });
    const ownerId = `gone-${keyspaceId}`;
    const keys = await ReceiverKeys.make();
    const receiver = await startReceiver({ secrets: (response) => response.writeHead(410).end() });
    await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'webhook', url: `${receiver.url}/secrets` });
    const issued = await desk.issue(keyspaceId, owned(ownerId));
    await eventually('the grace is extended', async () =>
      (await ledger.types(issued.keyId)).includes('KeyGraceExtended'),
    );
    await receiver.close();
    expect(await desk.verdict(issued.key)).toBe('VALID');
    expect(receiver.deliveries).toHaveLength(1);
    const { deliveryId } = secretIn(receiver.deliveries[0] as Delivery);
    expect(await desk.events(`delivery-${deliveryId}`)).toEqual(['SecretDeliveryPrepared', 'SecretDeliveryFailed']);
  });
});

describe('picking a new secret up', () => {
  const keysOf = ReceiverKeys.make();

  /** A key that was rotated by policy, and the delivery that waits for its owner. */
  async function waiting() {
    const keyspaceId = await desk.keyspace({ rotation: { every: 'PT6S', grace: 'PT5S', mode: 'automatic' } });
    const ownerId = `pick-${keyspaceId}`;
    const keys = await keysOf;
    await ledger.receiver(ownerId, { publicKey: keys.publicJwk, via: 'pickup' });
    const issued = await desk.issue(keyspaceId, owned(ownerId));
    await eventually('it is rotated', async () => (await ledger.types(issued.keyId)).includes('KeyRotated'));
    const list = await desk.admin.get(`/v1/deliveries?keyId=${issued.keyId}`);
    return { keyspaceId, issued, keys, delivery: list.body.items[0] };
  }

  it('gives it to whoever holds the old one, once, even when many ask at the same time', async () => {
    const { issued, keys, delivery } = await waiting();
    expect(delivery).toMatchObject({ state: 'open', via: 'pickup', previousSecretId: issued.secretId });
    expect(JSON.stringify(delivery)).not.toContain('jwe');
    const path = `/v1/deliveries/${delivery.deliveryId}`;
    expect((await desk.as(issued.key).request('HEAD', path)).status).toBe(405);
    const answers = await Promise.all(Array.from({ length: 8 }, () => desk.as(issued.key).get(path)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 410, 410, 410, 410, 410, 410, 410]);
    const taken = answers.find(({ status }) => status === 200);
    expect(taken?.headers.get('cache-control')).toBe('no-store');
    const opened = await keys.open(taken?.body.jwe);
    expect(opened).toMatchObject({ keyId: issued.keyId, secretId: delivery.secretId });
    expect(await desk.verdict(opened.key)).toBe('VALID');
    expect(await desk.events(`delivery-${delivery.deliveryId}`)).toEqual(['SecretDeliveryPrepared', 'SecretDelivered']);
  });

  it('is for management keys that may rotate there, and for nobody else', async () => {
    const { keyspaceId, delivery } = await waiting();
    const other = await desk.keyspace();
    const stranger = await desk.issue(other);
    const path = `/v1/deliveries/${delivery.deliveryId}`;
    expect((await desk.as('kl_live_nobody').get(path)).status).toBe(401);
    expect((await desk.as(stranger.key).get(path)).status).toBe(404);
    expect((await desk.as(await desk.credential('keys:read')).get(path)).status).toBe(403);
    expect((await desk.as(await desk.credential(`keys:rotate@${other}`)).get(path)).status).toBe(404);
    expect((await desk.admin.get('/v1/deliveries/nothing')).status).toBe(404);
    expect((await desk.admin.get('/v1/deliveries')).body.errors).toMatchObject([{ field: 'keyId' }]);
    expect((await desk.as(await desk.credential(`keys:rotate@${keyspaceId}`)).get(path)).status).toBe(200);
  });
});
