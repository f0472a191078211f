import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { eventually, MISBEHAVIOURS, type Client, type Receiver, type System } from '../support/index.js';
import type { Desk } from './api.harness.js';
import {
  arrival,
  outcome,
  recordedWarnings,
  startToldSystem,
  toldWarnings,
  verified,
  webhook,
} from './channels.harness.js';
import { Ledger } from './clock.desk.js';

let system: System;
let desk: Desk;
let receiver: Receiver;
let keyspaceId: string;
let stop: () => Promise<void>;

beforeAll(async () => {
  ({ system, desk, receiver, keyspaceId, stop } = await startToldSystem(
    {
      gone: (response) => response.writeHead(410).end(),
      broken: (response) => response.writeHead(500).end('no'),
      elsewhere: (response) => response.writeHead(307, { location: `${receiver.url}/landed` }).end(),
      huge: MISBEHAVIOURS.endless,
      reset: MISBEHAVIOURS.half,
      once: (response, { path }) => response.writeHead(receiver.at(path).length > 1 ? 204 : 503).end(),
    },
    { KEYLEDGER_NOTIFICATION_RETRIES: 'PT1S,PT1S' },
  ));
});

afterAll(() => stop());

describe('a webhook', () => {
  it('is told of what happens to the keys of its audience and of nothing else, signed, with ids and masks only', async () => {
    const other = await desk.keyspace();
    const url = `${receiver.url}/mine`;
    const kinds = ['key.issued', 'key.revoked'];
    const channel = await webhook(desk.admin, url, { audience: { keyspaceId, ownerId: 'app_checkout' }, kinds });
    expect(channel.signingSecret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    await desk.issue(other);
    await desk.issue(keyspaceId, { owner: { id: 'somebody', type: 'service' } });
    const key = await desk.issue(keyspaceId);
    await desk.admin.post(`/v1/keys/${key.keyId}/suspend`, { reason: 'not asked for' });
    await desk.admin.post(`/v1/keys/${key.keyId}/revoke`, { reason: 'superseded', comment: 'private words' });

    const delivery = await arrival(receiver, '/mine', ({ type }) => type === 'key.revoked');
    const payload = verified(delivery, channel.signingSecret);
    expect(payload).toEqual({
      type: 'key.revoked',
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      data: {
        notificationId: delivery.headers['webhook-id'],
        channelId: channel.channelId,
        count: 1,
        events: [
          {
            eventId: expect.any(String),
            happenedAt: payload.timestamp,
            keyspaceId,
            ownerId: 'app_checkout',
            keys: [{ keyId: key.keyId, name: key.name, environment: 'live', secretId: key.secretId, mask: key.mask }],
            details: { reason: 'superseded', requestedAt: expect.any(String) },
          },
        ],
      },
    });
    expect(
      receiver
        .at('/mine')
        .map(({ text }) => JSON.parse(text).type)
        .toSorted(),
    ).toEqual(['key.issued', 'key.revoked']);
    for (const { text } of receiver.at('/mine')) expect(text).not.toContain(key.key);
    await eventually('both are listed as delivered', async () => {
      const { body } = await desk.admin.get(`/v1/notifications?state=delivered&channelId=${channel.channelId}`);
      const seen = body.items.map(({ kind, outcome: answer }: Record<string, string>) => [kind, answer]);
      // Asked for in one step they have one instant, and then no order.
      expect(seen.toSorted()).toEqual([
        ['key.issued', '204'],
        ['key.revoked', '204'],
      ]);
    });
  });

  it('is not told of what happened before it was registered', async () => {
    const owner = { id: 'late', type: 'service' };
    const before = await desk.issue(keyspaceId, { owner });
    await webhook(desk.admin, `${receiver.url}/late`, { audience: { ownerId: 'late' } });
    const after = await desk.issue(keyspaceId, { owner });
    await arrival(receiver, '/late', ({ data }) => data.events[0].keys[0].keyId === after.keyId);
    expect(receiver.at('/late').some(({ text }) => text.includes(before.keyId))).toBe(false);
  });

  it('is signed by both secrets until the overlap of a rotation ends, and then by the new one alone', async () => {
    const channel = await webhook(desk.admin, `${receiver.url}/signed`, { kinds: ['keyspace.changed'] });
    const path = `/v1/channels/${channel.channelId}`;
    const rotated = await desk.admin.post(`${path}/rotate-secret`, {});
    expect(rotated.status).toBe(200);
    const test = async () => {
      const { body } = await desk.admin.post(`${path}/test`, {});
      await outcome(desk.admin, body.notificationId, 'delivered');
      return arrival(receiver, '/signed', ({ data }) => data.notificationId === body.notificationId);
    };
    const both = await test();
    expect(String(both.headers['webhook-signature']).split(' ')).toHaveLength(2);
    expect(verified(both, channel.signingSecret).type).toBe('channel.test');
    expect(verified(both, rotated.body.signingSecret).type).toBe('channel.test');
    const last = await desk.admin.post(`${path}/rotate-secret`, { overlap: 'PT0S' });
    const alone = await test();
    expect(verified(alone, last.body.signingSecret).type).toBe('channel.test');
    expect(() => verified(alone, rotated.body.signingSecret)).toThrow();
  });

  it('is signed as the vector of the reference library says', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
    const body = '{"test": 2432232314}';
    const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
    expect(new Webhook(secret).sign(id, new Date(1_614_265_330_000), body)).toBe(signature);
    const key = Buffer.from(secret.slice(6), 'base64');
    expect(createHmac('sha256', key).update(`${id}.1614265330.${body}`).digest('base64')).toBe(signature.slice(3));
  });

  it('gets the same webhook-id at every try, with the time of the try', async () => {
    const channel = await webhook(desk.admin, `${receiver.url}/once/1`, { audience: { ownerId: 'retried' } });
    await desk.issue(keyspaceId, { owner: { id: 'retried', type: 'service' } });
    await eventually('it came twice', () => receiver.at('/once/1').length === 2);
    const [first, second] = receiver.at('/once/1');
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
    expect(Number(second?.headers['webhook-timestamp'])).toBeGreaterThan(Number(first?.headers['webhook-timestamp']));
    expect(verified(second as never, channel.signingSecret).data).toEqual(
      verified(first as never, channel.signingSecret).data,
    );
    const done = await outcome(desk.admin, String(first?.headers['webhook-id']), 'delivered');
    expect(done.attempts).toBe(2);
  });

  it('that answers 410 is disabled, and told nothing until somebody enables it', async () => {
    const channel = await webhook(desk.admin, `${receiver.url}/gone`, { audience: { ownerId: 'gone' } });
    const path = `/v1/channels/${channel.channelId}`;
    await desk.issue(keyspaceId, { owner: { id: 'gone', type: 'service' } });
    const disabled = await eventually('it is disabled', async () => {
      const { body } = await desk.admin.get(path);
      return body.enabled === false && body;
    });
    expect(disabled.disabledBecause).toBe('answered 410');
    await desk.issue(keyspaceId, { owner: { id: 'gone', type: 'service' } });
    const enabled = await desk.admin.patch(path, { enabled: true, target: { url: `${receiver.url}/back` } });
    expect(enabled.body.enabled).toBe(true);
    const third = await desk.issue(keyspaceId, { owner: { id: 'gone', type: 'service' } });
    const told = await arrival(receiver, '/back');
    expect(JSON.parse(told.text).data.events.map((one: { keys: { keyId: string }[] }) => one.keys[0]?.keyId)).toEqual([
      third.keyId,
    ]);
    expect(receiver.at('/gone')).toHaveLength(1);
  });
});

