import type { Instant } from '../time.js';
import type { AttestationDecision, AttestedAs, KeyStateName, Owner } from '../words.js';

/** Which keys a review is about: those that fit everything named when it starts. */
export interface ReviewFilter {
  keyspaceId?: string;
  ownerId?: string;
  environment?: string;
  /** Keys whose scopes grant this one. */
  scope?: string;
  /** Without it: every key that is neither revoked nor expired. */
  state?: KeyStateName;
}

/** A key as it stood when the review began; whatever becomes of it, it stays on the list. */
export interface ReviewedKey {
  keyId: string;
  keyspaceId: string;
  name: string;
  /** Without its contact. */
  owner: Pick<Owner, 'id' | 'type'>;
}

export interface AccessReviewStarted {
  type: 'AccessReviewStarted';
  data: {
    reviewId: string;
    name: string;
    filter: ReviewFilter;
    /**
     * Who has to attest: `owner`, each key's owner; else the id of a management key. Absent: whoever may attest in the
     * key's keyspace.
     */
    reviewer?: string;
    dueAt: Instant;
    startedAt: Instant;
  };
}

/** A part of the list of keys, in several events where one would be too large. The list never changes afterwards. */
export interface AccessReviewScoped {
  type: 'AccessReviewScoped';
  data: {
    reviewId: string;
    keys: ReviewedKey[];
    /** Set on the last part: the list is whole, and attesting begins. */
    complete?: true;
  };
}

/** Somebody has looked at a key's access and said what shall become of it. The newest word about a key holds. */
export interface AccessAttested {
  type: 'AccessAttested';
  data: {
    reviewId: string;
    keyId: string;
    decision: AttestationDecision;
    comment?: string;
    /** Of `narrow`: the scopes that are enough. */
    scopes?: string[];
    /** Of `narrow`: the key that was issued in its place. */
    replacementKeyId?: string;
    /** The management key that said so, or the key itself. */
    attestedBy: string;
    attestedAs: AttestedAs;
    attestedAt: Instant;
  };
}

/** Nothing is attested any more. */
export interface AccessReviewClosed {
  type: 'AccessReviewClosed';
  data: {
    reviewId: string;
    comment?: string;
    /** How many keys nobody had attested. */
    outstanding: number;
    closedAt: Instant;
  };
}

export type ReviewEvent = AccessReviewStarted | AccessReviewScoped | AccessAttested | AccessReviewClosed;
