import type { Instant } from '../time.js';
import type {
  KeyKind,
  LeakAction,
  LeakNoActionReason,
  LeakResolution,
  LeakResponse,
  LeakSource,
  Owner,
} from '../words.js';

/** Something that may be a key of ours was seen where it should not be. The text itself is never kept. */
export interface LeakReported {
  type: 'LeakReported';
  data: {
    leakId: string;
    source: LeakSource;
    /** Hash of the text as those of keys are made, so that a second report of it is known for one. */
    tokenHash: string;
    /** The hashes under which a key of this text may stand as well: those of retired peppers, the plain SHA-256. */
    otherHashes?: string[];
    /** Of a report by hash, which anybody may have who never saw the key: the keyspaces in which it counts. */
    within?: string[];
    /** Of a text of our format. */
    mask?: string;
    /** What the reporter calls this kind of token. */
    tokenType?: string;
    /** Where it was seen. */
    url?: string;
    /** What kind of place that is, e.g. `commit`. */
    location?: string;
    comment?: string;
    /** Of a honeykey: who presented it, and the management key of the service that asked about it. */
    presentedFrom?: { address?: string; userAgent?: string; service?: string };
    reportedAt: Instant;
  };
}

/** It is a key of ours. A report that matches nothing has no such event. */
export interface LeakMatched {
  type: 'LeakMatched';
  data: {
    leakId: string;
    keyId: string;
    secretId: string;
    keyspaceId: string;
    environment: string;
    kind: KeyKind;
    owner: Owner;
    response: LeakResponse;
    matchedAt: Instant;
  };
}

/** What was done to the key, as its own stream says at that revision. */
export interface LeakActionTaken {
  type: 'LeakActionTaken';
  data: {
    leakId: string;
    keyId: string;
    action: LeakAction;
    because?: LeakNoActionReason;
    /** Where its `KeyLeakReported` stands. */
    keyRevision: number;
    takenAt: Instant;
  };
}

/** Somebody has looked at it and closed it. */
export interface LeakResolved {
  type: 'LeakResolved';
  data: { leakId: string; resolution: LeakResolution; comment?: string; resolvedAt: Instant };
}

export type LeakEvent = LeakReported | LeakMatched | LeakActionTaken | LeakResolved;
