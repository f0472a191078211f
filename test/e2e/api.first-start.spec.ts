import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN_SCOPES, streams, type KeyEvent } from '@keyledger/contracts';
import { EventStore } from '@keyledger/event-store';
import { idFrom, uuidFrom } from '@keyledger/platform';
import { randomBytes } from 'node:crypto';
import {
  claimPort,
  http,
  RealProcess,
  startApp,
  startEventStore,
  startRedis,
  type App,
  type EventStoreServer,
  type RedisServer,
} from '../support/index.js';

const MADE_KEY = streams.key(idFrom('the admin key of the first start'));

/** Redis, event store and worker: a system without an api. */
interface Ground {
  redis: RedisServer;
  eventStore: EventStoreServer;
  worker: App;
  env: NodeJS.ProcessEnv;
  store: EventStore;
  stop(): Promise<void>;
}

async function prepare(): Promise<Ground> {
  const [redis, eventStore] = await Promise.all([startRedis(), startEventStore()]);
  const env = { REDIS_URL: redis.url, EVENTSTORE_URL: eventStore.url };
  const worker = await startApp('worker', env);
  const store = new EventStore({ url: eventStore.url });
  const stop = async () => {
    await store.dispose();
    for (const server of [worker, eventStore, redis]) await server.stop();
  };
  return { redis, eventStore, worker, env, store, stop };
}

const typesIn = async (store: EventStore, stream: string) =>
  (await store.load(stream)).events.map(({ event }) => event.type);
const shownBy = (api: RealProcess) => api.message('admin-key')?.key as string | undefined;
const opens = async (api: App, key: string) => (await http(api.baseUrl, key).get('/v1/keyspaces')).status;

describe('on an empty system without KEYLEDGER_ADMIN_KEY', () => {
  let ground: Ground;
  let apis: App[];

  beforeAll(async () => {
    ground = await prepare();
    apis = await Promise.all([1, 2, 3].map(() => startApp('api', ground.env)));
  });

  afterAll(async () => {
    for (const api of apis) await api.stop();
    await ground.stop();
  });

  it('three processes at once make one admin key, and one of them shows it, once', async () => {
    const shown = apis.map(shownBy).filter((key) => key !== undefined);
    expect(shown).toEqual([expect.stringMatching(/^system_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/)]);
    const [key = ''] = shown;
    for (const api of apis) expect(await opens(api, key)).toBe(200);
    expect(await typesIn(ground.store, MADE_KEY)).toEqual(['KeyIssued']);
    expect(await typesIn(ground.store, streams.keyspace('system'))).toEqual(['KeyspaceCreated']);
    for (const api of apis) expect(api.logs()).not.toContain(key.slice(-49));

    const [api] = apis as [App];
    await api.restart();
    expect(shownBy(api)).toBeUndefined();
    expect(await opens(api, key)).toBe(200);
  });

  it('a start without a parent to tell shows nothing more either', async () => {
    const api = await startLoose(ground.env);
    expect(api.process.logs()).not.toContain('admin key');
    await api.process.stop();
  });
});

/** Runs the api as a service manager does, without an IPC channel. */
async function startLoose(env: NodeJS.ProcessEnv): Promise<{ process: RealProcess; baseUrl: string }> {
  const { port } = await claimPort();
  const baseUrl = `http://127.0.0.1:${port}`;
  const api = new RealProcess({
    name: 'api',
    program: process.execPath,
    args: ['dist/apps/api/src/main.js'],
    env: { ...env, KEYLEDGER_API_PORT: String(port) },
    ready: async () => (await http(baseUrl).get('/health/ready')).status === 200,
  });
  await api.start();
  return { process: api, baseUrl };
}

