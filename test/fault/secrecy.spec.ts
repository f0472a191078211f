import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ledger, RECEIVER_ENV, ReceiverKeys, secretIn } from '../e2e/clock.desk.js';
import {
  eventually,
  http,
  startReceiver,
  startSystem,
  type Answer,
  type Delivery,
  type System,
} from '../support/index.js';

const run = promisify(execFile);

let system: System;
const secrets: string[] = [];
const answers: Answer[] = [];

beforeAll(async () => {
  system = await startSystem({ ...RECEIVER_ENV, KEYLEDGER_LOG_LEVEL: 'debug' });
  const api = http(system.api.baseUrl, system.adminKey);
  const verifier = http(system.verifier.baseUrl, system.adminKey);
  await api.post('/v1/keyspaces', { name: 'Secrecy', prefix: 'hush', policy: { selfRotate: true } });
  const request = {
    keyspaceId: 'hush',
    environment: 'live',
    name: 'quiet',
    owner: { id: 'hush', type: 'service' },
    scopes: ['a:read'],
  };
  const issued = await api.post('/v1/keys', request, { 'idempotency-key': 'hush-issue-1' });
  const rotated = await api.post(`/v1/keys/${issued.body.keyId}/rotate`, {}, { 'idempotency-key': 'hush-rotate-1' });
  const bait = await api.post('/v1/keys', { ...request, decoy: true });
  const leaked = await api.post('/v1/keys', { ...request, name: 'leaked' });
  const found = await api.post('/v1/keys', { ...request, name: 'found' });
  const foreign = `foreign-secret_${'q7Zt'.repeat(10)}`;
  secrets.push(issued.body.key, rotated.body.key, system.adminKey);
  secrets.push(bait.body.key, leaked.body.key, found.body.key, foreign);

  secrets.push(...(await rotatedByPolicy()));

  // Every way in which a key can come near a log or an error: as a credential, in a body, a wrong field, a URL, a header.
  const [key] = secrets as [string];
  answers.push(
    await verifier.post('/v1/verify', { key }),
    await verifier.post('/v1/verify', { key: `${key.slice(0, -1)}!`, [key]: key }),
    await verifier.get('/v1/authorize', { authorization: `Bearer ${key}` }),
    await http(system.api.baseUrl, key).get('/v1/keys'),
    await http(system.api.baseUrl, key).post('/v1/keys/self/rotate', { graceSeconds: key }),
    await api.get(`/v1/keys/${key}`),
    await api.get(`/v1/keys?cursor=${key}&${key}=1`),
    await api.get(`/v1/${key}`),
    await api.post('/v1/keys', { ...request, scopes: [key], [key]: 1 }),
    await api.post('/v1/keys', request, { 'idempotency-key': `"${key}` }),
    await api.post('/v1/keys', `{"name": "${key}", `),
    await api.post(`/v1/keys/${issued.body.keyId}/revoke`, { reason: key }),
    await api.get(`/v1/keys/${issued.body.keyId}`),
    await api.get('/v1/keys'),
    await api.get('/metrics'),
    await verifier.get('/metrics'),
  );

  // Pasted by mistake where something is recorded: refused in a body and in words about it, masked in all that only comes along.
  const path = `/v1/keys/${issued.body.keyId}`;
  const channel = { name: 'x', type: 'webhook', audience: 'system', target: { url: `https://a.example/${key}` } };
  const refused = [
    await api.patch(path, { name: `n ${key}` }),
    await api.patch(path, { metadata: { seen: key } }),
    await api.patch(path, { metadata: { [key]: 'x' } }),
    await api.post(`${path}/suspend`, { reason: 'x', comment: key }),
    await api.post('/v1/channels', channel),
    await api.patch(path, { name: 'n' }, { 'x-keyledger-reason': key }),
    await api.patch(path, { name: 'n' }, { 'x-keyledger-on-behalf-of': key }),
  ];
  expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 400));
  answers.push(
    ...refused,
    await api.patch(path, { name: 'n1' }, { 'x-request-id': key }),
    await api.patch(path, { name: 'n2' }, { 'user-agent': `agent/${key}` }),
    await api.get(`/v1/audit/events?ownerId=${key}&correlationId=${key}`),
    await api.get(`/v1/audit/events?format=ndjson&requestId=${key}`),
    await api.get(`/v1/audit/state?owner=${key}&scope=${key}`),
    await api.post('/v1/audit/explain', { key, request: { origin: `https://${key}` } }),
  );

  // And in a report that it was found, where it stands beside itself once more.
  const beside = (text: string) => ({ url: `https://a.example/?k=${text}`, comment: `it is ${text}` });
  const anybody = http(system.api.baseUrl);
  answers.push(
    await api.post('/v1/leaks', { key: leaked.body.key, ...beside(leaked.body.key) }),
    await api.post('/v1/leaks', { key: foreign, ...beside(foreign) }),
    await api.post('/v1/leaks', { key: leaked.body.key, source: leaked.body.key }),
    await anybody.post('/v1/leaks/found', { key: found.body.key, ...beside(found.body.key) }),
    await anybody.post('/v1/integrations/github/secret-scanning', [{ token: foreign, type: foreign }]),
    await verifier.post('/v1/verify', { key: bait.body.key }, { 'user-agent': `probe/${bait.body.key}` }),
    await eventually('the bait was told of', async () => {
      const answer = await api.get('/v1/leaks?source=honeykey');
      return answer.body.items.length > 0 && answer;
    }),
    await api.get('/v1/leaks'),
  );
});

