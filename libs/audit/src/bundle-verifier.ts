import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES, parseManifest, type Manifest, type ManifestCheckpoint } from './bundle.js';
import { checkRange, type Misfit, type RangeResult } from './bundle-range.js';
import { contradictions, openCheckpoint, type Checkpoint, type Contradiction } from './checkpoint.js';
import { Malformed } from './envelope.js';
import { EMPTY_ROOT, verifyConsistency, type Hash } from './merkle.js';
import { formatVerifierKey, NoteRefused, parseVerifierKey, type VerifierKey } from './note.js';

/** What is wrong with a bundle. */
export type BundleFinding =
  | {
      /** `MANIFEST`, `FILE`: a file is missing, unreadable or not the one that was written. */
      code: 'MANIFEST' | 'FILE';
      message: string;
      file: string;
    }
  | { code: 'NO_KEY' | 'NOT_COVERED'; message: string }
  | {
      /** A checkpoint that no trusted key vouches for, or that is not of the tree that the events make. */
      code: 'CHECKPOINT_REFUSED' | 'CHECKPOINT_MISFIT';
      message: string;
      file: string;
      evidence?: string[];
    }
  | Contradiction
  | Misfit;

export interface BundleReport {
  /** Every event is proved by a checkpoint of a trusted key, and nothing else was found. */
  ok: boolean;
  /** Where the keys came from. `bundle`: whoever made the folder may have made the keys as well. */
  trust: 'given' | 'bundle';
  /** `name+id+base64` of the keys that vouch for the checkpoints. */
  keys: string[];
  manifest?: Manifest;
  /** Lines that were read. */
  events: number;
  /** The largest checkpoint that proves the events. */
  provedBy?: { size: number; root: string; at: string };
  /** The first event that does not fit comes before everything else. */
  findings: BundleFinding[];
}

export interface VerifyBundleOptions {
  /** Verifier keys, `name+id+base64`, that came some other way than the bundle. */
  trustedKeys?: readonly string[];
}

/**
 * Checks a bundle with nothing but its folder and, better, a key. Streams, at constant memory.
 * @throws Malformed for a trusted key that is none, and nothing else: what is wrong with the folder is in the report
 */
export async function verifyBundle(folder: string, { trustedKeys }: VerifyBundleOptions = {}): Promise<BundleReport> {
  const given = trustedKeys?.map(parseVerifierKey);
  const report: BundleReport = { ok: false, trust: given ? 'given' : 'bundle', keys: [], events: 0, findings: [] };
  const { findings } = report;
  const read = await attempt(findings, BUNDLE_FILES.manifest, 'MANIFEST', async () => {
    return parseManifest(await smallFile(folder, BUNDLE_FILES.manifest));
  });
  if (!read) return report;
  const manifest = (report.manifest = read);
  const keys = given ?? (await keysOf(folder, findings));
  const checkpoints = await checkpointsOf(folder, manifest, keys, findings);
  report.keys = [...new Set(checkpoints.flatMap(({ signedBy }) => signedBy.map(formatVerifierKey)))];
  const range = await attempt(findings, BUNDLE_FILES.events, 'FILE', () => {
    return checkRange(folder, manifest, new Set(checkpoints.map(({ size }) => size)));
  });
  if (range) {
    report.events = range.lines;
    const proof = judgeRange(manifest, checkpoints, range, findings);
    if (proof) report.provedBy = { size: proof.size, root: proof.root.toString('base64'), at: proof.at };
  }
  await checkSums(folder, manifest, findings);
  findings.push(...contradictions(checkpoints));
  report.ok = findings.length === 0;
  return report;
}

interface OpenedCheckpoint extends Checkpoint, ManifestCheckpoint {
  note: string;
  signedBy: VerifierKey[];
  root: Hash;
}

async function keysOf(folder: string, findings: BundleFinding[]): Promise<VerifierKey[]> {
  const keys = await attempt(findings, BUNDLE_FILES.publicKeys, 'FILE', async () => {
    const text = await smallFile(folder, BUNDLE_FILES.publicKeys);
    return text.split('\n').filter(Boolean).map(parseVerifierKey);
  });
  if (keys?.length === 0) findings.push({ code: 'NO_KEY', message: 'the bundle has no public key and none was given' });
  return keys ?? [];
}

async function checkpointsOf(
  folder: string,
  manifest: Manifest,
  keys: readonly VerifierKey[],
  findings: BundleFinding[],
): Promise<OpenedCheckpoint[]> {
  const opened: OpenedCheckpoint[] = [];
  for (const entry of manifest.checkpoints) {
    const { file } = entry;
    const note = await attempt(findings, file, 'FILE', () => smallFile(folder, file));
    if (note === undefined) continue;
    const refuse = (message: string): void => {
      findings.push({ code: 'CHECKPOINT_REFUSED', file, message: `${file}: ${message}`, evidence: [note] });
    };
    try {
      const checkpoint = openCheckpoint(note, keys);
      const { origin, size } = checkpoint;
      if (origin !== manifest.origin) refuse(`it is of ${origin}, not of ${manifest.origin}`);
      else if (size !== entry.size) refuse(`it is of ${size} leaves, not of ${entry.size}`);
      else opened.push({ ...entry, ...checkpoint, note });
    } catch (error) {
      if (!(error instanceof NoteRefused) && !(error instanceof Malformed)) throw error;
      refuse(error.message);
    }
  }
  return opened;
}

