import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connectRedis } from '@keyledger/read-model';
import { randomUUID } from 'node:crypto';
import { eventually, type Answer, type Behaviour, type Client, type Receiver, type System } from '../support/index.js';
import type { Desk } from './api.harness.js';
import { startToldSystem } from './channels.harness.js';
import { REPEATABLE, type Repeatable } from './repeatable.routes.js';

let system: System;
let desk: Desk;
let receiver: Receiver;
let stop: () => Promise<void>;

beforeAll(async () => {
  const broken: Behaviour = (response) => response.writeHead(500).end();
  ({ system, desk, receiver, stop } = await startToldSystem({ broken }, { KEYLEDGER_NOTIFICATION_RETRIES: 'PT1S' }));
});

afterAll(() => stop());

const once = () => ({ 'idempotency-key': randomUUID() });
const routes = Object.keys(REPEATABLE);

function prepared(route: string): Promise<Repeatable> {
  const prepare = REPEATABLE[route];
  if (!prepare) throw new Error(`nobody knows how to ask for ${route}`);
  return prepare(desk, receiver);
}

interface Sent extends Repeatable {
  headers: Record<string, string>;
  sender: Client;
  first: Answer;
}
const sent = new Map<string, Sent>();

/** The end of the log, as far as requests move it. */
const end = async ({ stream }: Repeatable) => [await desk.head(), stream && (await desk.events(stream)).length];
const answerOf = ({ status, body, headers }: Answer) => [status, body, headers.get('etag'), headers.get('location')];

/** The same again is the same answer, another body is refused, and neither appends anything. */
async function expectSame(one: Sent, first: unknown, answer: (again: Answer) => unknown = answerOf): Promise<void> {
  const { sender, path, body, other, headers } = one;
  const before = await end(one);
  const again = await sender.post(path, body, headers);
  expect(answer(again)).toEqual(first);
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  if (other) {
    const reused = await sender.post(path, other, headers);
    expect([reused.status, reused.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
  }
  expect(await end(one)).toEqual(before);
}

describe('of every route that takes an Idempotency-Key', () => {
  it('there is a request here', async () => {
    const { paths } = (await desk.admin.get('/openapi.json')).body as { paths: Record<string, Record<string, Taking>> };
    const taking = Object.entries(paths).filter(([, { post }]) =>
      post?.parameters?.some(({ name }) => name === 'Idempotency-Key'),
    );
    expect(taking.map(([path]) => path).toSorted()).toEqual(routes.toSorted());
  });

  it.each(routes)(
    '%s: repeated after other changes it gives its first answer, and with another body 422',
    async (route) => {
      const request = await prepared(route);
      const headers = once();
      const sender = request.client ?? desk.admin;
      const first = await sender.post(request.path, request.body, headers);
      expect([200, 201, 202]).toContain(first.status);
      expect(first.headers.get('idempotent-replayed')).toBeNull();
      await request.change?.(first);
      const one = { ...request, headers, sender, first };
      sent.set(route, one);
      await expectSame(one, answerOf(first));
    },
  );

  it('and the same holds where Redis was emptied in between, but for secrets', async () => {
    expect([...sent.keys()]).toEqual(routes);
    await desk.emptyRedis();
    for (const [route, one] of sent) {
      const told = (answer: Answer) => [route, ...answerOf({ ...answer, body: without(answer.body, one.onceOnly) })];
      await expectSame(one, told(one.first), told);
    }
  });
});

interface Taking {
  parameters?: { name: string }[];
}

function without(body: Record<string, unknown>, names: readonly string[] = []): object {
  return { ...Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name))), effective: true };
}

describe('a request that found nothing to change', () => {
  it.each([
    ['suspend', 'reinstate', 'suspended'],
    ['reinstate', 'suspend', 'active'],
  ])('to %s does nothing either when it is repeated after a %s', async (act, opposite, state) => {
    const { keyId } = await desk.issue(await desk.keyspace());
    if (act === 'suspend') await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'before' });
    const headers = once();
    const first = await desk.admin.post(`/v1/keys/${keyId}/${act}`, { reason: 'x' }, headers);
    expect([first.status, first.body.state]).toEqual([200, state]);
    await desk.admin.post(`/v1/keys/${keyId}/${opposite}`, { reason: 'somebody else' });
    const before = await desk.events(`key-${keyId}`);
    const again = await desk.admin.post(`/v1/keys/${keyId}/${act}`, { reason: 'x' }, headers);
    expect(answerOf(again)).toEqual(answerOf(first));
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const reused = await desk.admin.post(`/v1/keys/${keyId}/${act}`, { reason: 'y' }, headers);
    expect([reused.status, reused.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    expect(await desk.events(`key-${keyId}`)).toEqual(before);
  });

  it('is remembered for a day, and also after its credential was rotated', async () => {
    const { keyId } = await desk.issue(await desk.keyspace());
    const credential = await desk.issue('system', { scopes: ['keys:update'], lifetime: 'P1D' });
    const headers = once();
    const path = `/v1/keys/${keyId}/reinstate`;
    const first = await desk.as(credential.key).post(path, { reason: 'x' }, headers);
    const redis = connectRedis(system.redis.url);
    await eventually('Redis takes commands', async () => (await redis.ping()) === 'PONG');
    const kept = await redis.keys('kl:i:*:sealed');
    const longest = Math.max(...(await Promise.all(kept.map((name) => redis.pttl(name)))));
    expect(longest).toBeGreaterThan(80_000_000);
    redis.disconnect();
    const rotated = await desk.admin.post(`/v1/keys/${credential.keyId}/rotate`, {});
    await desk.admin.post(`/v1/keys/${keyId}/suspend`, { reason: 'somebody else' });
    const again = await desk.as(rotated.body.key).post(path, { reason: 'x' }, headers);
    expect(answerOf(again)).toEqual(answerOf(first));
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeySuspended']);
  });
});
