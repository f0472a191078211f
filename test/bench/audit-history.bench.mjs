/**
 * Replay compared with the official client's bare `readAll`; all keys as of an instant, with snapshots and without; a
 * page of events by key in a short log and in the long one. Every answer is checked against the full fold.
 */
import { randomUUID } from 'node:crypto';
import { temporaryFolder } from './processes.mjs';
import { quantile, report } from './report.mjs';
import { inParallel, KEY_REQUEST } from './system.mjs';

const EVENTS_PER_KEY = 10;
const PER_APPEND = 5;
const ROUNDS = 3;
const PAGES = 300;

/** Every key lives in two halves, so that those of many keys lie between any two events of one. */
export async function seedEvents(url, events) {
  const { EventStore } = await import('../../dist/libs/event-store/src/index.js');
  const keys = Math.ceil(events / EVENTS_PER_KEY);
  const stores = Array.from({ length: 4 }, () => new EventStore({ url, timeoutMs: 30_000 }));
  for (const half of [0, 1]) {
    await inParallel(keys, 60, (index) => {
      const first = half * PER_APPEND;
      const events = Array.from({ length: PER_APPEND }, (_, n) => eventOf(keyIdOf(index), first + n));
      return stores[index % 4].append(`key-${keyIdOf(index)}`, first - 1, events);
    });
  }
  await Promise.all(stores.map((store) => store.dispose()));
}

const keyIdOf = (index) => `key${String((index * 7919) % 1_000_003).padStart(19, '0')}`;

function eventOf(keyId, n) {
  const id = randomUUID();
  const now = new Date().toISOString();
  const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
  const actor = { type: 'key', id: '0Kx3Zf9QpLr7VbN2mTcY8w' };
  const metadata = { schemaVersion: 1, actor, reason: 'bench', ...names, clientAddress: '203.0.113.7' };
  return { id, metadata, ...(n === 0 ? issued(keyId, now) : laterOf(keyId, n, now)) };
}

function issued(keyId, createdAt) {
  const secret = { secretId: keyId.slice(-12), hash: `${keyId}${keyId}`.slice(0, 43), mask: 'bench_live_…' };
  return { type: 'KeyIssued', data: { ...KEY_REQUEST, keyId, kind: 'secret', restrictions: {}, secret, createdAt } };
}

function laterOf(keyId, n, now) {
  return n % 2 === 1
    ? { type: 'KeySuspended', data: { keyId, reason: 'bench', suspendedAt: now } }
    : { type: 'KeyReinstated', data: { keyId, reason: 'bench', reinstatedAt: now } };
}

export async function benchHistory(url, events) {
  const { EventStore } = await import('../../dist/libs/event-store/src/index.js');
  const { History, TrailReader } = await import('../../dist/libs/audit/src/index.js');
  const store = new EventStore({ url, timeoutMs: 30_000 });
  const history = new History(store, { folder: temporaryFolder(), version: 'bench' });
  const began = performance.now();
  await history.keepUp(new AbortController().signal);
  const buildSeconds = (performance.now() - began) / 1000;

  const replay = await replayRates(url, store, events);
  await asOf(history, events, replay.secondsOfReplay, buildSeconds);
  await pages(new TrailReader(store, history.marks), store);
  await store.dispose();
}

async function replayRates(url, store, events) {
  const { KurrentDBClient } = await import('@kurrent/kurrentdb-client');
  const { advanceKey } = await import('../../dist/libs/audit/src/index.js');
  const client = KurrentDBClient.connectionString(url);
  const bare = [];
  const ours = [];
  for (let round = 0; round < ROUNDS; round++) {
    let n = 0;
    let from = performance.now();
    for await (const { event } of client.readAll()) if (event) n += 1;
    bare.push(n / ((performance.now() - from) / 1000));
    const keys = new Map();
    n = 0;
    from = performance.now();
    for await (const batch of store.readAll({ direction: 'forwards', streamPrefixes: ['key-'] })) {
      for (const one of batch) keys.set(one.stream, advanceKey(keys.get(one.stream), one));
      n += batch.length;
    }
    ours.push(n / ((performance.now() - from) / 1000));
  }
  await client.dispose();
  const ratios = bare.map((rate, index) => ours[index] / rate);
  report(
    `full replay of ${events.toLocaleString('en')} events`,
    [
      { reader: "the official client's bare readAll", 'events/s, median': Math.round(quantile(bare, 0.5)) },
      { reader: 'decoded, upcast and folded into every key', 'events/s, median': Math.round(quantile(ours, 0.5)) },
    ],
    { 'replay / bare readAll (goal: at least 0.6), median of rounds': quantile(ratios, 0.5) },
  );
  return { secondsOfReplay: events / quantile(ours, 0.5) };
}

async function asOf(history, events, secondsOfReplay, buildSeconds) {
  const ask = async (cut, options) => {
    const from = performance.now();
    let keys = 0;
    let active = 0;
    for await (const batch of history.keysAt(cut, options)) {
      for (const found of batch) {
        keys += 1;
        // As the api looks: a line is taken apart only if it may fit.
        const mayFit = found.line === undefined || found.line.includes('"payments:write"');
        if (mayFit && (options?.all || keys % 100 === 0) && found.key().state.status === 'active') active += 1;
      }
    }
    return { seconds: (performance.now() - from) / 1000, keys, active };
  };
  const rows = [];
  for (const part of [0.25, 0.5, 0.97]) {
    const cut = { position: BigInt(Math.round(events * part)) };
    const [byReplay, ...fast] = [await ask(cut, { replay: true }), await ask(cut), await ask(cut), await ask(cut)];
    if (fast.some(({ keys, active }) => keys !== byReplay.keys || active !== byReplay.active)) {
      throw new Error(`as of ${cut.position} snapshots and fold differ`);
    }
    const seconds = quantile(
      fast.map((one) => one.seconds),
      0.5,
    );
    const full = await ask(cut, { all: true });
    rows.push({
      'as of event': Number(cut.position),
      keys: byReplay.keys,
      'seconds with snapshots': seconds,
      'every key taken apart': full.seconds,
      'by replay up to there': byReplay.seconds,
      'of a full replay (goal: under 0.1)': seconds / secondsOfReplay,
    });
  }
  report('all keys as of a position', rows, {
    'seconds to make all snapshots and marks, once': buildSeconds,
  });
}

async function pages(reader, store) {
  const measure = async (keyIds) => {
    const took = [];
    for (const keyId of keyIds) {
      const from = performance.now();
      let n = 0;
      const query = { filter: { keyId }, order: 'newest', reach: 'all' };
      for await (const { found } of reader.read(query)) n += found.length;
      if (n !== EVENTS_PER_KEY) throw new Error(`${keyId} has ${n} events`);
      took.push(performance.now() - from);
    }
    return { 'p50 ms': quantile(took, 0.5), 'p99 ms': quantile(took, 0.99) };
  };
  const idsAt = async (from) => {
    const ids = new Set();
    for await (const batch of store.readAll({
      direction: 'forwards',
      from,
      streamPrefixes: ['key-'],
      limit: PAGES * 10,
    })) {
      for (const { stream } of batch) if (ids.size < PAGES) ids.add(stream.slice(4));
    }
    return [...ids];
  };
  const head = await store.head();
  report('events of one key, newest first', [
    { key: 'begun at the start of the log', ...(await measure(await idsAt(0n))) },
    { key: 'begun in the middle', ...(await measure(await idsAt(head / 3n))) },
  ]);
}