/** Puts what the tree says into findings; gives the largest checkpoint that proves the range. */
function judgeRange(
  { from, to }: Manifest,
  checkpoints: readonly OpenedCheckpoint[],
  range: RangeResult,
  findings: BundleFinding[],
): OpenedCheckpoint | undefined {
  const covering = checkpoints.filter(({ size }) => size >= to).toSorted((a, b) => b.size - a.size);
  const proof = covering.find((one) => fits(one, to, range.eventRoots));
  const misfits = checkpoints.filter((one) => !fits(one, to, range.eventRoots));
  if (covering.length === 0) {
    const message = `no checkpoint of a trusted key covers the events up to ${to - 1}`;
    findings.push({ code: 'NOT_COVERED', message });
  }
  for (const { file, size, note } of misfits) {
    const message = `${file}: its tree of ${size} leaves is not the one that the events make`;
    findings.push({ code: 'CHECKPOINT_MISFIT', file, message, evidence: [note] });
  }
  const event = firstMisfit(from, to, checkpoints, range, {
    proved: proof !== undefined,
    covered: covering.length > 0,
  });
  if (event) findings.unshift(event);
  if (proof && range.hashMismatch) {
    const { leafHashes: file } = BUNDLE_FILES;
    const message = `${file}: the hash of event ${range.hashMismatch.index} is not its own; the event itself is proved`;
    findings.push({ code: 'FILE', file, message });
  }
  return proof;
}

function firstMisfit(
  from: number,
  to: number,
  checkpoints: readonly OpenedCheckpoint[],
  { hashRoots, contentMismatch, hashMismatch, countMismatch, subtreeMismatch, eventRoots, ...range }: RangeResult,
  { proved, covered }: { proved: boolean; covered: boolean },
): Misfit | undefined {
  // A faulty leaf that the tree holds was signed so: the log's own fault, and still the first event that does not fit.
  if (proved) return contentMismatch ?? countMismatch;
  const first = earliest(contentMismatch, hashMismatch, countMismatch);
  if (!covered) return first;
  const hashesProved = checkpoints.some((one) => one.size >= to && fits(one, to, hashRoots));
  if (first && hashesProved) return first;
  const narrowed = earliest(first, subtreeMismatch);
  if (narrowed) return narrowed;
  // Events and their hashes were altered together; the checkpoints within the range still bound the place.
  const good = checkpoints.filter(({ size }) => size >= from && size < to).filter((one) => fits(one, to, eventRoots));
  const index = good.reduce((most, { size }) => Math.max(most, size), from);
  const message = `from event ${index} on the events do not make a signed tree, or "frontier" in the manifest is not the log's`;
  return { code: 'EVENT_UNPROVED', message, index, ...range.identities.get(index) };
}

function earliest(...misfits: (Misfit | undefined)[]): Misfit | undefined {
  return misfits.reduce((first, one) => (first && (!one || first.index <= one.index) ? first : one), undefined);
}

/** Whether a signed tree is the one that leaves with these roots make. */
function fits({ size, root, proof }: OpenedCheckpoint, to: number, roots: ReadonlyMap<number, Hash>): boolean {
  if (size === 0) return root.equals(EMPTY_ROOT);
  const own = roots.get(size);
  if (own) return own.equals(root);
  const end = roots.get(to);
  if (!end) return false;
  return size < to ? verifyConsistency(size, to, root, end, proof) : verifyConsistency(to, size, end, root, proof);
}

async function checkSums(folder: string, { sha256 }: Manifest, findings: BundleFinding[]): Promise<void> {
  for (const file of [BUNDLE_FILES.readme, BUNDLE_FILES.publicKeys]) {
    const text = await attempt(findings, file, 'FILE', () => smallFile(folder, file));
    if (text === undefined || createHash('sha256').update(text).digest('hex') === sha256[file]) continue;
    findings.push({ code: 'FILE', file, message: `${file}: it is not the file that was written` });
  }
}

const MAX_SMALL_FILE_BYTES = 64 * 1024 * 1024;

async function smallFile(folder: string, name: string): Promise<string> {
  const file = await open(join(folder, name), 'r');
  try {
    const { size } = await file.stat();
    if (size > MAX_SMALL_FILE_BYTES) throw new Malformed(`it has more than ${MAX_SMALL_FILE_BYTES} bytes`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** What a file's trouble is becomes a finding, once for each file. */
async function attempt<T>(
  findings: BundleFinding[],
  file: string,
  code: 'MANIFEST' | 'FILE',
  run: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    const known = findings.some((one) => 'file' in one && one.file === file);
    const { code: system } = error as NodeJS.ErrnoException;
    if (!(error instanceof Malformed) && system === undefined) throw error;
    const problem = system === 'ENOENT' ? 'it is missing' : (error as Error).message;
    if (!known) findings.push({ code, file, message: `${file}: ${problem}` });
    return undefined;
  }
}
