import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  formatVerifierKey,
  Frontier,
  generateSignerKey,
  hashOfEvent,
  parseSignerKey,
  signCheckpoint,
  verifyBundle,
  writeBundle,
  type Hash,
  type HashStore,
  type NodeId,
  type SignerKey,
} from '@keyledger/audit';
import { AUDITED_STREAM_PREFIXES } from '@keyledger/contracts';
import { EventStore, type StoredEvent } from '@keyledger/event-store';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, http, startApp, startSystem, temporaryFolder, type App, type System } from '../support/index.js';
import { Desk, requestFor } from './api.harness.js';

const run = promisify(execFile);
const JO = { name: 'Jo Mustermann', email: 'jo.mustermann@example.com' };
const JANE = 'jane.doe@example.com';
const ADDRESS = '203.0.113.177';
const AGENT = 'browser-of-jane/77.1';
const FROM_JANE = {
  'x-keyledger-on-behalf-of': JANE,
  'x-forwarded-for': ADDRESS,
  'user-agent': AGENT,
  'idempotency-key': 'privacy-e2e-issue',
};
const PERSONAL = [JO.name, JO.email, JANE, ADDRESS, AGENT];

let system: System, second: App, desk: Desk, store: EventStore;
let mine: string, keyId: string;
const subjects = temporaryFolder();

beforeAll(async () => {
  const env = { KEYLEDGER_SUBJECT_KEYS_DIR: subjects, KEYLEDGER_TRUSTED_PROXIES: '127.0.0.1' };
  system = await startSystem({ ...env, KEYLEDGER_LOG_LEVEL: 'debug' });
  second = await startApp('api', system.env);
  desk = new Desk(system);
  store = new EventStore({ url: system.eventStore.url });
  mine = await desk.keyspace();
  const owner = { id: 'app-jo', type: 'application', contact: JO };
  const issued = await desk.admin.post('/v1/keys', { ...requestFor(mine), owner }, FROM_JANE);
  expect(issued).toMatchObject({ status: 201, body: { owner } });
  keyId = issued.body.keyId;
}, 120_000);
afterAll(async () => {
  await store?.dispose();
  await desk?.dispose();
  await second?.stop();
  await system?.stop();
});

async function subjectOf(names: object): Promise<string> {
  const { body } = await desk.admin.post('/v1/privacy/subjects/find', names);
  return body.subjectId;
}

