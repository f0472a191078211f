import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  formatVerifierKey,
  generateSignerKey,
  openCheckpoint,
  parseSignerKey,
  parseVerifierKey,
  verifyConsistency,
  verifyReceipt,
  type VerifierKey,
} from '@keyledger/audit';
import { EventStore } from '@keyledger/event-store';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { eventually, http, startSystem, temporaryFolder, type Client, type System } from '../support/index.js';
import { Desk } from './api.harness.js';

const signing = generateSignerKey('keys.example.com/audit');
const vkey = formatVerifierKey(parseSignerKey(signing));
const trusted: VerifierKey[] = [parseVerifierKey(vkey)];
const folder = temporaryFolder();
const published = join(folder, 'published');
const repository = join(folder, 'repository');
const unmounted = join(folder, 'unmounted');
const workerData = join(folder, 'worker');
const posted: string[] = [];

let system: System;
let desk: Desk;
let audit: Client;
let webhook: Server;
let webhookIsDown = true;

beforeAll(async () => {
  mkdirSync(repository);
  execFileSync('git', ['init', '--quiet', repository]);
  webhook = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      if (!webhookIsDown) posted.push(body);
      response.writeHead(webhookIsDown ? 500 : 204).end();
    });
  });
  await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
  const { port } = webhook.address() as AddressInfo;
  system = await startSystem({
    KEYLEDGER_SIGNING_KEY: signing,
    KEYLEDGER_AUDIT_CHECKPOINT_SECONDS: '1',
    KEYLEDGER_AUDIT_PUBLISH: [
      `file://${published}`,
      `file://${unmounted}/witness`,
      `git+file://${repository}`,
      `http://127.0.0.1:${port}/hook`,
    ].join(),
  });
  desk = new Desk(system);
  audit = http(system.api.baseUrl, await desk.credential('audit:read', 'audit:export'));
});

afterAll(async () => {
  await desk?.dispose();
  await system?.stop();
  webhook?.close();
  rmSync(workerData, { recursive: true, force: true });
});

const checkpoint = async () => (await audit.get('/v1/audit/checkpoint')).body;

/** A change, and a checkpoint that covers it. */
async function covered(): Promise<{ keyId: string; event: { id: string; position: bigint } }> {
  const keyspace = await desk.keyspace();
  const { keyId } = await desk.issue(keyspace);
  const store = new EventStore({ url: system.eventStore.url });
  const { events } = await store.load(`key-${keyId}`);
  await store.dispose();
  const [event] = events;
  if (!event) throw new Error('the key has no event');
  await eventually('a checkpoint covers it', async () => BigInt((await checkpoint()).position ?? 0) >= event.position);
  return { keyId, event };
}

const MAIN = 'dist/apps/cli/src/main.js';
const ran = (args: string[], env: NodeJS.ProcessEnv) => {
  const options = { env, encoding: 'utf8', timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'audit', ...args], options);
  return { status, stdout, stderr };
};

function cli(...args: string[]) {
  return ran(args, forCli());
}

function forCli(): NodeJS.ProcessEnv {
  const env = { ...process.env, KEYLEDGER_URL: system.api.baseUrl, KEYLEDGER_KEY: system.adminKey };
  return { ...env, EVENTSTORE_URL: system.eventStore.url, KEYLEDGER_DATA_DIR: join(folder, 'none') };
}

/** With nothing that leads to a server. */
const offline = (...args: string[]) => ran(args, { PATH: process.env['PATH'] });

