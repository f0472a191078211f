import { Malformed } from './envelope.js';
import { HASH_BYTES, type Hash } from './merkle.js';
import { openNote, signNote, type SignerKey, type VerifierKey } from './note.js';

/** C2SP tlog-checkpoint: https://c2sp.org/tlog-checkpoint. What is signed of a tree: whose it is, its size, its root. */
export interface Checkpoint {
  /** Names the log, e.g. `keys.example.com/audit`; also the name of the key that signs for it. */
  origin: string;
  size: number;
  root: Hash;
}

export interface SignedCheckpoint extends Checkpoint {
  signedBy: VerifierKey[];
}

/** The text that is signed. @throws Malformed for an origin that is empty or no single line */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  if (origin === '' || origin.includes('\n')) throw new Malformed('the origin of a checkpoint is one line of text');
  return `${origin}\n${size}\n${root.toString('base64')}\n`;
}

/**
 * The strict inverse of `formatCheckpoint`. Extension lines are refused: we write none, and nobody could audit them.
 * @throws Malformed
 */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', decimal = '', encoded = '', ...rest] = text.split('\n');
  if (origin === '' || rest.length !== 1 || rest[0] !== '') {
    throw new Malformed('a checkpoint is three lines: origin, size, root');
  }
  return { origin, size: parseCount(decimal, 'the size'), root: parseHash(encoded) };
}

/** @throws Malformed if no checkpoint can say this */
export function signCheckpoint(checkpoint: Checkpoint, signers: readonly SignerKey[]): string {
  return signNote(formatCheckpoint(checkpoint), signers);
}

/** @throws NoteRefused, Malformed */
export function openCheckpoint(note: string, known: readonly VerifierKey[]): SignedCheckpoint {
  const { text, signedBy } = openNote(note, known);
  return { ...parseCheckpoint(text), signedBy };
}

/** A decimal number without leading zeros. @throws Malformed */
export function parseCount(decimal: string, what: string): number {
  const value = Number(decimal);
  if (!/^(?:0|[1-9]\d*)$/.test(decimal) || !Number.isSafeInteger(value)) {
    throw new Malformed(`${what} is no decimal number without leading zeros`);
  }
  return value;
}

/** A hash in base64 (RFC 4648 section 4). @throws Malformed */
export function parseHash(encoded: string): Hash {
  const hash = Buffer.from(encoded, 'base64');
  if (hash.length !== HASH_BYTES || hash.toString('base64') !== encoded) {
    throw new Malformed('a hash is the base64 of 32 bytes');
  }
  return hash;
}

/** A checkpoint with the time at which it was seen or recorded, and the note that it came in. */
export interface Head extends Checkpoint {
  at: string;
  note: string;
}

/** Two signed statements that cannot both be of one growing log. */
export interface Contradiction {
  /** `FORK`: two roots of one size. `ROLLBACK`: a smaller tree that was signed later. */
  code: 'FORK' | 'ROLLBACK';
  message: string;
  /** Both notes, as signed. */
  evidence: [string, string];
}

/** What heads of one log, all with good signatures, contradict each other in without any proof being asked for. */
export function contradictions(heads: readonly Head[]): Contradiction[] {
  const found: Contradiction[] = [];
  const bySize = new Map<number, Head>();
  let largest: Head | undefined;
  for (const head of heads.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.size - b.size))) {
    const same = bySize.get(head.size);
    if (same && !same.root.equals(head.root)) {
      const message = `two different trees of ${head.size} leaves were signed, seen at ${same.at} and at ${head.at}`;
      found.push({ code: 'FORK', message, evidence: [same.note, head.note] });
    }
    if (largest && head.size < largest.size) {
      const message = `a tree of ${head.size} leaves is dated ${head.at}, after one of ${largest.size} of ${largest.at}`;
      found.push({ code: 'ROLLBACK', message, evidence: [largest.note, head.note] });
    }
    if (!same) bySize.set(head.size, head);
    if (!largest || head.size > largest.size) largest = head;
  }
  return found;
}
