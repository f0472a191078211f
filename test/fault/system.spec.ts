import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventStore } from '@keyledger/event-store';
import type { KeyEvent, RecordedEvent } from '@keyledger/contracts';
import { eventually, http, startSystem, type System } from '../support/index.js';
import { Traffic, Witness, type KnownKey } from './traffic.js';

const KEYSPACE = 'fault';
const KILLS = 3;
const ACKNOWLEDGED_BETWEEN_KILLS = 40;

let system: System;

beforeEach(async () => {
  system = await startSystem();
  const api = http(system.api.baseUrl, system.adminKey);
  const created = await api.post('/v1/keyspaces', { name: 'Fault', prefix: KEYSPACE, policy: { maxGrace: 'P30D' } });
  expect(created.status).toBe(201);
});

afterEach(async () => {
  await system.stop();
});

const startTraffic = (): Traffic => new Traffic(() => system.api.baseUrl, system.adminKey, KEYSPACE);

const verify = async (key: string): Promise<string> => {
  const answer = await http(system.verifier.baseUrl, system.adminKey).post('/v1/verify', { key });
  return answer.status === 200 ? String(answer.body.code) : String(answer.status);
};

/** Resolves once so many more answers have been acknowledged. */
const acknowledge = (traffic: Traffic, more: number): Promise<void> => {
  const wanted = traffic.acknowledged + more;
  return eventually(
    `${more} more acknowledged changes`,
    () => expect(traffic.acknowledged).toBeGreaterThanOrEqual(wanted),
    {
      timeoutMs: 90_000,
    },
  );
};

/** Every acknowledged change is there, and the verifier says of every secret what was acknowledged. */
const expectWhatWasAcknowledged = async (keys: readonly KnownKey[]): Promise<void> => {
  await eventually('the verifier agrees with every acknowledged change', async () => {
    const wrong = [];
    for (const known of keys) {
      const expected = known.revoked ? 'REVOKED' : 'VALID';
      for (const secret of [known.key, known.previous]) {
        if (secret === undefined) continue;
        const verdict = await verify(secret);
        if (verdict !== expected) wrong.push({ keyId: known.keyId, expected, verdict });
      }
    }
    expect(wrong).toEqual([]);
  });
};

/** No stream has a change twice, and none has two current secrets. */
const expectWholeStreams = async (keys: readonly KnownKey[]): Promise<void> => {
  const store = new EventStore({ url: system.eventStore.url });
  try {
    for (const { keyId, previous, revoked } of keys) {
      const { events } = await store.load(`key-${keyId}`);
      const types = (events as RecordedEvent<KeyEvent>[]).map(({ event }) => event.type);
      expect(types).toEqual(['KeyIssued', ...(previous ? ['KeyRotated'] : []), ...(revoked ? ['KeyRevoked'] : [])]);
    }
  } finally {
    await store.dispose();
  }
};

/** A fresh fold of all events gives the very records that the read model holds. */
const expectReadModelEqualsEvents = async (): Promise<void> => {
  const api = http(system.api.baseUrl, system.adminKey);
  const { body } = await api.post('/v1/system/projections/rebuild', {});
  await eventually('the rebuild is done and found nothing to mend', async () => {
    const { body: status } = await api.get('/v1/system/projections');
    expect(status.rebuild.lastRebuild).toMatchObject({ rebuildId: body.rebuildId, equal: true, differing: [] });
  });
};

describe.each(['api', 'worker', 'verifier', 'eventStore'] as const)(
  'kill -9 of %s at any moment under load',
  (part) => {
    it('loses no acknowledged change, does none twice, never verifies wrongly, and everything recovers by itself', async () => {
      const traffic = startTraffic();
      const witness = new Witness(() => system.verifier.baseUrl, system.adminKey, traffic);
      try {
        for (let kill = 0; kill < KILLS; kill++) {
          await acknowledge(traffic, ACKNOWLEDGED_BETWEEN_KILLS);
          await system[part].kill();
          await system[part].restart();
        }
        await acknowledge(traffic, ACKNOWLEDGED_BETWEEN_KILLS);
      } finally {
        await Promise.all([traffic.stop(), witness.stop()]);
      }
      expect(witness.wrong).toEqual([]);
      expect(witness.verdicts).toBeGreaterThan(ACKNOWLEDGED_BETWEEN_KILLS);
      await expectWhatWasAcknowledged(traffic.keys);
      await expectWholeStreams(traffic.keys);
      await expectReadModelEqualsEvents();
    });
  },
);