describe('a signed checkpoint', () => {
  it('is signed by the configured key, and comes as JSON, as text and in a list', async () => {
    await covered();
    const { note, size, rootHash } = await checkpoint();
    const opened = openCheckpoint(note, trusted);
    expect(opened).toMatchObject({ origin: 'keys.example.com/audit', size });
    expect(opened.root.toString('base64')).toBe(rootHash);
    const text = await audit.get('/v1/audit/checkpoint', { accept: 'text/plain' });
    expect(openCheckpoint(text.body.text, trusted).size).toBeGreaterThanOrEqual(size);
    const { body } = await audit.get('/v1/audit/checkpoints?limit=1000');
    const sizes = body.items.map((one: { size: number }) => one.size);
    expect(sizes).toEqual(sizes.toSorted((a: number, b: number) => b - a));
    const keys = await audit.get('/v1/audit/keys');
    expect(keys.body.items).toEqual([expect.objectContaining({ key: vkey, signing: true })]);
  });

  it('is not followed by another while nothing but checkpoints happens', async () => {
    await covered();
    const store = new EventStore({ url: system.eventStore.url });
    const count = async () => (await store.load('audit-checkpoint')).revision;
    const settled = await eventually('the log is quiet', async () => {
      const before = await count();
      const { stdout } = spawnSync('sleep', ['2.5'], { encoding: 'utf8' });
      return (await count()) === before && { before, stdout };
    });
    expect(settled.before).toBeGreaterThanOrEqual(0);
    await store.dispose();
  });

  it('stands in every place outside, also in one that was down at first', async () => {
    const { position } = await checkpoint();
    webhookIsDown = false;
    await covered();
    expect(BigInt((await checkpoint()).position)).toBeGreaterThan(BigInt(position));
    await eventually('the folder has the newest', async () => latest(published) === (await checkpoint()).note);
    await eventually('the repository has the newest', async () => latest(repository) === (await checkpoint()).note);
    await eventually('the webhook has heard of it', async () => posted.includes((await checkpoint()).note));
    const commits = execFileSync('git', ['-C', repository, 'log', '--format=%s'], { encoding: 'utf8' });
    expect(commits).toMatch(/^Checkpoint of \d+ leaves$/m);
    expect(execFileSync('git', ['-C', repository, 'status', '--porcelain'], { encoding: 'utf8' })).toBe('');
  });

  it('goes to no folder that it would have to put in the place of a disk that is away, and the worker says so', async () => {
    await covered();
    await eventually('it is told', async () => {
      const { text } = (await http(system.worker.baseUrl).get('/metrics')).body;
      expect(text).toContain(`keyledger_audit_publish_failing{place="folder ${unmounted}/witness",app="worker"} 1`);
      return true;
    });
    expect(existsSync(unmounted)).toBe(false);
  });
});

