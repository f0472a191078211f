import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  checkLog,
  CheckpointLog,
  FileTiles,
  formatVerifierKey,
  generateSignerKey,
  parseKeyring,
  parseSignerKey,
  readPublished,
  signCheckpoint,
  type LogReport,
} from '@keyledger/audit';
import { EventStore } from '@keyledger/event-store';
import { open, type Database } from 'lmdb';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  eventually,
  http,
  startApp,
  startEventStore,
  startSystem,
  temporaryFolder,
  type App,
  type System,
} from '../support/index.js';
import { Desk } from '../e2e/api.harness.js';

const ORIGIN = 'keys.example.com/audit';
const signing = generateSignerKey(ORIGIN);
const keyring = parseKeyring(signing);
const home = temporaryFolder();
const published = join(home, 'published');
const workerData = join(home, 'worker');
const apiData = join(home, 'api');
const AUDIT = {
  KEYLEDGER_SIGNING_KEY: signing,
  KEYLEDGER_AUDIT_CHECKPOINT_SECONDS: '1',
  KEYLEDGER_AUDIT_PUBLISH: `file://${published}`,
};

let system: System;
let worker: App;
let api: App;
let desk: Desk;
let store: EventStore;

/** Nothing of an earlier test is left to be signed. */
async function signed(): Promise<void> {
  const log = new CheckpointLog(store);
  await eventually('everything but the checkpoint itself is signed', async () => {
    const newest = await log.newest();
    return newest !== undefined && (await store.head()) === newest.recordedPosition;
  });
}

async function change(): Promise<void> {
  await desk.issue(await desk.keyspace());
}

async function findings(of: EventStore = store, keys = keyring.trusted): Promise<LogReport> {
  const tree = await FileTiles.open(join(workerData, 'audit', 'tree'));
  return checkLog({ store: of, trusted: keys, published: readPublished(published), tree });
}

beforeAll(async () => {
  system = await startSystem();
  store = new EventStore({ url: system.eventStore.url });
  worker = await startApp('worker', { ...system.env, ...AUDIT, KEYLEDGER_DATA_DIR: workerData });
  api = await startApp('api', { ...system.env, KEYLEDGER_DATA_DIR: apiData });
  desk = new Desk(system);
  for (let keys = 0; keys < 3; keys++) await change();
  await signed();
  await change();
  await signed();
});

afterAll(async () => {
  await desk?.dispose();
  await store?.dispose();
  await worker?.stop();
  await api?.stop();
  await system?.stop();
});

describe('a process that dies, or loses its files, while history goes on', () => {
  it('signs the same log on after kill -9 in the midst of it', async () => {
    for (let rounds = 0; rounds < 3; rounds++) {
      const changes = Promise.all([change(), change()]);
      await worker.kill();
      await worker.start();
      await changes;
    }
    await signed();
    expect(await findings()).toMatchObject({ ok: true });
  });

  it('makes a tree that was deleted or torn again from the events, and signs no other', async () => {
    const tree = join(workerData, 'audit', 'tree');
    await worker.stop();
    writeFileSync(join(tree, 'tiles-0'), readFileSync(join(tree, 'tiles-0')).subarray(0, 40));
    await worker.start();
    await change();
    await signed();
    rmSync(tree, { recursive: true });
    await change();
    await worker.restart();
    await signed();
    expect(await findings()).toMatchObject({ ok: true });
  });

  it('gives out no proof from damaged hashes: 503, then a good one from hashes made again', async () => {
    const audit = http(api.baseUrl, system.adminKey);
    const ask = () => audit.get('/v1/audit/proof/inclusion?index=1');
    expect((await ask()).status).toBe(200);
    await api.stop();
    const file = join(apiData, 'audit', 'tree-api', 'tiles-0');
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
    writeFileSync(file, bytes);
    await api.start();
    const { status } = await ask();
    expect([200, 503]).toContain(status);
    await eventually('a good proof', async () => (await ask()).status === 200);
    expect((await ask()).body.hashes).toHaveLength((await ask()).body.hashes.length);
  });

  it('is joined by a second worker, and each size is signed once', async () => {
    const second = await startApp('worker', { ...system.env, ...AUDIT, KEYLEDGER_DATA_DIR: join(home, 'second') });
    for (let changes = 0; changes < 3; changes++) await change();
    await signed();
    await second.stop();
    const report = await findings();
    expect(report.findings).toEqual([]);
    const sizes = (await new CheckpointLog(store).page(1000)).map(({ size }) => size);
    expect(new Set(sizes).size).toBe(sizes.length);
  });
});

