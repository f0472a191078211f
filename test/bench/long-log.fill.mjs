/**
 * A log of which it is known, by the way it is made and without any fold, what it holds: it is appended in rounds, with
 * nothing going on between two of them. A round issues keys, leads those of the round before to their end (suspended and
 * reinstated, one in ten revoked, one in ten left suspended), and records uses for the rest. So after each round the
 * number of keys in each state is a matter of counting the rounds.
 */
import { randomUUID } from 'node:crypto';
import { KEY_REQUEST, inParallel } from './system.mjs';

export const ROUNDS = 20;
export const KEYSPACE = 'bench';
const STORES = 4;
const APPENDS_AT_ONCE = 40;
const PAIRS = 4;
/** Every fifth key may write payments; all may read them. */
const WRITER_EVERY = 5;

export const keyIdOf = (round, index) => `long${String(round).padStart(3, '0')}x${String(index).padStart(14, '0')}`;

/** What there is after so many rounds of so many keys each, and how many of them hold `payments:write`. */
export function expected(rounds, keysPerRound) {
  const over = Math.max(0, rounds - 1) * keysPerRound;
  const keys = rounds * keysPerRound;
  return {
    keys,
    revoked: over / 10,
    suspended: over / 10,
    active: keys - over / 5,
    // Of ten keys the first is revoked and writes, the second is left suspended and does not.
    activeWriters: keys / WRITER_EVERY - over / 10,
  };
}

/**
 * @returns the place of each round's end: `{position, instant, events}`; nothing of the next was recorded by then
 */
export async function fill(url, events, onRound = () => undefined) {
  const { EventStore } = await import('../../dist/libs/event-store/src/index.js');
  const { DEFAULT_POLICY } = await import('../../dist/libs/domain/src/index.js');
  const stores = Array.from({ length: STORES }, () => new EventStore({ url, timeoutMs: 60_000 }));
  const keysPerRound = Math.max(10, Math.round(events / 100 / ROUNDS / 10) * 10);
  const keyspace = { keyspaceId: KEYSPACE, name: 'Bench', prefix: 'bench', environments: ['live'] };
  const created = { ...keyspace, policy: DEFAULT_POLICY, createdAt: new Date().toISOString() };
  await stores[0].append(`keyspace-${KEYSPACE}`, -1, [eventOf('KeyspaceCreated', created)]);
  const ends = [];
  let appended = 1;
  for (let round = 0; round < ROUNDS; round++) {
    const append = async (stream, revision, list, index) => {
      await stores[index % STORES].append(stream, revision, list);
      appended += list.length;
    };
    await inParallel(keysPerRound, APPENDS_AT_ONCE, (index) =>
      append(`key-${keyIdOf(round, index)}`, -1, [issued(round, index)], index),
    );
    if (round > 0) {
      await inParallel(keysPerRound, APPENDS_AT_ONCE, (index) =>
        append(`key-${keyIdOf(round - 1, index)}`, 0, courseOf(keyIdOf(round - 1, index), index), index),
      );
    }
    const left = Math.round((events * (round + 1)) / ROUNDS) - appended;
    await inParallel(keysPerRound, 8, (index) => {
      const count = Math.floor(left / keysPerRound) + (index < left % keysPerRound ? 1 : 0);
      return append(`usage-${keyIdOf(round, index)}`, -1, usesOf(keyIdOf(round, index), count), index);
    });
    // A round ends in an instant that the next one does not share.
    const instant = new Date(Date.now() + 5).toISOString();
    await new Promise((resolve) => setTimeout(resolve, 20));
    ends.push({ position: String(await stores[0].head()), instant, events: appended });
    onRound(ends.at(-1));
  }
  await Promise.all(stores.map((store) => store.dispose()));
  return { keysPerRound, ends };
}

function eventOf(type, data) {
  const id = randomUUID();
  const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
  const actor = { type: 'key', id: '0Kx3Zf9QpLr7VbN2mTcY8w' };
  return { id, type, data, metadata: { schemaVersion: 1, actor, reason: 'bench', ...names } };
}

function issued(round, index) {
  const keyId = keyIdOf(round, index);
  return eventOf('KeyIssued', {
    ...KEY_REQUEST,
    keyId,
    kind: 'secret',
    scopes: index % WRITER_EVERY === 0 ? ['payments:read', 'payments:write'] : ['payments:read'],
    restrictions: {},
    secret: { secretId: keyId.slice(-12), hash: `${keyId}${keyId}`.slice(0, 43), mask: 'bench_live_…' },
    createdAt: new Date().toISOString(),
  });
}

function courseOf(keyId, index) {
  const now = new Date().toISOString();
  const suspended = () => eventOf('KeySuspended', { keyId, reason: 'bench', suspendedAt: now });
  const pairs = Array.from({ length: PAIRS }, () => [
    suspended(),
    eventOf('KeyReinstated', { keyId, reason: 'bench', reinstatedAt: now }),
  ]).flat();
  if (index % 10 === 0) pairs.push(eventOf('KeyRevoked', { keyId, reason: 'other', requestedAt: now, revokedAt: now }));
  if (index % 10 === 1) pairs.push(suspended());
  return pairs;
}

function usesOf(keyId, count) {
  const recordedAt = new Date().toISOString();
  const secretId = keyId.slice(-12);
  return Array.from({ length: count }, (_, n) =>
    eventOf('KeyUsageRecorded', { keyId, secrets: [{ secretId, count: n + 1, lastUsedAt: recordedAt }], recordedAt }),
  );
}
