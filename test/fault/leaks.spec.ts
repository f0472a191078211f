import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { RecordedEvent } from '@keyledger/contracts';
import { Decisions, EventStore } from '@keyledger/event-store';
import { foundText, Incidents } from '@keyledger/leaks';
import { KeyDigests } from '@keyledger/platform';
import { connectRedis, IncidentIndex, type ReadModel } from '@keyledger/read-model';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { eventually, http, startSystem, type Answer, type System } from '../support/index.js';
import { Desk } from '../e2e/api.harness.js';
import { GithubPeer } from '../e2e/github.js';

const [older, newer] = [randomBytes(32), randomBytes(32)];
const PEPPERS = [
  { id: 'new', key: newer },
  { id: 'old', key: older },
];

let system: System;
let desk: Desk;
let store: EventStore;
let github: GithubPeer;
let keyspaceId: string;

beforeAll(async () => {
  github = await GithubPeer.start();
  const peppers = PEPPERS.map(({ id, key }) => `${id}:${key.toString('base64')}`).join(',');
  system = await startSystem({ KEYLEDGER_PEPPERS: peppers, KEYLEDGER_GITHUB_KEYS_URL: github.keysUrl });
  desk = new Desk(system);
  store = new EventStore({ url: system.eventStore.url });
  keyspaceId = await desk.keyspace();
});

afterAll(async () => {
  await store.dispose();
  await desk.dispose();
  await system.stop();
  await github.stop();
});

const refusedAtVerifier = async (key: string): Promise<void> => {
  const verifier = http(system.verifier.baseUrl, system.adminKey);
  await eventually('the verifier refuses the key', async () => {
    const { body } = await verifier.post('/v1/verify', { key });
    return body.code === 'REVOKED';
  });
};

/** Everything in the leak streams, by incident. */
async function incidents(): Promise<Map<string, RecordedEvent[]>> {
  const found = new Map<string, RecordedEvent[]>();
  const end = new AbortController();
  for await (const { events, live } of store.subscribe({
    after: 'start',
    streamPrefixes: ['leak-'],
    signal: end.signal,
  })) {
    for (const event of events) found.set(event.stream, [...(found.get(event.stream) ?? []), event]);
    if (live) end.abort();
  }
  return found;
}

it('what a pepper hides from a SHA-256 the answer says, and the key itself is found', async () => {
  const { key } = await desk.issue(keyspaceId);
  const sha256 = createHash('sha256').update(key).digest('hex');
  const { body } = await desk.admin.post('/v1/leaks', { sha256 });
  expect(body).toMatchObject({ state: 'unmatched', hint: expect.stringContaining('pepper') });
  expect((await desk.admin.post('/v1/leaks', { key })).body).toMatchObject({ action: { action: 'revoked' } });
});

it('a report that its api recorded and could not go on with is finished by a worker from the events alone', async () => {
  const { key, keyId } = await desk.issue(keyspaceId);
  // What an api does up to the moment of its death; the key is found under any of its hashes.
  const redis = connectRedis(system.redis.url);
  const unable = { findByHash: () => Promise.reject(new Error('dead')) } as unknown as ReadModel;
  const index = new IncidentIndex(redis);
  const clock = () => new Date().toISOString();
  const dying = new Incidents({ decisions: new Decisions(store), readModel: unable, index, clock });
  const report = { source: 'report' as const, token: foundText(key, new KeyDigests([...PEPPERS].reverse())) };
  const { state } = await dying.record(report, {
    commandId: 'report',
    now: clock(),
    actor: { type: 'system', id: 'test' },
    reason: 'found',
    requestId: 'request-1',
  });
  redis.disconnect();
  await refusedAtVerifier(key);
  const stream = `leak-${state.report.leakId}`;
  await eventually('the worker has written down what it did', async () => {
    expect(await desk.events(stream)).toEqual(['LeakReported', 'LeakMatched', 'LeakActionTaken']);
  });
  expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeyLeakReported', 'KeyRevoked']);
});

