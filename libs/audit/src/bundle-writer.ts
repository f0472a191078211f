import { AUDITED_STREAM_PREFIXES, type Instant } from '@keyledger/contracts';
import type { StoredEvent } from '@keyledger/event-store';
import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BUNDLE_FILES,
  BUNDLE_FORMAT,
  formatManifest,
  readmeOf,
  SUBTREE_LEVEL,
  SUBTREE_WIDTH,
  type Manifest,
  type ManifestCheckpoint,
} from './bundle.js';
import { parseCheckpoint } from './checkpoint.js';
import { eventBytes } from './envelope.js';
import { leafHash, proveConsistency, subtreesOf, type HashStore } from './merkle.js';
import { formatVerifierKey, unverifiedText, type VerifierKey } from './note.js';

export interface BundleSource {
  /** The first leaf, and behind the last one. */
  from: number;
  to: number;
  /** The events of those leaves in their order. What comes behind the last one is not taken. */
  events: AsyncIterable<readonly StoredEvent[]>;
  /** Holds at least the trees of all checkpoints. */
  tree: HashStore;
  /** Signed notes of one log; the largest covers the range. */
  checkpoints: readonly { note: string; at: Instant }[];
  keys: readonly VerifierKey[];
  now: Instant;
}

export interface WrittenBundle {
  manifest: Manifest;
  /** Leaves whose event is not what the tree has: the bundle is whole, and its check will name the first of them. */
  misfits: number;
}

/**
 * Writes a bundle as a stream, at constant memory. The folder appears when everything is in it.
 * @throws RangeError for a range that no checkpoint covers, or whose events are not all there; Malformed, NoteRefused
 * for what is no checkpoint; the file system's errors (a folder that is there and not empty is one)
 */
export async function writeBundle(folder: string, source: BundleSource): Promise<WrittenBundle> {
  const { from, to } = source;
  const manifest = await manifestOf(source);
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(join(partial, BUNDLE_FILES.checkpoints), { recursive: true });
  try {
    const misfits = await writeEvents(partial, source);
    const first = Math.floor(from / SUBTREE_WIDTH);
    const subtrees = Math.max(0, Math.floor(to / SUBTREE_WIDTH) - first);
    await inChunks(join(partial, BUNDLE_FILES.subtreeHashes), first, subtrees, SUBTREE_LEVEL, source.tree);
    for (const [index, { file }] of manifest.checkpoints.entries()) {
      await writeFile(join(partial, file), source.checkpoints[index]?.note ?? '');
    }
    for (const [name, text] of [
      [BUNDLE_FILES.publicKeys, source.keys.map((key) => `${formatVerifierKey(key)}\n`).join('')],
      [BUNDLE_FILES.readme, readmeOf(manifest)],
    ] as const) {
      await writeFile(join(partial, name), text);
      manifest.sha256[name] = createHash('sha256').update(text).digest('hex');
    }
    await writeFile(join(partial, BUNDLE_FILES.manifest), formatManifest(manifest));
    await rename(partial, folder);
    return { manifest, misfits };
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

async function manifestOf({ from, to, tree, checkpoints, now }: BundleSource): Promise<Manifest> {
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || from >= to) {
    throw new RangeError(`a bundle goes from one leaf to a later one, not from ${from} to ${to}`);
  }
  const parsed = checkpoints.map(({ note, at }) => ({ ...parseCheckpoint(unverifiedText(note)), at }));
  const largest = parsed.reduce((most, { size }) => Math.max(most, size), 0);
  if (largest < to) throw new RangeError(`the largest signed tree has ${largest} leaves; the range goes to ${to}`);
  const entries: ManifestCheckpoint[] = [];
  const taken = new Map<number, number>();
  for (const { size, at } of parsed) {
    const before = taken.get(size) ?? 0;
    taken.set(size, before + 1);
    const name = `${String(size).padStart(16, '0')}${before > 0 ? `-${before + 1}` : ''}.txt`;
    const within = size === 0 || (size >= from && size <= to);
    const proof = within ? [] : await proveConsistency(Math.min(size, to), Math.max(size, to), tree);
    entries.push({ file: `${BUNDLE_FILES.checkpoints}/${name}`, size, at, proof });
  }
  return {
    format: BUNDLE_FORMAT,
    origin: parsed[0]?.origin ?? '',
    from,
    to,
    createdAt: now,
    streamPrefixes: AUDITED_STREAM_PREFIXES,
    frontier: await tree.nodes(subtreesOf(0, from)),
    checkpoints: entries,
    sha256: {},
  };
}

async function writeEvents(folder: string, { from, to, events, tree }: BundleSource): Promise<number> {
  const lines = await open(join(folder, BUNDLE_FILES.events), 'wx');
  const hashes = await open(join(folder, BUNDLE_FILES.leafHashes), 'wx');
  let index = from;
  let misfits = 0;
  try {
    for await (const batch of events) {
      const taken = batch.slice(0, to - index);
      const recorded = await tree.nodes(taken.map((_, offset) => ({ level: 0, index: index + offset })));
      const parts: Buffer[] = [];
      for (const [offset, event] of taken.entries()) {
        const leaf = eventBytes(index + offset, event);
        if (!recorded[offset]?.equals(leafHash(leaf))) misfits += 1;
        parts.push(leaf, NEWLINE);
      }
      await lines.writeFile(Buffer.concat(parts));
      await hashes.writeFile(Buffer.concat(recorded));
      index += taken.length;
      if (index === to) break;
    }
    if (index < to) throw new RangeError(`the event store ends behind event ${index - 1}; the range goes to ${to}`);
    await Promise.all([lines.datasync(), hashes.datasync()]);
    return misfits;
  } finally {
    await Promise.all([lines.close(), hashes.close()]);
  }
}

const NEWLINE = Buffer.from('\n');
const CHUNK = 4096;

async function inChunks(path: string, first: number, amount: number, level: number, tree: HashStore): Promise<void> {
  const file = await open(path, 'wx');
  try {
    for (let done = 0; done < amount; done += CHUNK) {
      const length = Math.min(CHUNK, amount - done);
      const ids = Array.from({ length }, (_, offset) => ({ level, index: first + done + offset }));
      await file.writeFile(Buffer.concat(await tree.nodes(ids)));
    }
  } finally {
    await file.close();
  }
}
