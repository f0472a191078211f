import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventStore } from '@keyledger/event-store';
import { connect } from 'node:net';
import { backUp } from '../contract/eventstore.client.js';
import {
  eventually,
  http,
  RealProcess,
  startApp,
  startEventStore,
  startSystem,
  temporaryFolder,
  type Client,
  type System,
} from '../support/index.js';

const KEYSPACE = 'outage';
const UNKNOWN_KEY = `outage_live_000000000000_${'0'.repeat(44)}JXHGh`;

let system: System;
let api: Client;
let verifier: Client;

beforeEach(async () => {
  system = await startSystem();
  api = http(system.api.baseUrl, system.adminKey);
  verifier = http(system.verifier.baseUrl, system.adminKey);
  await api.post('/v1/keyspaces', { name: 'Outage', prefix: KEYSPACE });
});

afterEach(async () => {
  await system.stop();
});

const issue = async (): Promise<{ keyId: string; key: string }> => {
  const owner = { id: 'outage', type: 'service' };
  const request = { keyspaceId: KEYSPACE, environment: 'live', name: 'one', owner, scopes: ['a:read'] };
  const { status, body } = await api.post('/v1/keys', request);
  expect(status).toBe(201);
  return body;
};

/** The verdict's code, or the status of an answer that is none. */
const verify = async (key: string): Promise<string> => {
  const { status, body } = await verifier.post('/v1/verify', { key });
  return status === 200 ? String(body.code) : String(status);
};

const redisCommand = (command: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(system.redis.port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });

describe('an emptied Redis', () => {
  it('makes verification answer the truth or 503, never a wrong NOT_FOUND or VALID, and comes back by itself', async () => {
    const [good, revoked] = [await issue(), await issue()];
    await api.post(`/v1/keys/${revoked.keyId}/revoke`, { reason: 'other' });
    const seen = { good: new Set<string>(), revoked: new Set<string>(), unknown: new Set<string>() };
    const ask = async (): Promise<string> => {
      seen.unknown.add(await verify(UNKNOWN_KEY));
      seen.revoked.add(await verify(revoked.key));
      const verdict = await verify(good.key);
      seen.good.add(verdict);
      return verdict;
    };
    expect(await ask()).toBe('VALID');

    for (let time = 0; time < 2; time++) {
      expect(await redisCommand('FLUSHALL')).toBe('+OK\r\n');
      await eventually('the good key verifies again', async () => expect(await ask()).toBe('VALID'));
    }

    expect([...seen.good].filter((code) => code !== '503')).toEqual(['VALID']);
    expect([...seen.revoked].filter((code) => code !== '503')).toEqual(['REVOKED']);
    expect([...seen.unknown].filter((code) => code !== '503')).toEqual(['NOT_FOUND']);
  });

  it('does not cost a change that is made while it is rebuilt', async () => {
    const first = await issue();
    await redisCommand('FLUSHALL');
    const second = await eventually('a key can be issued again', issue);
    await eventually('both keys verify', async () => {
      expect([await verify(first.key), await verify(second.key)]).toEqual(['VALID', 'VALID']);
    });
  });
});

describe('Redis down', () => {
  it('makes verification 503 and a revocation say that it is not in effect yet, which then comes into effect by itself', async () => {
    const { keyId, key } = await issue();
    expect(await verify(key)).toBe('VALID');
    await system.redis.kill();

    expect(await verify(key)).toBe('503');
    const { status, body } = await api.post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' });
    expect({ status, effective: body.effective }).toEqual({ status: 200, effective: false });

    await system.redis.start();
    await eventually('the revocation is in effect', async () => expect(await verify(key)).toBe('REVOKED'));
  });
});

describe('the event store down', () => {
  it('makes commands 503 while verification goes on, and commands work again when it is back', async () => {
    const { keyId, key } = await issue();
    await system.eventStore.kill();

    const refused = await api.post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' });
    expect({ status: refused.status, code: refused.body.code }).toEqual({ status: 503, code: 'UNAVAILABLE' });
    expect(await verify(key)).toBe('VALID');

    await system.eventStore.start();
    await eventually('the key can be revoked', async () => {
      expect((await api.post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' })).status).toBe(200);
    });
    expect(await verify(key)).toBe('REVOKED');
  });
});

describe('two workers', () => {
  it('do no harm, also when one is frozen for a while and comes back with an old view', async () => {
    const second = await startApp('worker', system.env);
    try {
      const keys = await Promise.all(Array.from({ length: 10 }, issue));
      second.freeze();
      await Promise.all(keys.map(({ keyId }) => api.post(`/v1/keys/${keyId}/revoke`, { reason: 'other' })));
      second.thaw();
      const later = await issue();
      const { body: rebuild } = await api.post('/v1/system/projections/rebuild', {});
      await eventually('a rebuild finds nothing to mend', async () => {
        const { body } = await api.get('/v1/system/projections');
        expect(body.rebuild.lastRebuild).toMatchObject({ rebuildId: rebuild.rebuildId, equal: true });
      });
      expect(await Promise.all(keys.map(({ key }) => verify(key)))).toEqual(keys.map(() => 'REVOKED'));
      expect(await verify(later.key)).toBe('VALID');
    } finally {
      await second.stop();
    }
  });
});

describe('a Redis of another log', () => {
  it('is believed by nobody once a worker has seen it, and again when the right store is back', async () => {
    const { keyId, key } = await issue();
    const backup = temporaryFolder();
    await backUp(system.eventStore.port, backup);
    expect((await api.post(`/v1/keys/${keyId}/revoke`, { reason: 'compromised' })).status).toBe(200);
    await eventually('the worker has noted how far it has come', async () => {
      expect(await redisCommand('HGET kl:{meta} mark')).toContain(await newestEventId(keyId));
    });
    await system.worker.stop();

    const restored = await startEventStore({ folder: backup });
    const strange = new RealProcess({
      name: 'worker',
      module: 'dist/apps/worker/src/main.js',
      env: { NODE_ENV: 'production', ...system.env, EVENTSTORE_URL: restored.url, KEYLEDGER_WORKER_PORT: '0' },
      ready: (self) => self.logs().includes('made of another log'),
    });
    await strange.start();
    await eventually('nothing is answered', async () => expect(await verify(key)).toBe('503'));
    await strange.stop();
    await restored.stop();

    await system.worker.start();
    await eventually('the truth is told again', async () => expect(await verify(key)).toBe('REVOKED'));
  });
});

async function newestEventId(keyId: string): Promise<string> {
  const store = new EventStore({ url: system.eventStore.url });
  try {
    return (await store.load(`key-${keyId}`)).events.at(-1)?.id ?? 'none';
  } finally {
    await store.dispose();
  }
}