/** Two new secrets that a rotation by policy has made: one went to a webhook, the other was picked up. */
async function rotatedByPolicy(): Promise<string[]> {
  const api = http(system.api.baseUrl, system.adminKey);
  const ledger = new Ledger(system.eventStore.url);
  const keys = await ReceiverKeys.make();
  const receiver = await startReceiver();
  const policy = { rotation: { every: 'PT6S', grace: 'PT5S', mode: 'automatic' } };
  await api.post('/v1/keyspaces', { name: 'Secrecy', prefix: 'hushed', policy });
  await ledger.receiver('by-webhook', { publicKey: keys.publicJwk, via: 'webhook', url: receiver.url });
  await ledger.receiver('by-pickup', { publicKey: keys.publicJwk, via: 'pickup' });
  const issue = async (id: string): Promise<string> => {
    const request = { keyspaceId: 'hushed', environment: 'live', name: id, owner: { id, type: 'service' }, scopes: [] };
    return (await api.post('/v1/keys', request)).body.keyId;
  };
  await issue('by-webhook');
  const keyId = await issue('by-pickup');
  const jwe = await eventually('the delivery waits', async () => {
    const [delivery] = (await api.get(`/v1/deliveries?keyId=${keyId}`)).body.items;
    const picked = await api.get(`/v1/deliveries/${delivery.deliveryId}`);
    answers.push(picked);
    return picked.status === 200 ? (picked.body.jwe as string) : false;
  });
  await eventually('the webhook has it', () => receiver.deliveries.length > 0);
  await receiver.close();
  await ledger.dispose();
  const jwes = [jwe, secretIn(receiver.deliveries[0] as Delivery).jwe];
  return (await Promise.all(jwes.map((one) => keys.open(one)))).map(({ key }) => key);
}

afterAll(async () => {
  await system.stop();
});

/** What makes a key secret: the part behind its secretId; of a text that is no key of ours, all of it. */
const secretPart = (key: string): string => /_[0-9A-Za-z]{12}_([0-9A-Za-z]{49})$/.exec(key)?.[1] ?? key;

const expectNone = (place: string, text: string): void => {
  expect(text.length).toBeGreaterThan(0);
  for (const [index, secret] of secrets.entries()) {
    if (text.includes(secretPart(secret))) throw new Error(`secret ${index} stands in ${place}`);
  }
};

it('no secret stands in anything that Redis holds', async () => {
  const cli = async (...args: string[]): Promise<string> =>
    (await run('redis-cli', ['-p', String(system.redis.port), ...args], { maxBuffer: 1e8 })).stdout;
  await cli('BGREWRITEAOF');
  await eventually('the append-only file is rewritten', async () => {
    expect(await cli('INFO', 'persistence')).toContain('aof_rewrite_in_progress:0');
  });
  expectNone('the append-only files of Redis', await readAll(system.redis.folder));
  for (const key of (await cli('--scan')).split('\n').filter(Boolean)) {
    const type = (await cli('TYPE', key)).trim();
    const dump = {
      string: ['GET', key],
      hash: ['HGETALL', key],
      zset: ['ZRANGE', key, '0', '-1'],
      set: ['SMEMBERS', key],
      list: ['LRANGE', key, '0', '-1'],
      stream: ['XRANGE', key, '-', '+'],
    };
    // A job that was done between the two questions.
    if (type === 'none') continue;
    const command = dump[type as keyof typeof dump];
    expect({ key, type, known: command !== undefined }).toEqual({ key, type, known: true });
    expectNone(`the Redis key ${key}`, `${key}${await cli(...(command ?? []))}`);
  }
});

it('no secret stands in the files of the event store, which can be read: the public part of each is there', async () => {
  const files = await readAll(system.eventStore.folder);
  expectNone('the event store', files);
  for (const key of secrets.slice(0, 2)) expect(files).toContain(key.split('_')[2]);
});

it('no secret stands in an answer other than the one that made it', () => {
  expect(answers.map(({ status }) => status)).not.toContain(500);
  for (const [index, { headers, body }] of answers.entries())
    expectNone(`answer ${index}`, JSON.stringify([[...headers], body]));
});

it.each(['api', 'verifier', 'worker', 'eventStore', 'redis'] as const)('no secret stands in the log of %s', (part) => {
  expectNone(`the log of ${part}`, `${system[part].logs()} `);
});

async function readAll(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return (await Promise.all(files.map((file) => readFile(file, 'latin1')))).join('\n');
}
