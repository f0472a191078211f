import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { StoredEvent } from '@keyledger/event-store';
import fc from 'fast-check';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeBundle } from './bundle-writer.js';
import { verifyBundle, type BundleReport } from './bundle-verifier.js';
import { formatManifest, parseManifest } from './bundle.js';
import { signCheckpoint } from './checkpoint.js';
import { eventBytes, hashOfEvent } from './envelope.js';
import { leafHash, type Hash } from './merkle.js';
import { naiveRoot, NaiveStore, storedEvents } from './merkle.spec-support.js';
import { formatVerifierKey, generateSignerKey, parseSignerKey, type SignerKey } from './note.js';

const SIZE = 620;
const events = storedEvents(SIZE);
const hashes = events.map((event, index) => hashOfEvent(index, event));
const tree = new NaiveStore(hashes);
const signer = parseSignerKey(generateSignerKey('keys.example.com/audit'));
const stranger = parseSignerKey(generateSignerKey('keys.example.com/audit'));
const trustedKeys = [formatVerifierKey(signer)];
const NOW = '2026-11-24T12:00:00.000Z';
const CHECKPOINTS = [0, 100, 300, 450, SIZE];
const root = mkdtempSync(join(tmpdir(), 'keyledger-bundles-'));
let made = 0;

const note = (size: number, of: readonly Hash[] = hashes, by: SignerKey = signer): string =>
  signCheckpoint({ origin: signer.name, size, root: naiveRoot(of.slice(0, size)) }, [by]);

async function* batches(from: number, all: readonly StoredEvent[] = events): AsyncGenerator<StoredEvent[]> {
  for (let at = from; at < all.length; at += 97) yield all.slice(at, at + 97);
}

async function bundle(from: number, to: number, sizes: readonly number[] = CHECKPOINTS): Promise<string> {
  const folder = join(root, String((made += 1)));
  const checkpoints = sizes.map((size) => ({
    note: note(size),
    at: `2026-01-01T00:00:00.${String(size).padStart(3, '0')}Z`,
  }));
  await writeBundle(folder, { from, to, events: batches(from), tree, checkpoints, keys: [signer], now: NOW });
  return folder;
}

let whole: string;
let range: string;