describe('a receiver that lies', () => {
  const tested = async (url: string, state: string) => {
    const channel = await webhook(desk.admin, url, { kinds: ['audit.mismatch'] });
    const { body } = await desk.admin.post(`/v1/channels/${channel.channelId}/test`, {});
    return outcome(desk.admin, body.notificationId, state);
  };

  it.each([
    ['/elsewhere', 'answered 307'],
    ['/reset', 'in the middle of its answer'],
    ['/broken', 'answered 500'],
  ])('%s is no success: %s', async (path, problem) => {
    expect((await tested(`${receiver.url}${path}`, 'failed')).outcome).toContain(problem);
    expect(receiver.at('/landed')).toEqual([]);
  });

  it('with an answer without end is cut off, and its 200 counts', async () => {
    expect((await tested(`${receiver.url}/huge`, 'delivered')).outcome).toBe('200');
  });
});

describe('where messages may go', () => {
  it.each([
    ['a private address', () => 'http://10.1.2.3/'],
    ['the metadata address of clouds', () => 'http://169.254.169.254/latest/meta-data'],
    ['loopback as IPv6, of which nothing is allowed', () => 'http://[::1]:9/'],
    ['our own Redis, written as a number', () => `http://2130706433:${system.redis.port}/`],
  ])('%s is refused', async (_what, url) => {
    const channel = await webhook(desk.admin, url(), { kinds: ['audit.mismatch'] });
    const { body } = await desk.admin.post(`/v1/channels/${channel.channelId}/test`, {});
    expect((await outcome(desk.admin, body.notificationId, 'failed')).outcome).toContain('leads to');
  });
});

