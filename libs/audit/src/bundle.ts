import { parseInstant, type Instant } from '@keyledger/contracts';
import { parseCount, parseHash } from './checkpoint.js';
import { Malformed } from './envelope.js';
import type { Hash } from './merkle.js';

export const BUNDLE_FORMAT = 'keyledger-audit-bundle@v1';

/** Files of a bundle. */
export const BUNDLE_FILES = {
  manifest: 'manifest.json',
  /** One leaf a line, canonical JSON: the line without its newline is what is hashed. */
  events: 'events.ndjson',
  /** 32 bytes for each line of `events`: says which line it is when they do not fit the signed root. */
  leafHashes: 'leaf-hashes.bin',
  /** 32 bytes for each complete subtree of 256 leaves, aligned, whose last leaf is in the range. */
  subtreeHashes: 'subtree-hashes.bin',
  checkpoints: 'checkpoints',
  publicKeys: 'public-keys.txt',
  readme: 'README.txt',
} as const;

/** Levels of the tree below a hash of `subtreeHashes`. */
export const SUBTREE_LEVEL = 8;
export const SUBTREE_WIDTH = 2 ** SUBTREE_LEVEL;

/** What a bundle says of itself. All of it but the dates is checked by recomputing. */
export interface Manifest {
  format: typeof BUNDLE_FORMAT;
  origin: string;
  /** The first leaf. */
  from: number;
  /** Behind the last leaf. */
  to: number;
  createdAt: Instant;
  streamPrefixes: readonly string[];
  /** The complete subtrees of the leaves before `from`, largest first. */
  frontier: Hash[];
  checkpoints: ManifestCheckpoint[];
  /** SHA-256 in hex of the files that no tree hash covers. */
  sha256: Record<string, string>;
}

export interface ManifestCheckpoint {
  file: string;
  size: number;
  /** When it was recorded. Said by the exporter, not signed. */
  at: Instant;
  /** RFC 9162 consistency between its tree and that of `to` leaves; empty for sizes within the range. */
  proof: Hash[];
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, (_, value: unknown) => encoded(value), 2)}\n`;
}

/** A Buffer is its own JSON object by the time a replacer sees it. */
function encoded(value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: unknown };
  return type === 'Buffer' && Array.isArray(data) ? Buffer.from(data as number[]).toString('base64') : value;
}

/** @throws Malformed, naming the member */
export function parseManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Malformed((error as Error).message);
  }
  const manifest = object(value, 'it');
  if (manifest['format'] !== BUNDLE_FORMAT) throw new Malformed(`its format is not ${BUNDLE_FORMAT}`);
  const [from, to] = [count(manifest['from'], 'from'), count(manifest['to'], 'to')];
  if (from >= to) throw new Malformed('from is not below to');
  return {
    format: BUNDLE_FORMAT,
    origin: string(manifest['origin'], 'origin'),
    from,
    to,
    createdAt: instant(manifest['createdAt'], 'createdAt'),
    streamPrefixes: list(manifest['streamPrefixes'], 'streamPrefixes').map((one) => string(one, 'streamPrefixes')),
    frontier: hashes(manifest['frontier'], 'frontier'),
    checkpoints: list(manifest['checkpoints'], 'checkpoints').map(checkpointOf),
    sha256: Object.fromEntries(
      Object.entries(object(manifest['sha256'], 'sha256')).map(([name, sum]) => [name, string(sum, 'sha256')]),
    ),
  };
}

const CHECKPOINT_FILE = /^checkpoints\/[0-9]+(?:-[0-9]+)?\.txt$/;

function checkpointOf(value: unknown): ManifestCheckpoint {
  const { file, size, at, proof } = object(value, 'checkpoints');
  const path = string(file, 'checkpoints.file');
  // Never a way out of the folder.
  if (!CHECKPOINT_FILE.test(path)) throw new Malformed('checkpoints.file is no file of checkpoints/');
  return {
    file: path,
    size: count(size, 'checkpoints.size'),
    at: instant(at, 'checkpoints.at'),
    proof: hashes(proof, 'checkpoints.proof'),
  };
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Malformed(`${name} is no object`);
}

function list(value: unknown, name: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new Malformed(`${name} is no list`);
}

function string(value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  throw new Malformed(`${name} is no text`);
}

function count(value: unknown, name: string): number {
  return parseCount(String(value), name);
}

function instant(value: unknown, name: string): Instant {
  const text = string(value, name);
  if (parseInstant(text) !== text) throw new Malformed(`${name} is no instant`);
  return text;
}

function hashes(value: unknown, name: string): Hash[] {
  return list(value, name).map((one) => parseHash(string(one, name)));
}

/** Tells a stranger what this is and how to check it with no program of ours. */
export function readmeOf({ origin, from, to, createdAt }: Manifest): string {
  return `Audit bundle of ${origin}: events ${from} to ${to - 1}, exported ${createdAt}.

Check it with Keyledger, without a server and without a network:

    keyledger audit verify <this folder> --trusted-key <the log's public key>

Get the public key from somewhere else than this folder; ${BUNDLE_FILES.publicKeys} only says which one to look for.

Check it with your own program:

1. Each line of ${BUNDLE_FILES.events}, without its newline, is a leaf: the canonical JSON (RFC 8785) of one event as it is
   stored. "index" counts all events of the log from 0. The leaf's hash is SHA-256(0x00 || line).
2. A node's hash is SHA-256(0x01 || left || right), in the tree of RFC 6962 and RFC 9162 section 2.1.
3. "frontier" in ${BUNDLE_FILES.manifest} has the hashes (base64) of the largest complete subtrees of all leaves before
   "from", left to right. Append the hashes of the lines; you have the root at "to", and on the way the root at every
   size in between.
4. Each file of ${BUNDLE_FILES.checkpoints}/ is a C2SP tlog-checkpoint in a C2SP signed note (Ed25519): the log's name, a
   tree's size, its root in base64, an empty line, signatures. Sizes between "from" and "to": the root must be the one
   of step 3. Others: "proof" of its entry in ${BUNDLE_FILES.manifest} is the consistency proof (RFC 9162 section 2.1.4)
   between its tree and the tree at "to".

If they fit, no event of the range was changed, dropped, added, swapped or re-dated since the checkpoint was signed.
If they do not, ${BUNDLE_FILES.leafHashes} (32 bytes for each line) and ${BUNDLE_FILES.subtreeHashes} (32 bytes for each complete
subtree of ${SUBTREE_WIDTH} leaves that ends in the range) say where.

Not proved by this folder: the dates in ${BUNDLE_FILES.manifest}; and that you have all checkpoints that were ever signed.
Compare with those that were published elsewhere.
`;
}
