import type { Instant } from '../time.js';

/** The head of the audit tree was signed: whoever holds the note can tell whether the log was changed below it. */
export interface CheckpointSigned {
  type: 'CheckpointSigned';
  data: {
    /** Leaves of the tree. */
    size: number;
    /** Base64 of the 32 bytes of its root. */
    root: string;
    /** Names the log. */
    origin: string;
    /** C2SP tlog-checkpoint: what was signed, with the signature. */
    note: string;
    /** Public keys, `name+id+base64`, that this installation trusts for its notes: the signing one and those before. */
    keys: string[];
    /** Of the newest leaf in the event store's log, in decimal. */
    position: string;
    signedAt: Instant;
  };
}

/** What does not fit: the log against itself, against a checkpoint that was signed, or a checkpoint against another. */
export interface AuditMismatchFound {
  type: 'AuditMismatchFound';
  data: {
    /** What kind, e.g. `EVENT_CHANGED`, `FORK`, `ROLLBACK`, `CHECKPOINT_REFUSED`. */
    code: string;
    message: string;
    /** The first event that does not fit, as far as it is known. */
    event?: { index: number; id?: string; stream?: string; revision?: number; type?: string };
    /** The notes that contradict each other, as signed. */
    evidence: string[];
    /** `sequencer`: before a signature, which was refused; `check`: by the daily check. */
    foundBy: 'sequencer' | 'check';
    foundAt: Instant;
  };
}

export type AuditProofEvent = CheckpointSigned | AuditMismatchFound;
