import type { Instant } from '../time.js';
import type {
  KeyKind,
  KeyMetadata,
  LeakAction,
  LeakNoActionReason,
  LeakSource,
  Owner,
  Restrictions,
  RevocationReason,
  RotationPolicy,
} from '../words.js';

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
  /** A bait: it verifies as NOT_FOUND, and whoever presents it raises an incident. */
  decoy?: true;
  /** In place of the keyspace's rule; `none`: it is not rotated by policy. */
  rotation?: RotationPolicy | 'none';
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
      rotation?: Change<RotationPolicy | 'none'>;
    };
    changedAt: Instant;
  };
}

/** How a secret was used, as far as it was known when it was said. */
export interface SecretUse {
  secretId: string;
  firstUsedAt?: Instant;
  lastUsedAt?: Instant;
  count: number;
}

/** The owner is told that an end is near: that of the key, or that of a secret in its grace. */
export interface KeyExpiryAnnounced {
  type: 'KeyExpiryAnnounced';
  data: {
    keyId: string;
    secretId: string;
    end: 'key' | 'grace';
    endsAt: Instant;
    /** Which warning it is: the time before the key's end (`P7D`), or the part of the grace that is over (`90%`). */
    warning: string;
    /** Of a grace: when the old secret was last used, if it still is. */
    lastUsedAt?: Instant;
    announcedAt: Instant;
  };
}

/** The owner is told that the secret is due for rotation. */
export interface KeyRotationAnnounced {
  type: 'KeyRotationAnnounced';
  data: {
    keyId: string;
    secretId: string;
    dueAt: Instant;
    /** Why a rotation that the policy wants automatic is only announced. */
    fallback?: 'no-receiver';
    announcedAt: Instant;
  };
}

/** The owner is told that a key is not used. */
export interface KeyUnusedAnnounced {
  type: 'KeyUnusedAnnounced';
  data: { keyId: string; unusedSince: Instant; announcedAt: Instant };
}

/** The key's end has come. It was over at `expiresAt`, whenever this was recorded. */
export interface KeyExpired {
  type: 'KeyExpired';
  data: { keyId: string; expiresAt: Instant; recordedAt: Instant };
}

/** The old secret of a rotation is over. */
export interface KeyGraceEnded {
  type: 'KeyGraceEnded';
  data: {
    keyId: string;
    secretId: string;
    /** At its deadline, because it was silent while the new one was used, or because it leaked. */
    cause: 'deadline' | 'idle' | 'leak';
    graceEndsAt: Instant;
    endedAt: Instant;
    /** What was known of the use of both secrets. */
    evidence: SecretUse[];
  };
}

/** The old secret works longer, because the new one could not be delivered. */
export interface KeyGraceExtended {
  type: 'KeyGraceExtended';
  data: { keyId: string; secretId: string; before: Instant; after: Instant; extendedAt: Instant };
}

/** The key was found where it should not be; what was done about it stands behind this in the same append. */
export interface KeyLeakReported {
  type: 'KeyLeakReported';
  data: {
    keyId: string;
    secretId: string;
    leakId: string;
    source: LeakSource;
    url?: string;
    /** `ends-soon`: the leaked secret ends at `secretEndsAt`, and its owner has to rotate before. */
    action: LeakAction;
    because?: LeakNoActionReason;
    secretEndsAt?: Instant;
    reportedAt: Instant;
  };
}

export type KeyEvent =
  | KeyIssued
  | KeyImported
  | KeyRotated
  | KeyRevoked
  | KeySuspended
  | KeyReinstated
  | KeyDetailsChanged
  | KeyExpiryAnnounced
  | KeyRotationAnnounced
  | KeyUnusedAnnounced
  | KeyExpired
  | KeyGraceEnded
  | KeyGraceExtended
  | KeyLeakReported;