describe('dead letters', () => {
  it('are listed, and a replay sends them again under the same id', async () => {
    const channel = await webhook(desk.admin, `${receiver.url}/broken/2`, { audience: { ownerId: 'dead' } });
    await desk.issue(keyspaceId, { owner: { id: 'dead', type: 'service' } });
    const dead = await eventually('it is a dead letter', async () => {
      const { body } = await desk.admin.get(`/v1/notifications?channelId=${channel.channelId}`);
      return body.items[0] ?? false;
    });
    expect(dead).toMatchObject({ state: 'failed', attempts: 3, outcome: 'answered 500', kind: 'key.issued', count: 1 });
    await desk.admin.patch(`/v1/channels/${channel.channelId}`, { target: { url: `${receiver.url}/mended` } });
    const replayed = await desk.admin.post(`/v1/notifications/${dead.notificationId}/replay`, {});
    expect([replayed.status, replayed.body.state]).toEqual([202, 'pending']);
    const delivery = await arrival(receiver, '/mended');
    expect(delivery.headers['webhook-id']).toBe(dead.notificationId);
    await outcome(desk.admin, dead.notificationId, 'delivered');
    const again = await desk.admin.post(`/v1/notifications/${dead.notificationId}/replay`, {});
    expect([again.status, again.body.code]).toEqual([409, 'CONFLICT']);
  });
});

describe('quiet rules', () => {
  it('a key is warned of once a kind and day however many causes there are, and another key all the same', async () => {
    const ledger = new Ledger(system.eventStore.url);
    const policy = { expiryWarnings: ['PT59M59S'], defaultGrace: 'PT2S' };
    const own = await desk.keyspace(policy);
    const kinds = ['key.expiring', 'key.grace_ending'];
    await webhook(desk.admin, `${receiver.url}/warned`, { audience: { keyspaceId: own }, kinds });
    const warnings = async (keyId: string, kind: string, count: number) => {
      await eventually(`there are ${count} of ${kind} on record`, async () => {
        const found = (await recordedWarnings(ledger, keyId)).filter((one) => one.startsWith(kind));
        return found.length >= count;
      });
    };

    const { keyId } = await desk.issue(own, { lifetime: 'PT1H' });
    await warnings(keyId, 'key.expiring', 1);
    // A second offset, and a second and a third secret, are further causes to say that the key ends.
    await desk.admin.patch(`/v1/keyspaces/${own}`, { policy: { expiryWarnings: ['PT59M59S', 'PT59M58S'] } });
    await warnings(keyId, 'key.expiring', 2);
    for (const rotations of [1, 2]) {
      const rotated = await desk.admin.post(`/v1/keys/${keyId}/rotate`, {});
      expect(rotated.status).toBe(200);
      await warnings(keyId, 'key.expiring', 2 + rotations);
      await eventually('the grace is over', async () => {
        const ended = (await ledger.types(keyId)).filter((type) => type === 'KeyGraceEnded');
        return ended.length === rotations;
      });
    }
    const other = await desk.issue(own, { lifetime: 'PT1H' });
    await warnings(other.keyId, 'key.expiring', 1);
    const recorded = [...(await recordedWarnings(ledger, keyId)), ...(await recordedWarnings(ledger, other.keyId))];
    await ledger.dispose();

    await arrival(receiver, '/warned', ({ data }) => data.events[0].keys[0].keyId === other.keyId);
    await eventually('nothing waits to be sent', async () => {
      return (await desk.admin.get('/v1/notifications?state=pending')).body.items.length === 0;
    });
    const once = new Set(recorded);
    expect(toldWarnings(receiver, '/warned').toSorted()).toEqual([...once].toSorted());
    // Four of one kind and two or more of the other for the first key, whatever midnight comes between.
    expect(recorded.length - once.size).toBeGreaterThanOrEqual(2);
  });

  it('one bulk action is one message', async () => {
    const channel = await webhook(desk.admin, `${receiver.url}/bulk`, {
      kinds: ['key.revoked'],
      audience: { ownerId: 'bulk' },
    });
    const owner = { id: 'bulk', type: 'service' };
    for (let n = 0; n < 8; n++) await desk.issue(keyspaceId, { owner });
    const revoked = await desk.admin.post('/v1/keys/revoke', { ownerId: 'bulk', reason: 'offboarding' });
    expect(revoked.status).toBe(200);
    const delivery = await arrival(receiver, '/bulk');
    const { data } = verified(delivery, channel.signingSecret);
    expect([data.count, data.events.length]).toEqual([8, 8]);
    await outcome(desk.admin, data.notificationId, 'delivered');
    expect(receiver.at('/bulk')).toHaveLength(1);
  });
});

