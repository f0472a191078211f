import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, http, isAlive, startReceiver } from '../support/index.js';
import { Holder, ReceiverKeys } from './clock.desk.js';
import { supervisor, upLines, type Supervisor } from './supervisor.js';

const APPS = ['api', 'verifier', 'worker'] as const;

let system: Supervisor;
let adminKey: string;

const url = (name: (typeof APPS)[number]): string => `http://127.0.0.1:${system.ports[name]}`;
const shownKeys = (): string[] =>
  [...system.process.logs().matchAll(/KEYLEDGER_KEY=(\S+)/g)].map(([, key]) => key ?? '');

beforeAll(async () => {
  system = await supervisor([]);
  await system.start();
  adminKey = shownKeys()[0] ?? '';
});

afterAll(async () => {
  await system.process.stop();
});

it('says once that it is up, with every address, when every app is ready', async () => {
  const [line, ...more] = upLines(system.process);
  expect(more).toEqual([]);
  for (const name of APPS) {
    expect(line).toContain(`${name} ${url(name)}`);
    expect((await http(url(name)).get('/health/ready')).status).toBe(200);
  }
  expect(line).toContain(`docs ${url('api')}/docs`);
  expect((await http(url('api')).get('/docs')).status).toBe(200);
});

it('warns of nothing where nothing is wrong', () => {
  expect(
    system.process
      .logs()
      .split('\n')
      .filter((line) => /warn|error/i.test(line)),
  ).toEqual([]);
});

it('shows the first management key once, which works and stands in no file', async () => {
  expect(shownKeys()).toHaveLength(1);
  const created = await http(url('api'), adminKey).post('/v1/keyspaces', { name: 'Up', prefix: 'upfirst' });
  expect(created.status).toBe(201);
  const secret = adminKey.slice(-49);
  for (const entry of readdirSync(system.folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    expect({ path, holdsTheKey: readFileSync(path, 'latin1').includes(secret) }).toEqual({ path, holdsTheKey: false });
  }
});

it('rotates the keys of a ten-second policy by itself, and refuses neither of their secrets', async () => {
  const admin = http(url('api'), adminKey);
  const keys = await ReceiverKeys.make();
  const receiver = await startReceiver();
  const owner = { id: 'app-7', type: 'service' };
  const policy = { rotation: { every: 'PT10S', grace: 'PT9S', mode: 'automatic' } };
  const keyspace = await admin.post('/v1/keyspaces', { name: 'Turning', prefix: 'turning', policy });
  expect(keyspace.status).toBe(201);
  const target = { publicKey: keys.publicJwk, via: 'webhook', url: receiver.url };
  const channel = { name: 'owner', type: 'receiver', audience: { ownerId: owner.id }, target };
  expect((await admin.post('/v1/channels', channel)).status).toBe(201);
  const request = { keyspaceId: 'turning', environment: 'live', name: 'turning', owner, scopes: [] };
  const issued = await admin.post('/v1/keys', request);
  expect(issued.status).toBe(201);
  const holder = new Holder(issued.body.key, keys, receiver, http(url('verifier'), adminKey));
  await holder.useThrough(3, 90_000);
  await receiver.close();
  expect(holder.refused).toEqual([]);
  expect(holder.uses).toBeGreaterThan(100);
});

it.each(APPS)('starts %s again when it is killed', async (name) => {
  const before = system.child(name);
  process.kill(before, 'SIGKILL');
  await eventually(`${name} is back`, () => system.process.logs().includes(`${name} is back`));
  expect(system.child(name)).not.toBe(before);
  expect((await http(url(name)).get('/health/ready')).status).toBe(200);
});

it('stops whole, comes up again with what it knew, and does not show the key again', async () => {
  const children = system.children();
  expect(children.length).toBeGreaterThanOrEqual(6);
  await system.process.stop();
  expect(system.process.exitCode).toBe(0);
  expect(children.filter(({ pid }) => isAlive(pid))).toEqual([]);

  await system.start();
  expect(shownKeys()).toHaveLength(1);
  const { status, body } = await http(url('api'), adminKey).get('/v1/keyspaces/upfirst');
  expect({ status, name: body.name }).toEqual({ status: 200, name: 'Up' });
});

it('leaves no process behind when the supervisor is killed', async () => {
  const children = system.children();
  await system.process.kill();
  await eventually('every process is gone', () => children.every(({ pid }) => !isAlive(pid)));
});