describe('a proof', () => {
  it('of an event convinces whoever has its bytes and the public key, by id, position and index alike', async () => {
    const { event } = await covered();
    const { body } = await audit.get(`/v1/audit/proof/inclusion?eventId=${event.id}`);
    expect(body.event).toMatchObject({ id: event.id, position: String(event.position), type: 'KeyIssued' });
    for (const query of [`eventId=${event.id}`, `position=${event.position}`, `index=${body.index}`]) {
      const receipt = await audit.get(`/v1/audit/proof/inclusion?${query}`, { accept: 'text/plain' });
      expect(verifyReceipt(receipt.body.text, Buffer.from(body.leaf), trusted)).toMatchObject({ valid: true });
      const other = Buffer.from(body.leaf.replace('KeyIssued', 'KeyRevoked'));
      expect(verifyReceipt(receipt.body.text, other, trusted)).toMatchObject({ code: 'NOT_INCLUDED' });
    }
  });

  it('of consistency joins any two trees, up to the newest checkpoint', async () => {
    const before = await checkpoint();
    await covered();
    const { body } = await audit.get(`/v1/audit/proof/consistency?first=${before.size}`);
    expect(body.firstRootHash).toBe(before.rootHash);
    const [first, second] = [body.firstRootHash, body.secondRootHash].map((text) => Buffer.from(text, 'base64'));
    const hashes = body.hashes.map((text: string) => Buffer.from(text, 'base64'));
    expect(verifyConsistency(body.first, body.second, first as Buffer, second as Buffer, hashes)).toBe(true);
  });

  it.each([
    ['an index that is none', 'proof/inclusion?index=x', 400, 'index'],
    ['a position that is none', 'proof/inclusion?position=-1', 400, 'position'],
    ['an unknown id', 'proof/inclusion?eventId=00000000-0000-4000-8000-000000000000', 404, undefined],
    ['an index beyond the log', 'proof/inclusion?index=9007199254740991', 404, undefined],
    ['trees the wrong way round', 'proof/consistency?first=2&second=1', 400, 'first'],
    ['a tree that is not signed yet', 'proof/consistency?first=1&second=999999999', 404, undefined],
    ['no first tree', 'proof/consistency', 400, 'first'],
    ['a tile beyond the tree', 'tile/0/99999', 404, undefined],
    ['a range that is none', 'export?from=yesterday', 400, 'from'],
    ['a range before the first event', 'export?to=1970-01-02T00:00:00Z', 400, 'from'],
  ])('is refused for %s', async (_, path, status, field) => {
    const answer = await audit.get(`/v1/audit/${path}`);
    expect(answer.status).toBe(status);
    expect(answer.body.errors?.[0]?.field).toBe(field);
  });

  it.each([
    ['', 'eventId', 'eventId is missing, and so are position and index.'],
    ['?index=1&position=4', 'index', 'index names an event besides position.'],
    ['?eventId=x&position=4', 'position', 'position names an event besides eventId.'],
    ['?eventId=x&index=1&position=4', 'position', 'position names an event besides eventId.'],
  ])(
    'of the event that %j names is refused, saying whether one is missing or too many',
    async (query, field, detail) => {
      const { status, body } = await audit.get(`/v1/audit/proof/inclusion${query}`);
      expect([status, body.detail]).toEqual([400, detail]);
      expect(body.errors).toEqual([expect.objectContaining({ field, fix: 'one of eventId, position and index' })]);
    },
  );

  it('needs a scope that ends at no keyspace, and export one of its own', async () => {
    const bound = http(system.api.baseUrl, await desk.credential('audit:read@acme'));
    expect((await bound.get('/v1/audit/proof/inclusion?index=0')).status).toBe(403);
    const reader = http(system.api.baseUrl, await desk.credential('audit:read'));
    expect((await reader.get('/v1/audit/proof/inclusion?index=0')).status).toBe(200);
    expect((await reader.get('/v1/audit/export')).status).toBe(403);
  });
});