beforeAll(async () => {
  whole = await bundle(0, SIZE);
  range = await bundle(200, 500);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('a bundle', () => {
  it('of the whole log or of any range verifies with nothing but a key', async () => {
    for (const [folder, count] of [
      [whole, SIZE],
      [range, 300],
      [await bundle(1, 2), 1],
      [await bundle(256, 512), 256],
    ] as const) {
      const report = await verifyBundle(folder, { trustedKeys });
      expect(report).toMatchObject({ ok: true, trust: 'given', keys: trustedKeys, events: count, findings: [] });
      expect(report.provedBy).toMatchObject({ size: SIZE, root: naiveRoot(hashes).toString('base64') });
    }
  });

  it('verifies with its own keys too, and says that they are its own', async () => {
    expect(await verifyBundle(range)).toMatchObject({ ok: true, trust: 'bundle', keys: trustedKeys });
  });

  it('is whole or not there, and never replaces another', async () => {
    const folder = join(root, 'short');
    const checkpoints = [{ note: note(SIZE), at: NOW }];
    const source = { from: 0, to: SIZE, tree, checkpoints, keys: [signer], now: NOW };
    await expect(writeBundle(folder, { ...source, events: batches(0, events.slice(0, 9)) })).rejects.toThrow(
      'the event store ends behind event 8; the range goes to 620',
    );
    expect(existsSync(folder)).toBe(false);
    await expect(writeBundle(range, { ...source, events: batches(0) })).rejects.toThrow(/ENOTEMPTY|EEXIST/);
    expect(await verifyBundle(range, { trustedKeys })).toMatchObject({ ok: true, events: 300 });
    await expect(bundle(0, 500, [300])).rejects.toThrow('the largest signed tree has 300 leaves');
  });

  it('of a store that was tampered with after signing is written, and its check names the event', async () => {
    const folder = join(root, 'tampered');
    const changed = events.map((event, index) => (index === 260 ? { ...event, recordedAt: NOW } : event));
    const written = await writeBundle(folder, {
      from: 200,
      to: 500,
      events: batches(200, changed),
      tree,
      checkpoints: [{ note: note(SIZE), at: NOW }],
      keys: [signer],
      now: NOW,
    });
    expect(written.misfits).toBe(1);
    expect((await verifyBundle(folder, { trustedKeys })).findings[0]).toMatchObject(named('EVENT_CHANGED', 260));
  });
});

describe('any mutation of a leaf of a bundle is found, and named by place, id, stream and revision:', () => {
  it('a changed byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(299), fc.nat(), fc.integer({ min: 1, max: 255 }), async (place, at, flip) => {
        const report = await verifyAltered(range, (lines) => {
          const bytes = Buffer.from(lines[place] ?? '');
          bytes.writeUInt8(bytes.readUInt8(at % bytes.length) ^ flip, at % bytes.length);
          return lines.with(place, bytes);
        });
        expect(report.ok).toBe(false);
        expect(report.findings[0]).toMatchObject({ index: 200 + place });
      }),
      { numRuns: 60 },
    );
  });

  it.each<[string, (event: StoredEvent) => StoredEvent]>([
    ['another date', (event) => ({ ...event, recordedAt: NOW })],
    ['another actor', (event) => ({ ...event, metadata: { actor: { type: 'key', id: 'somebody else' } } })],
    ['other data', (event) => ({ ...event, data: {} })],
    ['another type', (event) => ({ ...event, type: 'KeyRevoked' })],
    ['another position', (event) => ({ ...event, position: 1n })],
    ['no metadata', (event) => ({ ...event, metadata: undefined })],
  ])('%s, for each event', async (_, change) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(299), async (place) => {
        const index = 200 + place;
        const report = await verifyAltered(range, (lines) => lines.with(place, eventBytes(index, change(at(index)))));
        const { type: __, ...expected } = named('EVENT_CHANGED', index);
        expect(report.findings[0]).toMatchObject(expected);
      }),
      { numRuns: 10 },
    );
  });

  it('dropped, added, swapped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 298 }), async (place) => {
        const index = 200 + place;
        const dropped = await verifyAltered(range, (lines) => lines.toSpliced(place, 1));
        expect(dropped.findings[0]).toMatchObject({ ...named('EVENT_OUT_OF_PLACE', index + 1), index });
        const added = await verifyAltered(range, (lines) => lines.toSpliced(place, 0, lines[place - 1] ?? Buffer.of()));
        expect(added.findings[0]).toMatchObject({ ...named('EVENT_OUT_OF_PLACE', index - 1), index });
        const swapped = await verifyAltered(range, (lines) =>
          lines.with(place, lines[place - 1] ?? Buffer.of()).with(place - 1, lines[place] ?? Buffer.of()),
        );
        expect(swapped.findings[0]).toMatchObject({ ...named('EVENT_OUT_OF_PLACE', index), index: index - 1 });
      }),
      { numRuns: 15 },
    );
  });

  it('the last one dropped, and one added behind it', async () => {
    const dropped = await verifyAltered(range, (lines) => lines.slice(0, -1));
    expect(dropped.findings[0]).toMatchObject({ code: 'EVENT_MISSING', index: 499 });
    const added = await verifyAltered(range, (lines) => [...lines, eventBytes(500, at(500))]);
    expect(added.findings[0]).toMatchObject(named('EVENT_ADDED', 500));
  });

  it('changed together with its hash: by the subtree of 256 that it is in', async () => {
    const report = await verifyAltered(whole, forge(270, 0), (folder) => {
      setHash(folder, 'leaf-hashes.bin', 270, forgedHash(270));
    });
    const message = expect.stringContaining('256 to 511');
    expect(report.findings[0]).toMatchObject({ ...named('EVENT_UNPROVED', 256), message });
  });

  it('changed together with every hash of the folder: by the checkpoints around it', async () => {
    const forged = hashes.with(270, forgedHash(270));
    const report = await verifyAltered(whole, forge(270, 0), (folder) => {
      setHash(folder, 'leaf-hashes.bin', 270, forgedHash(270));
      setHash(folder, 'subtree-hashes.bin', 1, naiveRoot(forged.slice(256, 512)));
    });
    expect(report.findings[0]).toMatchObject(named('EVENT_UNPROVED', 100));
    expect(report.findings.filter(({ code }) => code === 'CHECKPOINT_MISFIT')).toHaveLength(3);
  });
});