it('kill -9 of the api under reports: each that was recorded is acted on, once, whoever does it', async () => {
  const keys = await Promise.all(Array.from({ length: 60 }, () => desk.issue(keyspaceId)));
  const before = (await incidents()).size;
  const url = 'https://pastebin.example/kill';
  const sent = keys.map(({ key }) => desk.admin.post('/v1/leaks', { key, url }).catch(() => undefined));
  await Promise.any(sent);
  await system.api.kill();
  const answers = await Promise.all(sent);
  const recorded = await eventually('every incident is acted on', async () => {
    const all = [...(await incidents()).values()].slice(before);
    for (const events of all) {
      const types = events.map(({ event }) => event.type);
      expect(types).toEqual(['LeakReported', 'LeakMatched', 'LeakActionTaken']);
    }
    return all;
  });
  expect(recorded.length).toBeGreaterThan(0);
  expect(recorded.length).toBeGreaterThanOrEqual(answers.filter(Boolean).length);
  for (const events of recorded) {
    const times = events.map(({ recordedAt }) => recordedAt);
    expect(times).toEqual(times.toSorted());
  }
  let acted = 0;
  for (const { keyId } of keys) {
    const types = await desk.events(`key-${keyId}`);
    if (types.length > 1) acted++;
    expect([['KeyIssued'], ['KeyIssued', 'KeyLeakReported', 'KeyRevoked']]).toContainEqual(types);
  }
  expect(acted).toBe(recorded.length);
  await system.api.start();
});

it('while Redis is down reports are recorded, say that they are not done, and are done when it is back', async () => {
  const keys = await Promise.all(Array.from({ length: 3 }, () => desk.issue(keyspaceId)));
  const [reported, signed, found] = keys.map(({ key }) => key as string) as [string, string, string];
  await system.redis.kill();
  // The management key was good here before, so it is judged by its events.
  const answer = await desk.admin.post('/v1/leaks', { key: reported });
  expect(answer).toMatchObject({ status: 200, body: { state: 'unmatched', effective: false } });
  const byGithub: Answer = await github.report(system.api.baseUrl, [
    { token: signed, type: 't', url: 'u', source: 'x' },
  ]);
  expect([byGithub.status, byGithub.body.code]).toEqual([503, 'UNAVAILABLE']);
  expect((await http(system.api.baseUrl).post('/v1/leaks/found', { key: found })).status).toBe(202);
  expect((await desk.admin.get('/v1/leaks')).status).toBe(503);
  expect((await desk.admin.get(`/v1/leaks/${answer.body.leakId}`)).status).toBe(200);
  await system.redis.start();
  for (const key of [reported, signed, found]) await refusedAtVerifier(key);
  const again = await eventually('GitHub gets its answer', async () => {
    const repeated = await github.report(system.api.baseUrl, [{ token: signed, type: 't', url: 'u', source: 'x' }]);
    return repeated.status === 200 && repeated;
  });
  expect(again.body[0].label).toBe('true_positive');
  for (const { keyId } of keys) {
    expect(await desk.events(`key-${keyId}`)).toEqual(['KeyIssued', 'KeyLeakReported', 'KeyRevoked']);
  }
});

it('the list of incidents is derived again when Redis was emptied, and says nothing until it is whole', async () => {
  const list = () => desk.admin.get('/v1/leaks?limit=1000');
  const settled = await eventually('the list is whole', async () => {
    const { status, body } = await list();
    const actual = new Map([...(await incidents())].map(([stream, events]) => [stream, events.length - 1]));
    expect([status, body.items.length]).toEqual([200, actual.size]);
    for (const { leakId, revision } of body.items) expect(revision).toBe(actual.get(`leak-${leakId}`));
    return body;
  });
  execFileSync('redis-cli', ['-p', String(system.redis.port), 'FLUSHALL']);
  await eventually('the same list is there again', async () => {
    const { status, body } = await list();
    if (status === 503) return false;
    expect({ status, body }).toEqual({ status: 200, body: settled });
    return true;
  });
});
