import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsBoolean, IsIn, IsInt, IsObject, Max, Min, ValidateNested } from 'class-validator';
import { MAX_DURATION_SECONDS } from '../time.js';
import { KEY_KINDS, KEY_STATES, OWNER_TYPES, REVOCATION_REASONS } from '../words.js';
import type { KeyKind, KeyStateName, OwnerType, RevocationReason } from '../words.js';
import {
  Email,
  IsDuration,
  IsInstant,
  IsMetadata,
  LIMITS,
  Line,
  Lines,
  oneOf,
  Optional,
  OptionalOrNull,
  Paragraph,
} from './fields.js';
import { OptionalRotation, type RotationInput } from './keyspaces.dto.js';
import { PageQuery } from './page.dto.js';

const graceLength = {
  message: 'is not a number of seconds',
  context: { fix: 'a whole number of seconds, 0 or more, e.g. 86400' },
};

/** Who can be asked about the keys. Personal data: kept encrypted, and erased with the owner's subject. */
export class ContactInput {
  /** @example 'Jo Doe' */
  @Optional()
  @Line(LIMITS.name)
  name?: string;

  /** @example 'jo@example.com' */
  @Optional()
  @Email()
  email?: string;
}

/** Whom a key identifies: an application or account, never an end user. */
export class OwnerInput {
  /** @example 'app_checkout' */
  @Line(LIMITS.ownerId)
  id: string;

  @ApiProperty({ enum: OWNER_TYPES })
  @IsIn(OWNER_TYPES, oneOf(OWNER_TYPES))
  type: OwnerType;

  @Optional()
  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"name": "Jo Doe", "email": "jo@example.com"}' } })
  @ValidateNested()
  @Type(() => ContactInput)
  contact?: ContactInput;
}

/** Where a key may be used from; what is left out allows everything. */
export class RestrictionsInput {
  /**
   * CIDR blocks or single addresses, IPv4 or IPv6.
   * @example ['203.0.113.0/24']
   */
  @Optional()
  @Lines(LIMITS.restrictions, LIMITS.name)
  addresses?: string[];

  /**
   * Web origins, the host optionally starting with `*.`.
   * @example ['https://app.example.com']
   */
  @Optional()
  @Lines(LIMITS.restrictions, LIMITS.name)
  origins?: string[];
}

export class IssueKeyRequest {
  /** @example 'acme' */
  @Line(LIMITS.name)
  keyspaceId: string;

  /** @example 'live' */
  @Line(LIMITS.name)
  environment: string;

  /** @example 'Checkout backend' */
  @Line(LIMITS.name)
  name: string;

  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"id": "app_checkout", "type": "application"}' } })
  @ValidateNested()
  @Type(() => OwnerInput)
  owner: OwnerInput;

  /** A secret key stays on servers; a publishable key may be seen by anybody and must be restricted. */
  @ApiProperty({ required: false, enum: KEY_KINDS, default: 'secret' })
  @Optional()
  @IsIn(KEY_KINDS, oneOf(KEY_KINDS))
  kind?: KeyKind;

  /**
   * What the key may do. They cannot be changed later: other permissions mean another key.
   * @example ['payments:read']
   */
  @Lines(LIMITS.scopes, LIMITS.scopeLength)
  scopes: string[];

  /**
   * How long the key lives. Without it and without expiresAt, the policy's default lifetime.
   * @example 'P90D'
   */
  @Optional()
  @IsDuration()
  lifetime?: string;

  /** When the key ends; null for never, which the policy must allow and `justification` must explain. */
  @ApiProperty({ required: false, nullable: true, type: String })
  @OptionalOrNull()
  @IsInstant()
  expiresAt?: string | null;

  /** Before this instant the key is not good yet. */
  @Optional()
  @IsInstant()
  notBefore?: string;

  @Optional()
  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"addresses": ["203.0.113.0/24"]}' } })
  @ValidateNested()
  @Type(() => RestrictionsInput)
  restrictions?: RestrictionsInput;

  /**
   * Free text by name, for your own bookkeeping.
   * @example { "team": "payments" }
   */
  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;

  /** Why a key may live for ever. */
  @Optional()
  @Paragraph(LIMITS.justification)
  justification?: string;

  /** A bait: it verifies as NOT_FOUND, and whoever presents it raises a leak incident. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  decoy?: boolean;

  /** How the key is rotated, in place of the keyspace's rule; null: it is not rotated by policy. */
  @OptionalRotation()
  rotation?: RotationInput | null;
}

/** What is named replaces what was; what is left out stays. */
export class ChangeKeyRequest {
  @Optional()
  @Line(LIMITS.name)
  name?: string;

  /** Replaces the metadata whole. */
  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;

  @Optional()
  @IsObject({ message: 'is not an object' })
  @ValidateNested()
  @Type(() => OwnerInput)
  owner?: OwnerInput;

  /** Replaces the restrictions whole; `{}` lifts them. */
  @Optional()
  @IsObject({ message: 'is not an object' })
  @ValidateNested()
  @Type(() => RestrictionsInput)
  restrictions?: RestrictionsInput;

  /** Earlier than it was; to live longer, issue a new key. */
  @Optional()
  @IsInstant()
  expiresAt?: string;

  /** How the key is rotated, in place of the keyspace's rule; null: it is not rotated by policy. */
  @OptionalRotation()
  rotation?: RotationInput | null;
}

/** Rotating one's own key takes the grace of the policy, so that a thief cannot lock its owner out at once. */
export class RotateSelfRequest {
  /** Why; stands in the audit trail. */
  @Optional()
  @Line(LIMITS.reason)
  reason?: string;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

export class RotateKeyRequest extends RotateSelfRequest {
  /**
   * How long the previous secret still works. Without it, the policy's default; 0 ends it at once.
   * @example 86400
   */
  @Optional()
  @IsInt(graceLength)
  @Min(0, graceLength)
  @Max(MAX_DURATION_SECONDS, graceLength)
  graceSeconds?: number;
}

export class RevokeKeyRequest {
  @ApiProperty({ enum: REVOCATION_REASONS })
  @IsIn(REVOCATION_REASONS, oneOf(REVOCATION_REASONS))
  reason: RevocationReason;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

/** Of a suspension or a reinstatement. */
export class StateChangeRequest {
  /**
   * Why; stands in the audit trail.
   * @example 'unusual traffic'
   */
  @Line(LIMITS.reason)
  reason: string;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

/** Filters hold together. */
export class ListKeysQuery extends PageQuery {
  @Optional()
  @Line(LIMITS.name)
  keyspaceId?: string;

  @Optional()
  @Line(LIMITS.ownerId)
  ownerId?: string;

  @Optional()
  @Line(LIMITS.name)
  environment?: string;

  @ApiProperty({ required: false, enum: KEY_STATES })
  @Optional()
  @IsIn(KEY_STATES, oneOf(KEY_STATES))
  state?: KeyStateName;

  /** Keys that end before this instant. */
  @Optional()
  @IsInstant()
  expiringBefore?: string;

  /** Keys that no verification has passed since this instant, and that were made before it. */
  @Optional()
  @IsInstant()
  unusedSince?: string;
}
