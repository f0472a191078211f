import { ApiProperty } from '@nestjs/swagger';
import { RotationInput } from './keyspaces.dto.js';
import { KEY_KINDS, KEY_STATES, OWNER_TYPES, REVOCATION_REASONS } from '../words.js';
import type { KeyKind, KeyStateName, OwnerType, RevocationReason } from '../words.js';

export class ContactView {
  /** `[erased]` once the owner's personal data was erased. */
  name?: string;
  /** An address as it was given, or `[erased]` likewise; so not always one that mail can be sent to. */
  email?: string;
}

export class OwnerView {
  /** @example 'app_checkout' */
  id: string;
  @ApiProperty({ enum: OWNER_TYPES })
  type: OwnerType;
  contact?: ContactView;
}

export class RestrictionsView {
  addresses?: string[];
  origins?: string[];
}

/** One generation of a key. The secret itself was shown once and is not kept. */
export class SecretView {
  /** @example '4f9kQ2LmZ7aB' */
  secretId: string;
  /** @example 'acme_live_4f9kQ2LmZ7aB_…x9Zq' */
  mask: string;
  createdAt: string;
  /** Set once the secret has been rotated out: it works until then. */
  graceEndsAt?: string;
  /** When it last passed a verification, up to about a second ago. Absent: never, or it is not known at the moment. */
  lastUsedAt?: string;
}

export class SuspensionView {
  reason: string;
  comment?: string;
  suspendedAt: string;
}

export class RevocationView {
  @ApiProperty({ enum: REVOCATION_REASONS })
  reason: RevocationReason;
  comment?: string;
  requestedAt: string;
  revokedAt: string;
}

export class LeakMarkView {
  leakId: string;
  /** The secret that was found. */
  secretId: string;
  reportedAt: string;
}

export class KeyView {
  /** Names the key for good, whatever becomes of its secrets. */
  keyId: string;
  /** @example 'acme' */
  keyspaceId: string;
  /** @example 'live' */
  environment: string;
  @ApiProperty({ enum: KEY_KINDS })
  kind: KeyKind;
  /** @example 'Checkout backend' */
  name: string;
  owner: OwnerView;
  /** @example ['payments:read'] */
  scopes: string[];
  restrictions: RestrictionsView;
  metadata: Record<string, string>;
  @ApiProperty({ enum: KEY_STATES })
  state: KeyStateName;
  /** The current secret, then the previous one while it is in its grace. */
  secrets: SecretView[];
  createdAt: string;
  notBefore?: string;
  /** Null: never. */
  @ApiProperty({ type: String, nullable: true, format: 'date-time' })
  expiresAt: string | null;
  justification?: string;
  /** The id that an imported key had where it came from. */
  externalId?: string;
  suspension?: SuspensionView;
  revocation?: RevocationView;
  /** It is a bait: it verifies as NOT_FOUND. */
  decoy?: boolean;
  /** How the key is rotated, in place of the keyspace's rule; null: it is not rotated by policy. */
  @ApiProperty({ required: false, nullable: true, type: RotationInput })
  rotation?: RotationInput | null;
  /** The newest report that it was found where it should not be. */
  leak?: LeakMarkView;
  /** Revision of the key, as in the ETag. */
  revision: number;
}

export class SecretUseView extends SecretView {
  firstUsedAt?: string;
  /** How often it passed a verification. */
  count: number;
}

export class GraceView {
  endsAt: string;
  /** The keyspace's rule: `at-deadline`, or `when-idle:` and for how long the old secret must be silent. */
  endGrace: string;
  /**
   * What comes next: the end at the deadline; the end before it, if the old secret stays silent until then; or another
   * look, because the new secret was not used yet.
   */
  @ApiProperty({ enum: ['end-at-deadline', 'end-when-idle', 'look-again'] })
  next: 'end-at-deadline' | 'end-when-idle' | 'look-again';
  nextAt: string;
}

export class NextRotationView {
  every: string;
  grace: string;
  @ApiProperty({ enum: ['announce', 'automatic'] })
  mode: 'announce' | 'automatic';
  /** When the current secret is due; while an older one is in its grace, the rotation waits for its end. */
  dueAt: string;
}

/** How far the rotation of a key has come, by evidence. */
export class RotationView {
  keyId: string;
  /** Absent: it was ended, and the key has none. */
  current?: SecretUseView;
  /** The secret that was rotated out, while it is in its grace. */
  previous?: SecretUseView;
  grace?: GraceView;
  /** Absent: no policy rotates this key. */
  nextRotation?: NextRotationView;
}

export class KeyList {
  items: KeyView[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}

export class ChangedKey extends KeyView {
  /** Whether verifiers see the change already; if not, they will within moments. */
  effective: boolean;
}

export class IssuedKey extends ChangedKey {
  /** @example '4f9kQ2LmZ7aB' */
  secretId: string;
  /** @example 'acme_live_4f9kQ2LmZ7aB_…x9Zq' */
  mask: string;
  /**
   * The whole key, this once. Absent where a repeated Idempotency-Key asks for it later than ten minutes after.
   * @example 'acme_live_4f9kQ2LmZ7aB_<49 characters>'
   */
  key?: string;
}

export class PreviousSecretView {
  secretId: string;
  /** Until then it works beside the new one. */
  graceEndsAt: string;
}

export class RotatedKey {
  keyId: string;
  /** The new secret. */
  secretId: string;
  /** The whole new key, this once. Absent where a repeated Idempotency-Key asks for it later than ten minutes after. */
  key?: string;
  mask: string;
  previous: PreviousSecretView;
  /** A rotation does not change it. Null: never. */
  @ApiProperty({ type: String, nullable: true, format: 'date-time' })
  expiresAt: string | null;
  revision: number;
  effective: boolean;
}

export class RevokedKey {
  keyId: string;
  @ApiProperty({ enum: ['revoked'] })
  state: 'revoked';
  requestedAt: string;
  revision: number;
  /** Whether verifiers refuse the key already; if not, they will within moments. */
  effective: boolean;
}
