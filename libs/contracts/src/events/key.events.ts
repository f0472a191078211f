import type { Instant } from '../time.js';
import type { KeyKind, KeyMetadata, Owner, Restrictions, RevocationReason } from '../words.js';

/** What is kept of one secret: never the secret. */
export interface SecretRecord {
  secretId: string;
  /** base64url of HMAC-SHA-256 of the whole key under the pepper, or of its SHA-256 where there is no pepper. */
  hash: string;
  pepperId?: string;
  /** What may be shown: prefix, environment, secretId and the last four characters. */
  mask: string;
  /** Set for the secret of an imported key: its text is not of our format, and `hash` is its plain SHA-256. */
  imported?: true;
}

/** Common to issued and imported keys. */
export interface KeyTerms {
  keyId: string;
  keyspaceId: string;
  environment: string;
  kind: KeyKind;
  name: string;
  owner: Owner;
  scopes: string[];
  restrictions: Restrictions;
  metadata: KeyMetadata;
  secret: SecretRecord;
  createdAt: Instant;
  notBefore?: Instant;
  expiresAt?: Instant;
  /** Why a key without expiry was allowed. */
  justification?: string;
}

export interface KeyIssued {
  type: 'KeyIssued';
  data: KeyTerms;
}

/** A key made elsewhere, known by the SHA-256 of its text only. */
export interface KeyImported {
  type: 'KeyImported';
  data: KeyTerms & { externalId?: string };
}

export interface KeyRotated {
  type: 'KeyRotated';
  data: {
    keyId: string;
    secret: SecretRecord;
    previousSecretId: string;
    /** Until when the previous secret still works; equal to `rotatedAt` if it ended at once. */
    graceEndsAt: Instant;
    /** A secret that was still in its grace and ended with this rotation. */
    endedSecretId?: string;
    rotatedAt: Instant;
    comment?: string;
  };
}

export interface KeyRevoked {
  type: 'KeyRevoked';
  data: { keyId: string; reason: RevocationReason; comment?: string; requestedAt: Instant; revokedAt: Instant };
}

export interface KeySuspended {
  type: 'KeySuspended';
  data: { keyId: string; reason: string; comment?: string; suspendedAt: Instant };
}

export interface KeyReinstated {
  type: 'KeyReinstated';
  data: { keyId: string; reason: string; comment?: string; reinstatedAt: Instant };
}

/** A value as it was and as it is; an absent side means that there was, or is, none. */
export interface Change<T> {
  before?: T;
  after?: T;
}

export interface KeyDetailsChanged {
  type: 'KeyDetailsChanged';
  data: {
    keyId: string;
    changes: {
      name?: Change<string>;
      metadata?: Change<KeyMetadata>;
      owner?: Change<Owner>;
      restrictions?: Change<Restrictions>;
      expiresAt?: Change<Instant>;
    };
    changedAt: Instant;
  };
}

export type KeyEvent =
  KeyIssued | KeyImported | KeyRotated | KeyRevoked | KeySuspended | KeyReinstated | KeyDetailsChanged;