describe('personal data', () => {
  it('stands in no file of the event store, in no dump of Redis, and in no log', async () => {
    const places = {
      events: await readAll(system.eventStore.folder),
      subjects: await readAll(subjects),
      redis: await dump(),
      logs: [system.api, system.verifier, system.worker, system.eventStore, system.redis, second]
        .map((part) => part.logs())
        .join('\n'),
    };
    expect(places.events).toContain(`pii:v1:${await subjectOf({ ownerId: 'app-jo' })}:1:contact.email:`);
    expect(places.redis).toContain('pii:v1:');
    for (const [place, text] of Object.entries(places)) {
      for (const value of PERSONAL) expect([place, value, text.includes(value)]).toEqual([place, value, false]);
    }
  });

  it('is shown to whoever governs keys, in every process, and never to whoever verifies them', async () => {
    for (const client of [desk.admin, http(second.baseUrl, system.adminKey)]) {
      expect((await client.get(`/v1/keys/${keyId}`)).body.owner.contact).toEqual(JO);
      expect((await client.get(`/v1/keys?ownerId=app-jo`)).body.items[0].owner.contact).toEqual(JO);
    }
    const { key } = await desk.issue(mine, { owner: { id: 'app-other', type: 'service', contact: JO } });
    expect((await desk.admin.post('/v1/verify', { key })).body).toMatchObject({
      valid: true,
      owner: { id: 'app-other', type: 'service' },
    });
    expect(JSON.stringify((await desk.admin.post('/v1/verify', { key })).body)).not.toMatch(/contact|pii:/);
  });

  it('is shown in the audit trail, where a person can be looked for, and reading it leaves nothing readable behind', async () => {
    const reader = { 'x-forwarded-for': '198.51.100.231', 'x-keyledger-on-behalf-of': 'auditor@example.org' };
    const { body } = await desk.admin.get(`/v1/audit/events?actorId=${JANE}`, reader);
    expect(body.items).toHaveLength(1);
    expect(JSON.stringify(body.items[0])).toContain(JO.email);
    expect(JSON.stringify(body.items[0])).toContain(ADDRESS);
    const csv = await desk.admin.get(`/v1/audit/events?keyId=${keyId}&format=csv`, reader);
    expect(csv.body.text).toContain(JANE);
    const files = await readAll(system.eventStore.folder);
    for (const value of ['198.51.100.231', 'auditor@example.org']) expect(files).not.toContain(value);
  });

  it('of an owner is changed with the owner, and giving it again unchanged records nothing', async () => {
    const { keyId: other } = await desk.issue(mine, { owner: { id: 'app-x', type: 'service', contact: JO } });
    const same = await desk.admin.patch(`/v1/keys/${other}`, { owner: { id: 'app-x', type: 'service', contact: JO } });
    expect(same.body).toMatchObject({ revision: 0, owner: { contact: JO } });
    const changed = await desk.admin.patch(`/v1/keys/${other}`, { owner: { id: 'app-x', type: 'service' } });
    expect(changed.body).toMatchObject({ revision: 1, owner: { id: 'app-x', type: 'service' } });
    expect(changed.body.owner).not.toHaveProperty('contact');
  });

  it.each([
    ['an address that is none', { email: 'jo at example' }, 'owner.contact.email'],
    ['a member that is none', { phone: '1' }, 'owner.contact.phone'],
    ['a mark that stands for erased data', { name: '[erased]' }, 'owner.contact.name'],
    ['a text that looks encrypted', { name: 'pii:v1:x:1:contact.name:y' }, 'owner.contact.name'],
  ])('is refused as a contact where it is %s', async (_, contact, field) => {
    const owner = { id: 'app-bad', type: 'service', contact };
    const { status, body } = await desk.admin.post('/v1/keys', { ...requestFor(mine), owner });
    expect([status, body.errors[0].field]).toEqual([400, field]);
  });

  it('makes another request of a repeated Idempotency-Key where it differs', async () => {
    const owner = { id: 'app-jo', type: 'application', contact: { ...JO, name: 'Al Other' } };
    const { status, body } = await desk.admin.post('/v1/keys', { ...requestFor(mine), owner }, FROM_JANE);
    expect([status, body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
  });
});

describe('a subject', () => {
  it('is found by exactly one name, in a body, and says what is kept', async () => {
    const { body } = await desk.admin.post('/v1/privacy/subjects/find', { ownerId: 'app-jo' });
    expect(body).toMatchObject({ kind: 'owner', state: 'held', name: 'app-jo', keyIds: [keyId], erasures: [] });
    expect(body.fields).toEqual(['contact.name', 'contact.email']);
    expect((await desk.admin.get(`/v1/privacy/subjects/${body.subjectId}`)).body).toEqual(body);
    const jane = await desk.admin.post('/v1/privacy/subjects/find', { onBehalfOf: 'Jane.Doe@example.com' });
    expect(jane.body).toMatchObject({ kind: 'person', name: JANE });
    for (const names of [{}, { ownerId: 'a', keyId: 'b' }]) {
      expect((await desk.admin.post('/v1/privacy/subjects/find', names)).status).toBe(400);
    }
    expect((await desk.admin.post('/v1/privacy/subjects/find', { onBehalfOf: 'nobody' })).status).toBe(404);
    for (const id of ['nobody', '0'.repeat(22), '..%2f..%2findex.key']) {
      expect((await desk.admin.get(`/v1/privacy/subjects/${id}`)).status).toBe(404);
    }
  });

  it('is seen with privacy:read and erased with privacy:erase only, which no keyspace bounds', async () => {
    const id = await subjectOf({ ownerId: 'app-jo' });
    const reader = desk.as(await desk.credential('privacy:read'));
    expect((await reader.get(`/v1/privacy/subjects/${id}`)).status).toBe(200);
    expect((await reader.post(`/v1/privacy/subjects/${id}/erase`, { reason: 'x' })).status).toBe(403);
    const other = desk.as(await desk.credential('audit:*', 'keys:*'));
    expect((await other.get(`/v1/privacy/subjects/${id}`)).status).toBe(403);
    const bound = await desk.admin.post('/v1/keys', { ...requestFor('system'), scopes: ['privacy:read@acme'] });
    expect(bound.status).toBe(403);
  });
});

describe('an erasure', () => {
  let backup: string, tree: Tree, bundle: string;
  const signer = parseSignerKey(generateSignerKey('keys.example.com/audit'));

  beforeAll(async () => {
    backup = `${temporaryFolder()}/subjects`;
    cpSync(subjects, backup, { recursive: true });
    tree = treeOf(await stored());
    bundle = await exported(tree, signer);
    for (const names of [{ ownerId: 'app-jo' }, { onBehalfOf: JANE }]) {
      const id = await subjectOf(names);
      const request = { reason: 'request of the person', comment: 'ticket 7' };
      const { status, body } = await desk.admin.post(`/v1/privacy/subjects/${id}/erase`, request);
      expect([status, body]).toMatchObject([200, { subjectId: id, state: 'erased', erasures: [{ generation: 1 }] }]);
      expect(body.erasures[0]).toMatchObject({ reason: 'request of the person', keyDestroyed: true });
      expect(body).not.toHaveProperty('name');
    }
  });

  it('is seen in every answer of every process, also in the receipt of the request that brought the data', async () => {
    const erased = { name: '[erased]', email: '[erased]' };
    await eventually('the other process forgets the keys', async () => {
      const { body } = await http(second.baseUrl, system.adminKey).get(`/v1/keys/${keyId}`);
      expect(body.owner.contact).toEqual(erased);
    });
    expect((await desk.admin.get(`/v1/keys/${keyId}`)).body.owner.contact).toEqual(erased);
    const list = await desk.admin.get('/v1/keys?ownerId=app-jo');
    expect(list.body.items.map(({ owner }: { owner: { contact: object } }) => owner.contact)).toEqual([erased]);
    const owner = { id: 'app-jo', type: 'application', contact: JO };
    const receipt = await desk.admin.post('/v1/keys', { ...requestFor(mine), owner }, FROM_JANE);
    expect(receipt.headers.get('idempotent-replayed')).toBe('true');
    expect(receipt.body).toMatchObject({ keyId, owner: { contact: erased } });
  });

  it.each(['json', 'ndjson', 'csv', 'ocsf'])('is seen in the audit trail as %s', async (format) => {
    const { body } = await desk.admin.get(`/v1/audit/events?keyId=${keyId}&format=${format}`);
    const text = JSON.stringify(body);
    expect(text).toContain('[erased]');
    for (const value of PERSONAL) expect([value, text.includes(value)]).toEqual([value, false]);
    expect(text).not.toContain('pii:v1:');
  });

  it('is seen in the past, too', async () => {
    for (const path of [`keys/${keyId}`, 'state?owner=app-jo']) {
      const text = JSON.stringify((await desk.admin.get(`/v1/audit/${path}`)).body);
      expect([path, text.includes('[erased]'), text.includes(JO.email)]).toEqual([path, true, false]);
    }
  });

  it('is on record with its reason, and names nobody', async () => {
    const { events } = await store.load(`subject-${await subjectOf({ onBehalfOf: JANE })}`);
    expect(events.map(({ event }) => event)).toMatchObject([
      { type: 'SubjectErased', data: { kind: 'person', generation: 1, comment: 'ticket 7' } },
    ]);
    expect(events[0]?.metadata).toMatchObject({ reason: 'request of the person' });
  });

  it('leaves every leaf as it was: a bundle from before verifies, and so does one made after', async () => {
    const trustedKeys = [formatVerifierKey(signer)];
    expect(await verifyBundle(bundle, { trustedKeys })).toMatchObject({ ok: true, findings: [] });
    const after = treeOf(await stored());
    expect(after.hashes.slice(0, tree.hashes.length)).toEqual(tree.hashes);
    expect(after.hashes.length).toBeGreaterThan(tree.hashes.length);
    const report = await verifyBundle(await exported(after, signer), { trustedKeys });
    expect(report).toMatchObject({ ok: true, findings: [], events: after.hashes.length });
  });

  it('that a crash left half done, or a backup of the keys undid, is finished at the next start', async () => {
    rmSync(subjects, { recursive: true });
    cpSync(backup, subjects, { recursive: true });
    await system.api.restart();
    await eventually('the keys are destroyed again', async () => {
      const { body } = await desk.admin.get(`/v1/keys/${keyId}`);
      expect(body.owner.contact.email).toBe('[erased]');
      expect(
        (await desk.admin.get(`/v1/privacy/subjects/${await subjectOf({ ownerId: 'app-jo' })}`)).body,
      ).toMatchObject({ state: 'erased', erasures: [{ keyDestroyed: true }] });
    });
  });

  it('does not reach what is said later, which has a key of its own and is erased anew', async () => {
    const owner = { id: 'app-jo', type: 'application', contact: { name: 'Al Successor' } };
    const { keyId: later } = await desk.issue(mine, { owner });
    expect((await desk.admin.get(`/v1/keys/${later}`)).body.owner.contact).toEqual({ name: 'Al Successor' });
    expect((await desk.admin.get(`/v1/keys/${keyId}`)).body.owner.contact.name).toBe('[erased]');
    const id = await subjectOf({ ownerId: 'app-jo' });
    const [once, twice] = [
      await desk.admin.post(`/v1/privacy/subjects/${id}/erase`, { reason: 'again' }),
      await desk.admin.post(`/v1/privacy/subjects/${id}/erase`, { reason: 'and again' }),
    ];
    expect(once.body.erasures).toMatchObject([{ generation: 1 }, { generation: 2, reason: 'again' }]);
    expect(twice.body.erasures).toEqual(once.body.erasures);
    expect((await desk.admin.get(`/v1/keys/${later}`)).body.owner.contact.name).toBe('[erased]');
  });

  it('is one command', async () => {
    const issue = ['keys', 'issue', '--keyspace', mine, '--environment', 'live', '--name', 'cli', '--show-secret'];
    const issued = await cli(...issue, '--owner', 'app-cli', '--owner-email', 'cli@example.com', '--json');
    expect(issued.owner.contact).toEqual({ email: 'cli@example.com' });
    expect(await cli('privacy', 'show', '--owner', 'app-cli', '--json')).toMatchObject({ keyIds: [issued.keyId] });
    const erase = await cli('privacy', 'erase', '--owner', 'app-cli', '--reason', 'test', '--json');
    expect(erase).toMatchObject({ state: 'erased' });
    expect((await cli('keys', 'show', issued.keyId, '--json')).owner.contact.email).toBe('[erased]');
  });
});

interface Tree {
  events: StoredEvent[];
  hashes: Hash[];
  root: Hash;
  store: HashStore;
}

async function stored(): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  const prefixes = { streamPrefixes: AUDITED_STREAM_PREFIXES, after: 'start' as const };
  for await (const batch of store.readStored(prefixes)) events.push(...batch);
  return events;
}

function treeOf(events: StoredEvent[]): Tree {
  const hashes = events.map((event, index) => hashOfEvent(index, event));
  const nodes = new Map<string, Hash>();
  const edge = Frontier.empty();
  for (const hash of hashes) edge.append(hash, (level, index, node) => nodes.set(`${level}.${index}`, node));
  const store = {
    nodes: async (ids: readonly NodeId[]) => ids.map(({ level, index }) => nodes.get(`${level}.${index}`)!),
  };
  return { events, hashes, root: edge.root(), store };
}

/** A bundle of the whole log, as an auditor would have taken it away. */
async function exported({ events, hashes, root, store: tree }: Tree, signer: SignerKey): Promise<string> {
  const folder = join(temporaryFolder(), 'bundle');
  const now = '2026-11-24T12:00:00.000Z';
  const size = hashes.length;
  const note = signCheckpoint({ origin: signer.name, size, root }, [signer]);
  const batches = (async function* () {
    yield events;
  })();
  await writeBundle(folder, {
    from: 0,
    to: size,
    events: batches,
    tree,
    checkpoints: [{ note, at: now }],
    keys: [signer],
    now,
  });
  return folder;
}

// The answers of the command line are of every shape; what is not there fails the expectation, not the compiler.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
async function cli(...args: string[]): Promise<any> {
  const env = { ...process.env, KEYLEDGER_URL: system.api.baseUrl, KEYLEDGER_KEY: system.adminKey };
  const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...args], { env });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
  await once(child, 'close');
  if (out === '') throw new Error(err);
  return JSON.parse(out);
}

async function dump(): Promise<string> {
  const redis = async (...args: string[]): Promise<string> =>
    (await run('redis-cli', ['-p', String(system.redis.port), ...args], { maxBuffer: 1e8 })).stdout;
  await redis('BGREWRITEAOF');
  await eventually('the append-only file is rewritten', async () => {
    expect(await redis('INFO', 'persistence')).toContain('aof_rewrite_in_progress:0');
  });
  return readAll(system.redis.folder);
}

async function readAll(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return (await Promise.all(files.map((file) => readFile(file, 'latin1')))).join('\n');
}