describe('without a parent to tell', () => {
  it('the admin key is one plain line of standard output beside the log', async () => {
    const ground = await prepare();
    const api = await startLoose(ground.env);
    const plain = api.process
      .logs()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('{'));
    const [, key = ''] =
      /^The admin key, shown this once: (\S+)$/.exec(plain.find((line) => line.includes('admin')) ?? '') ?? [];
    expect((await http(api.baseUrl, key).get('/v1/keyspaces')).status).toBe(200);
    await api.process.stop();
    await ground.stop();
  });
});

describe('after a start that died between making the admin key and showing it', () => {
  it('the next one gives it a new secret and shows that', async () => {
    const ground = await prepare();
    await ground.store.append(MADE_KEY, -1, [unseenKey()]);
    const api = await startApp('api', ground.env);
    expect(await opens(api, shownBy(api) ?? '')).toBe(200);
    const types = await typesIn(ground.store, MADE_KEY);
    // The worker may have put on record already that the old secret is over.
    expect(types.filter((type) => type !== 'KeyGraceEnded')).toEqual(['KeyIssued', 'KeyRotated']);
    await api.stop();
    await ground.stop();
  });
});

/** What such a start left behind. */
function unseenKey() {
  const data: Extract<KeyEvent, { type: 'KeyIssued' }>['data'] = {
    keyId: idFrom('the admin key of the first start'),
    keyspaceId: 'system',
    environment: 'live',
    kind: 'secret',
    name: 'First admin key',
    owner: { id: 'keyledger-admin', type: 'account' },
    scopes: [...ADMIN_SCOPES],
    restrictions: {},
    metadata: {},
    secret: { secretId: 'A'.repeat(12), hash: randomBytes(32).toString('base64url'), mask: 'unseen' },
    createdAt: new Date().toISOString(),
    justification: 'the first management key',
  };
  const metadata = {
    schemaVersion: 1,
    commandId: 'first-start admin key',
    actor: { type: 'system' as const, id: 'first-start' },
    reason: 'the first start of the system',
    requestId: 'first-start admin key',
    $correlationId: 'first-start admin key',
    $causationId: 'first-start admin key',
  };
  return { id: uuidFrom('unseen'), type: 'KeyIssued' as const, data, metadata };
}

describe('with KEYLEDGER_ADMIN_KEY', () => {
  it('that key opens the system; another opens it too; one that was revoked stays revoked', async () => {
    const ground = await prepare();
    const [first, second] = [randomBytes(24).toString('base64'), randomBytes(24).toString('base64')];
    const api = await startApp('api', { ...ground.env, KEYLEDGER_ADMIN_KEY: first });
    expect(shownBy(api)).toBeUndefined();
    expect(await opens(api, first)).toBe(200);
    await api.stop();

    const recovered = await startApp('api', { ...ground.env, KEYLEDGER_ADMIN_KEY: second });
    expect(await opens(recovered, second)).toBe(200);
    const { body } = await http(recovered.baseUrl, second).get('/v1/keys?keyspaceId=system');
    expect(body.items).toHaveLength(2);
    const { keyId } = body.items[0];
    await http(recovered.baseUrl, second).post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' });
    await recovered.stop();

    const again = await startApp('api', { ...ground.env, KEYLEDGER_ADMIN_KEY: first });
    expect(await opens(again, first)).toBe(401);
    expect(await opens(again, second)).toBe(200);
    expect(await typesIn(ground.store, streams.key(keyId))).toEqual(['KeyImported', 'KeyRevoked']);
    await again.stop();
    await ground.stop();
  });

  it('that is too short the start is refused, naming the variable and not its value', async () => {
    const api = new RealProcess({
      name: 'api',
      module: 'dist/apps/api/src/main.js',
      env: {
        REDIS_URL: 'redis://127.0.0.1:1',
        EVENTSTORE_URL: 'kurrentdb://127.0.0.1:1?tls=false',
        KEYLEDGER_ADMIN_KEY: 'hunter2',
      },
    });
    expect(await api.runToEnd()).toBe(78);
    expect(api.logs()).toContain('KEYLEDGER_ADMIN_KEY');
    expect(api.logs()).not.toContain('hunter2');
  });
});