describe('a signing key', () => {
  it('is rotated: the new one signs on, the old one is trusted as a public key only', async () => {
    const fresh = generateSignerKey(ORIGIN);
    const former = formatVerifierKey(parseSignerKey(signing));
    await worker.stop();
    const rotated = await startApp('worker', {
      ...system.env,
      ...AUDIT,
      KEYLEDGER_SIGNING_KEY: `${fresh},${former}`,
      KEYLEDGER_DATA_DIR: workerData,
    });
    await change();
    await signed();
    await rotated.stop();
    const both = parseKeyring(`${fresh},${former}`).trusted;
    expect(await findings(store, both)).toMatchObject({ ok: true });
    expect((await findings()).findings[0]).toMatchObject({ code: 'CHECKPOINT_REFUSED' });
    keyring.trusted = both;
  });

  it('that the log does not know signs nothing, and that is told with both as evidence', async () => {
    const stranger = await startApp('worker', {
      ...system.env,
      ...AUDIT,
      KEYLEDGER_SIGNING_KEY: generateSignerKey(ORIGIN),
      KEYLEDGER_DATA_DIR: join(home, 'stranger'),
      KEYLEDGER_AUDIT_PUBLISH: '',
    });
    const before = await new CheckpointLog(store).newest();
    await change();
    const found = await eventually('the mismatch is an event', async () => {
      const { events } = await store.load('audit-check');
      return (
        events.map(({ event }) => event.data).find((data) => 'foundBy' in data && data.foundBy === 'sequencer') ?? false
      );
    });
    await stranger.stop();
    expect(found).toMatchObject({
      code: 'CHECKPOINT_REFUSED',
      evidence: [before?.note, expect.any(String)],
    });
    expect((await new CheckpointLog(store).newest())?.size).toBe(before?.size);
  });
});

