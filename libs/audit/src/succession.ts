import { formatCheckpoint, openCheckpoint, type Checkpoint } from './checkpoint.js';
import { Malformed } from './envelope.js';
import { proveConsistency, rootAt, verifyConsistency, type HashStore } from './merkle.js';
import { NoteRefused, type VerifierKey } from './note.js';

/** Why a tree must not be signed: it contradicts a checkpoint that was signed before. */
export interface Objection {
  /**
   * `FORK`: the earlier tree is no beginning of this one. `ROLLBACK`: the earlier tree is larger. `CHECKPOINT_REFUSED`:
   * what is said to be a checkpoint of this log is signed by no trusted key, or is of another log.
   */
  code: 'FORK' | 'ROLLBACK' | 'CHECKPOINT_REFUSED';
  message: string;
  /** The earlier note, and the text of the tree that was not signed. */
  evidence: [string, string];
}

/**
 * Whether a tree goes on from an earlier checkpoint, which is proved and not assumed.
 * @param earlier a note, from wherever; `where` says from where
 * @param tree holds the tree of `next`
 */
export async function objectionTo(
  next: Checkpoint,
  earlier: string,
  where: string,
  trusted: readonly VerifierKey[],
  tree: HashStore,
): Promise<Objection | undefined> {
  const object = (code: Objection['code'], message: string): Objection => {
    return { code, message, evidence: [earlier, formatCheckpoint(next)] };
  };
  let before: Checkpoint;
  try {
    before = openCheckpoint(earlier, trusted);
  } catch (error) {
    if (!(error instanceof NoteRefused) && !(error instanceof Malformed)) throw error;
    return object('CHECKPOINT_REFUSED', `the checkpoint ${where} cannot be trusted: ${error.message}`);
  }
  if (before.origin !== next.origin) {
    return object('CHECKPOINT_REFUSED', `the checkpoint ${where} is of the log ${before.origin}, not ${next.origin}`);
  }
  if (before.size > next.size) {
    const message = `a tree of ${before.size} leaves was signed ${where}; the log has ${next.size} now`;
    return object('ROLLBACK', message);
  }
  if (before.size === 0) return undefined;
  const proof = await proveConsistency(before.size, next.size, tree);
  if (verifyConsistency(before.size, next.size, before.root, next.root, proof)) return undefined;
  const same = (await rootAt(before.size, tree)).equals(before.root);
  const what = same ? 'the hashes of the tree do not fit each other' : 'the log makes another tree of that size now';
  return object('FORK', `a tree of ${before.size} leaves was signed ${where}; ${what}`);
}