describe('keyledger audit', () => {
  it('exports a bundle that verifies offline, and names the event in which one byte was changed', async () => {
    const { event } = await covered();
    const bundle = join(folder, 'bundle');
    expect(cli('export', '--from', '1', '--out', bundle)).toMatchObject({ status: 0 });
    expect(cli('verify', bundle, '--trusted-key', vkey)).toMatchObject({ status: 0 });
    const file = join(bundle, 'events.ndjson');
    const lines = readFileSync(file, 'utf8');
    const line = lines.split('\n').find((one) => one.includes(`"id":"${event.id}"`)) ?? '';
    writeFileSync(file, lines.replace(line, line.replace('payments:read', 'payments:writ')));
    const { status, stdout } = cli('verify', bundle, '--trusted-key', vkey);
    expect(status).toBe(6);
    expect(stdout).toContain(event.id);
    const stranger = formatVerifierKey(parseSignerKey(generateSignerKey('keys.example.com/audit')));
    expect(cli('verify', bundle, '--trusted-key', stranger).stdout).toContain('CHECKPOINT_REFUSED');
    expect(cli('verify', bundle, '--trusted-key', 'no key')).toMatchObject({ status: 2 });
  });

  it('checks a receipt offline, and refuses it for another event, another key and one that was altered', async () => {
    const { event } = await covered();
    const [receipt, leaf, keys] = ['event.tlog-proof', 'event.json', 'keys.txt'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    expect(cli('receipt', event.id, '--out', receipt, '--leaf', leaf)).toMatchObject({ status: 0 });
    writeFileSync(keys, `${vkey}\n`);
    const check = (...more: string[]) => offline('verify-receipt', receipt, ...more);
    const proved = check('--leaf', leaf, '--trusted-keys', keys, '--json');
    expect(proved.status).toBe(0);
    expect(JSON.parse(proved.stdout)).toMatchObject({
      ok: true,
      event: { id: event.id, type: 'KeyIssued', position: String(event.position) },
      checkpoint: { origin: 'keys.example.com/audit', signedBy: [vkey] },
    });
    expect(check('--leaf', leaf, '--trusted-key', vkey).stdout).toContain(event.id);

    const other = join(folder, 'other.json');
    writeFileSync(other, readFileSync(leaf, 'utf8').replace('KeyIssued', 'KeyRevoked'));
    const refused = check('--leaf', other, '--trusted-key', vkey);
    expect([refused.status, refused.stdout]).toEqual([6, expect.stringContaining('NOT_INCLUDED')]);
    writeFileSync(other, JSON.stringify(JSON.parse(readFileSync(leaf, 'utf8')), undefined, 2));
    expect(check('--leaf', other, '--trusted-key', vkey).stdout).toContain('canonical form');
    const stranger = formatVerifierKey(parseSignerKey(generateSignerKey('keys.example.com/audit')));
    const untrusted = check('--leaf', leaf, '--trusted-key', stranger);
    expect([untrusted.status, untrusted.stdout]).toEqual([6, expect.stringContaining('UNKNOWN_KEY')]);
    expect(check('--leaf', leaf).status).toBe(2);
    expect(check('--leaf', join(folder, 'nowhere'), '--trusted-key', vkey).status).toBe(2);

    writeFileSync(receipt, readFileSync(receipt, 'utf8').replace(/^index .*$/m, 'index 0'));
    expect(check('--leaf', leaf, '--trusted-key', vkey).status).toBe(6);
  });

  it('exports by instants and by positions what was recorded between them', async () => {
    const { event } = await covered();
    const { body } = await audit.get(`/v1/audit/proof/inclusion?eventId=${event.id}`);
    const byPosition = await audit.get(`/v1/audit/export/range?from=position:${event.position}`);
    expect(byPosition.body.from).toBe(body.index);
    const byTime = await audit.get(`/v1/audit/export/range?from=${body.event.recordedAt}`);
    expect(byTime.body.from).toBeLessThanOrEqual(body.index);
    expect(byTime.body.from).toBeGreaterThan(body.index - 20);
  });

  it('finds a live store to fit every checkpoint, inside and outside', async () => {
    await covered();
    const { status, stdout } = cli('fsck', '--checkpoints', published, '--trusted-key', vkey);
    expect(stdout).toContain('everything fits');
    expect(status).toBe(0);
    expect(readdirSync(published).length).toBeGreaterThan(1);
  });

  it('says that nothing from outside was there to check by, where the configured places are empty', async () => {
    await covered();
    const emptied = join(folder, 'emptied');
    mkdirSync(emptied);
    const { status, stderr } = ran(['fsck'], { ...forCli(), KEYLEDGER_AUDIT_PUBLISH: `file://${emptied}` });
    expect(stderr).toContain(`no checkpoint is published in ${emptied}`);
    expect(status).toBe(0);
  });

  it('refuses a checkpoint outside that is signed by another key, with both as evidence', async () => {
    const witness = join(folder, 'witness');
    mkdirSync(witness);
    const { note } = await checkpoint();
    const other = generateSignerKey('keys.example.com/audit');
    const { signNote, unverifiedText } = await import('@keyledger/audit');
    const forged = signNote(unverifiedText(note), [parseSignerKey(other)]);
    writeFileSync(join(witness, 'latest.txt'), forged);
    const { status, stdout } = cli('fsck', '--checkpoints', witness, '--trusted-key', vkey, '--json');
    expect(status).toBe(6);
    expect(JSON.parse(stdout).findings).toEqual([
      expect.objectContaining({ code: 'CHECKPOINT_REFUSED', evidence: [note, forged] }),
    ]);
  });
});

function latest(where: string): string | undefined {
  try {
    return readFileSync(join(where, 'latest.txt'), 'utf8');
  } catch {
    return undefined;
  }
}