describe('who may', () => {
  it('is bound to the keyspaces of the credential', async () => {
    const bound = desk.as(await desk.credential(`channels:*@${keyspaceId}`));
    const url = `${receiver.url}/bound`;
    const own = await webhook(bound, url, { audience: { keyspaceId } });
    const foreign = await webhook(desk.admin, url, { audience: 'system', kinds: ['audit.mismatch'] });
    for (const audience of ['system', { ownerId: 'x' }]) {
      const { status } = await bound.post('/v1/channels', { name: 'x', type: 'webhook', audience, target: { url } });
      expect(status).toBe(403);
    }
    expect((await bound.get(`/v1/channels/${foreign.channelId}`)).status).toBe(404);
    expect((await bound.delete(`/v1/channels/${foreign.channelId}`)).status).toBe(404);
    const { items } = (await bound.get('/v1/channels')).body;
    expect(items.every((one: { audience: { keyspaceId: string } }) => one.audience.keyspaceId === keyspaceId)).toBe(
      true,
    );
    expect((await bound.delete(`/v1/channels/${own.channelId}`)).status).toBe(204);
    expect((await bound.get(`/v1/channels/${own.channelId}`)).status).toBe(404);
  });

  it('names where new secrets go only if he may rotate those keys, and holds all that management keys can', async () => {
    const publicKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
    const target = { publicKey, via: 'pickup' };
    const own = { keyspaceId, ownerId: 'received' };
    const register = (as: Client, audience: object) =>
      as.post('/v1/channels', { name: 'x', type: 'receiver', audience, target });
    const writer = desk.as(await desk.credential('channels:write'));
    const rotator = desk.as(await desk.credential('channels:write', 'keys:rotate'));
    const elsewhere = desk.as(await desk.credential('channels:write', 'keys:rotate@system'));
    for (const [as, audience, missing] of [
      [writer, own, 'keys:rotate'],
      [writer, { ownerId: 'received' }, 'keys:rotate'],
      [elsewhere, own, 'keys:rotate'],
      [rotator, { keyspaceId: 'system', ownerId: 'platform' }, 'keyspaces:*'],
    ] as const) {
      const { status, body } = await register(as, audience);
      expect({ status, detail: body.detail }).toEqual({ status: 403, detail: expect.stringContaining(missing) });
    }
    expect((await register(rotator, own)).status).toBe(201);
    const ofSystem = await register(desk.admin, { keyspaceId: 'system', ownerId: 'platform' });
    expect(ofSystem.status).toBe(201);

    const path = `/v1/channels/${ofSystem.body.channelId}`;
    for (const change of [{ target }, { enabled: true }]) {
      expect((await rotator.patch(path, change)).status).toBe(403);
    }
    expect((await rotator.patch(path, { name: 'renamed' })).status).toBe(200);
  });

  it('sees a signing secret once, and of a Slack address its host only', async () => {
    const headers = { 'idempotency-key': `"${keyspaceId}-once"` };
    const request = {
      name: 'x',
      type: 'webhook',
      audience: { keyspaceId },
      target: { url: 'https://a.example/' },
      kinds: ['audit.mismatch'],
    };
    const made = await desk.admin.post('/v1/channels', request, headers);
    const again = await desk.admin.post('/v1/channels', request, headers);
    expect(again.body).toEqual(made.body);
    const shown = await desk.admin.get(`/v1/channels/${made.body.channelId}`);
    expect(JSON.stringify(shown.body)).not.toContain('whsec_');
    const slack = await desk.admin.post('/v1/channels', {
      name: 'x',
      type: 'slack',
      audience: { keyspaceId },
      kinds: ['audit.mismatch'],
      target: { url: 'https://hooks.slack.example/services/T0/B0/credential' },
    });
    expect(slack.body.target).toEqual({ url: 'https://hooks.slack.example/…' });
  });

  it('hears which field is wrong', async () => {
    const fields = async (body: object) =>
      (await desk.admin.post('/v1/channels', body)).body.errors?.map(({ field }: { field: string }) => field);
    const right = { name: 'x', type: 'webhook', audience: 'system', target: { url: 'https://a.example/' } };
    expect(await fields({ ...right, audience: {} })).toEqual(['audience']);
    expect(await fields({ ...right, audience: { team: 'x' } })).toEqual(['audience']);
    expect(await fields({ ...right, audience: { keyspaceId: 'nowhere' } })).toEqual(['audience.keyspaceId']);
    expect(await fields({ ...right, target: { url: 'ftp://a.example' } })).toEqual(['target.url']);
    expect(await fields({ ...right, target: { uri: 'x' } })).toEqual(['target.uri']);
    expect(await fields({ ...right, type: 'pigeon' })).toEqual(['type']);
    expect(await fields({ ...right, kinds: ['key.lost'] })).toEqual(['kinds']);
    expect(await fields({ ...right, secret: 'whsec_mine' })).toEqual(['secret']);
    const key = { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) };
    const receiving = {
      ...right,
      type: 'receiver',
      audience: { ownerId: 'o' },
      target: { publicKey: key, via: 'pickup' },
    };
    expect(await fields(receiving)).toEqual(['target.publicKey']);
  });
});