describe('the store’s own file, changed behind our back', () => {
  interface Row {
    key: number;
    bytes: Buffer;
  }
  let image: string;
  let rows: Row[];
  /** A place in the middle, before the newest checkpoint, at which an event of a key stands. */
  let at: number;
  /** Rows in front that are the store's own, and no leaves. */
  let own: number;

  beforeAll(async () => {
    await Promise.all([system.worker.stop(), system.api.stop(), system.verifier.stop(), api.stop()]);
    const { events } = await findings();
    await system.eventStore.stop();
    image = system.eventStore.folder;
    const log = openLog(image);
    rows = [...log.table.getRange({})].map(({ key, value }) => ({ key, bytes: Buffer.from(value) }));
    await log.close();
    own = rows.length - events;
    at = rows.findIndex(({ bytes }, index) => index > 6 && bytes.includes('KeyIssued'));
  });

  it.each<[string, (rows: Row[], at: number) => Buffer[]]>([
    ['a bit is flipped', (all, at) => replaced(all, at, (bytes) => edit(bytes, 'payments:read', 'payments:reae'))],
    ['an event is dropped', (all, at) => all.map(({ bytes }) => bytes).filter((_, index) => index !== at)],
    ['an event is added', (all, at) => all.map(({ bytes }) => bytes).toSpliced(at, 0, (all[at - 1] as Row).bytes)],
    ['two events are swapped', (all, at) => swapped(all, at)],
    ['an event is re-dated', (all, at) => replaced(all, at, redated)],
    ['the newest events are cut off', (all) => all.map(({ bytes }) => bytes).slice(0, -6)],
  ])('is named by the check when %s', async (_, tamper) => {
    const folder = temporaryFolder();
    cpSync(image, folder, { recursive: true });
    const changed = tamper(rows, at);
    const log = openLog(folder);
    await log.table.clearAsync();
    for (const [index, bytes] of changed.entries()) await log.table.put(index + 1, bytes);
    await log.close();
    const copy = await startEventStore({ folder });
    const of = new EventStore({ url: copy.url });
    try {
      const report = await findings(of);
      const first = changed.findIndex((bytes, index) => !rows[index]?.bytes.equals(bytes));
      expect(report.ok).toBe(false);
      const place = (first < 0 ? changed.length : first) - own;
      expect(report.findings[0]).toMatchObject({ index: place });
    } finally {
      await of.dispose();
      await copy.stop();
    }
  });

  it('is told as a rollback when an older state was signed anew, with both checkpoints', async () => {
    const folder = temporaryFolder();
    cpSync(image, folder, { recursive: true });
    const log = openLog(folder);
    for (const { key } of rows.slice(-8)) await log.table.remove(key);
    await log.close();
    const copy = await startEventStore({ folder });
    const of = new EventStore({ url: copy.url });
    const newest = rows.length;
    try {
      const report = await findings(of);
      expect(report.findings).toContainEqual(
        expect.objectContaining({
          code: 'ROLLBACK',
          evidence: expect.arrayContaining([expect.stringContaining(ORIGIN)]),
        }),
      );
      expect(report.events).toBeLessThan(newest);
    } finally {
      await of.dispose();
      await copy.stop();
    }
  });
});

it('two heads of one size are told as a fork, with both as evidence', async () => {
  const root = (byte: number) => Buffer.alloc(32, byte);
  const heads = [root(1), root(2)].map((one) =>
    signCheckpoint({ origin: ORIGIN, size: 7, root: one }, [parseSignerKey(signing)]),
  );
  async function* places() {
    for (const [index, note] of heads.entries()) yield { file: `place ${index}`, note };
  }
  const empty = await startEventStore();
  const of = new EventStore({ url: empty.url });
  const { findings: found } = await checkLog({ store: of, trusted: keyring.trusted, published: places() });
  await of.dispose();
  await empty.stop();
  expect(found).toContainEqual(expect.objectContaining({ code: 'FORK', evidence: heads }));
});

function openLog(folder: string): { table: Database<Buffer, number>; close: () => Promise<void> } {
  const path = join(folder, 'eventstore');
  const root = open({ path, noSubdir: false, maxDbs: 8, encoding: 'binary' });
  return { table: root.openDB<Buffer, number>({ name: 'log', encoding: 'binary' }), close: () => root.close() };
}

function edit(bytes: Buffer, from: string, to: string): Buffer {
  const found = bytes.indexOf(from);
  if (found < 0) throw new Error(`there is no ${from} to change`);
  const copy = Buffer.from(bytes);
  copy.write(to, found);
  return copy;
}

/** One millisecond digit of the record's date (ticks of 100 ns as text). */
function redated(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const end = /\d{17}/.exec(copy.toString('latin1'));
  if (!end) throw new Error('the record has no date');
  const digit = end.index + 10;
  copy.writeUInt8(copy.readUInt8(digit) === 0x31 ? 0x32 : 0x31, digit);
  return copy;
}

function replaced(all: { bytes: Buffer }[], at: number, change: (bytes: Buffer) => Buffer): Buffer[] {
  return all.map(({ bytes }, index) => (index === at ? change(bytes) : bytes));
}

function swapped(all: { bytes: Buffer }[], at: number): Buffer[] {
  const bytes = all.map((row) => row.bytes);
  return bytes.with(at, bytes[at + 1] as Buffer).with(at + 1, bytes[at] as Buffer);
}