describe('the rest of a bundle', () => {
  it('altered alone is told apart from an altered event', async () => {
    const hash = await verifyAltered(range, undefined, (folder) =>
      setHash(folder, 'leaf-hashes.bin', 70, forgedHash(270)),
    );
    expect(hash.findings).toMatchObject([
      { code: 'FILE', file: 'leaf-hashes.bin', message: expect.stringContaining('270') },
    ]);
    const readme = await verifyAltered(range, undefined, (folder) =>
      writeFileSync(join(folder, 'README.txt'), 'trust us'),
    );
    expect(readme.findings).toMatchObject([{ code: 'FILE', file: 'README.txt' }]);
  });

  it('signed by another key is refused with the note as evidence, and its events are not called proved', async () => {
    const forged = note(SIZE, hashes, stranger);
    const replaced = await verifyAltered(range, undefined, (folder) => {
      for (const file of readdirSync(join(folder, 'checkpoints')))
        writeFileSync(join(folder, 'checkpoints', file), forged);
    });
    expect(replaced.provedBy).toBeUndefined();
    expect(replaced.findings.map(({ code }) => code)).toEqual([
      ...CHECKPOINTS.map(() => 'CHECKPOINT_REFUSED'),
      'NOT_COVERED',
    ]);
    expect(replaced.findings[0]).toMatchObject({
      evidence: [forged],
      message: expect.stringContaining('none of the trusted keys'),
    });
    expect(await verifyBundle(range, { trustedKeys: [formatVerifierKey(stranger)] })).toMatchObject({ ok: false });
  });

  it('with two heads of one size, or an older tree with a newer date, names both as evidence', async () => {
    const fork = note(SIZE, hashes.with(3, forgedHash(270)));
    const forked = await verifyAltered(range, undefined, (folder) => addCheckpoint(folder, SIZE, fork, NOW));
    expect(forked.ok).toBe(false);
    expect(forked.findings).toContainEqual(expect.objectContaining({ code: 'FORK', evidence: [note(SIZE), fork] }));
    expect(forked.findings).toContainEqual(expect.objectContaining({ code: 'CHECKPOINT_MISFIT', evidence: [fork] }));
    expect(forked.provedBy).toMatchObject({ size: SIZE });
    const older = await verifyAltered(range, undefined, (folder) => addCheckpoint(folder, 350, note(350), NOW));
    expect(older.findings).toMatchObject([{ code: 'ROLLBACK', evidence: [note(SIZE), note(350)] }]);
  });

  it.each<[string, Record<string, unknown>]>([
    ['another log', { origin: 'another' }],
    ['a shorter range', { to: 499 }],
    ['a longer range', { to: 501 }],
    ['an earlier begin', { from: 199 }],
    ['no format', { format: 'other' }],
    ['no range', { from: 500 }],
    ['another past', { frontier: [] }],
    ['no checkpoints', { checkpoints: [] }],
    ['a file out of the folder', { checkpoints: [{ file: '../../etc/passwd', size: 1, at: NOW, proof: [] }] }],
    ['no sums', { sha256: {} }],
  ])('whose manifest claims %s is refused', async (_, lie) => {
    const report = await verifyAltered(range, undefined, (folder) => {
      const path = join(folder, 'manifest.json');
      writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...lie }));
    });
    expect(report.ok).toBe(false);
    expect(report.findings.length).toBeGreaterThan(0);
  });

  it('that is missing or no bundle at all is said, not thrown', async () => {
    expect(await verifyBundle(join(root, 'nowhere'))).toMatchObject({ ok: false, findings: [{ code: 'MANIFEST' }] });
    for (const file of ['events.ndjson', 'leaf-hashes.bin', 'subtree-hashes.bin', 'public-keys.txt', 'README.txt']) {
      const report = await verifyAltered(range, undefined, (folder) => rmSync(join(folder, file)));
      expect(report.ok).toBe(false);
      expect(report.findings[0]).toMatchObject({ code: 'FILE' });
    }
    await expect(verifyBundle(range, { trustedKeys: ['no key'] })).rejects.toThrow('a verifier key is written');
  });
});

function at(index: number): StoredEvent {
  const event = events[index];
  if (!event) throw new Error(`no event ${index}`);
  return event;
}

function named(code: string, index: number): Record<string, unknown> {
  const { id, stream, revision, type } = at(index);
  return { code, index, id, stream, revision, type };
}

const forgedLeaf = (index: number): Buffer => eventBytes(index, { ...at(index), data: { forged: true } });
const forgedHash = (index: number): Hash => leafHash(forgedLeaf(index));
const forge = (index: number, from: number) => (lines: Buffer[]) => lines.with(index - from, forgedLeaf(index));

function setHash(folder: string, file: string, place: number, hash: Hash): void {
  const path = join(folder, file);
  const bytes = readFileSync(path);
  bytes.set(hash, place * 32);
  writeFileSync(path, bytes);
}

function addCheckpoint(folder: string, size: number, text: string, at: string): void {
  const path = join(folder, 'manifest.json');
  const manifest = parseManifest(readFileSync(path, 'utf8'));
  const same = manifest.checkpoints.find((one) => one.size === size);
  manifest.checkpoints.push({ file: 'checkpoints/99.txt', size, at, proof: same?.proof ?? [] });
  writeFileSync(path, formatManifest(manifest));
  writeFileSync(join(folder, 'checkpoints/99.txt'), text);
}

/** Verifies a copy whose lines, and then whose files, were altered. */
async function verifyAltered(
  folder: string,
  alter: (lines: Buffer[]) => Buffer[] = (lines) => lines,
  then: (copy: string) => void = () => undefined,
): Promise<BundleReport> {
  const copy = join(root, `altered-${(made += 1)}`);
  cpSync(folder, copy, { recursive: true });
  const path = join(copy, 'events.ndjson');
  const lines = readFileSync(path, 'latin1').split('\n').slice(0, -1);
  const altered = alter(lines.map((line) => Buffer.from(line, 'latin1')));
  writeFileSync(path, Buffer.concat(altered.flatMap((line) => [line, Buffer.from('\n')])));
  then(copy);
  const report = await verifyBundle(copy, { trustedKeys });
  rmSync(copy, { recursive: true });
  return report;
}
