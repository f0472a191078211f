import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsIn, IsObject, ValidateNested } from 'class-validator';
import {
  ATTESTATION_DECISIONS,
  KEY_STATES,
  OWNER_TYPES,
  type AttestationDecision,
  type AttestedAs,
  type KeyStateName,
  type OwnerType,
} from '../words.js';
import { IsInstant, LIMITS, Line, Lines, oneOf, Optional, Paragraph } from './fields.js';
import { PageQuery } from './page.dto.js';

export const REVIEW_STATUSES = ['preparing', 'open', 'closed'] as const;
export type ReviewStatus = (typeof REVIEW_STATUSES)[number];
const HOLDER_DECISIONS = ['keep', 'revoke'] as const;
const DECISIONS_SHOWN = ['outstanding', ...ATTESTATION_DECISIONS] as const;
const ATTESTED_AS = ['reviewer', 'owner', 'holder'] as const;

/** Filters hold together. */
export class ReviewFilterInput {
  /** @example 'acme' */
  @Optional()
  @Line(LIMITS.name)
  keyspaceId?: string;

  @Optional()
  @Line(LIMITS.ownerId)
  ownerId?: string;

  @Optional()
  @Line(LIMITS.name)
  environment?: string;

  /**
   * Keys whose scopes grant this one.
   * @example 'payments:write'
   */
  @Optional()
  @Line(LIMITS.scopeLength)
  scope?: string;

  /** Without it, every key that is neither revoked nor expired. */
  @ApiProperty({ required: false, enum: KEY_STATES })
  @Optional()
  @IsIn(KEY_STATES, oneOf(KEY_STATES))
  state?: KeyStateName;
}

export class StartReviewRequest {
  /** @example 'Payments, second quarter' */
  @Line(LIMITS.name)
  name: string;

  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"keyspaceId": "acme"}; {} for every key' } })
  @ValidateNested()
  @Type(() => ReviewFilterInput)
  filter: ReviewFilterInput;

  /**
   * Who has to attest: `owner` for each key's owner, or the id of a management key. Without it whoever has the scope
   * `reviews:attest` for the key's keyspace.
   */
  @Optional()
  @Line(64)
  reviewer?: string;

  /** @example '2030-06-30T00:00:00Z' */
  @IsInstant()
  dueAt: string;
}

export class SelfAttestRequest {
  @Line(64)
  reviewId: string;

  /** `revoke` revokes the key at once, where its keyspace lets holders do that. */
  @ApiProperty({ enum: HOLDER_DECISIONS })
  @IsIn(HOLDER_DECISIONS, oneOf(HOLDER_DECISIONS))
  decision: (typeof HOLDER_DECISIONS)[number];

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

export class AttestRequest {
  @Line(64)
  keyId: string;

  /** `revoke` revokes the key at once. `narrow` changes nothing yet: it says which scopes are enough. */
  @ApiProperty({ enum: ATTESTATION_DECISIONS })
  @IsIn(ATTESTATION_DECISIONS, oneOf(ATTESTATION_DECISIONS))
  decision: AttestationDecision;

  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;

  /** Of `narrow`: those that are enough. */
  @Optional()
  @Lines(LIMITS.scopes, LIMITS.scopeLength)
  scopes?: string[];

  /** Of `narrow`, once it was issued: the key with fewer scopes that takes the place of this one. */
  @Optional()
  @Line(64)
  replacementKeyId?: string;
}

export class CloseReviewRequest {
  @Optional()
  @Paragraph(LIMITS.comment)
  comment?: string;
}

export class ListReviewsQuery extends PageQuery {
  @ApiProperty({ required: false, enum: REVIEW_STATUSES })
  @Optional()
  @IsIn(REVIEW_STATUSES, oneOf(REVIEW_STATUSES))
  status?: ReviewStatus;
}

export class ReviewKeysQuery extends PageQuery {
  /** Only keys of which this is the decision. */
  @ApiProperty({ required: false, enum: DECISIONS_SHOWN })
  @Optional()
  @IsIn(DECISIONS_SHOWN, oneOf(DECISIONS_SHOWN))
  decision?: (typeof DECISIONS_SHOWN)[number];
}

/** How many keys, and what was decided about how many; of the keyspaces in your reach. */
export class ReviewCounts {
  keys: number;
  keep: number;
  narrow: number;
  revoke: number;
  outstanding: number;
}

export class ReviewView {
  reviewId: string;
  name: string;
  filter: ReviewFilterInput;
  reviewer?: string;
  /** `preparing`: the list of its keys is not whole; repeat the request that started it under its Idempotency-Key. */
  @ApiProperty({ enum: REVIEW_STATUSES })
  status: ReviewStatus;
  startedAt: string;
  dueAt: string;
  /** Whether it is due and still open with keys outstanding. */
  overdue: boolean;
  closedAt?: string;
  counts: ReviewCounts;
}

export class ReviewList {
  /** Newest first. */
  items: ReviewView[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}

class ReviewedOwner {
  id: string;
  @ApiProperty({ enum: OWNER_TYPES })
  type: OwnerType;
}

export class ReviewedKeyView {
  keyId: string;
  keyspaceId: string;
  /** As it was when the review began, like the owner. */
  name: string;
  owner: ReviewedOwner;
  @ApiProperty({ enum: DECISIONS_SHOWN })
  decision: (typeof DECISIONS_SHOWN)[number];
  comment?: string;
  scopes?: string[];
  replacementKeyId?: string;
  /** The management key that attested, or the key itself. */
  attestedBy?: string;
  @ApiProperty({ required: false, enum: ATTESTED_AS })
  attestedAs?: AttestedAs;
  attestedAt?: string;
}

export class ReviewDetail extends ReviewView {
  keys: ReviewedKeyView[];
  /** Where the next page of keys begins; absent on the last. */
  nextCursor?: string;
}

export class AttestedKey extends ReviewedKeyView {
  reviewId: string;
  /** Of `revoke`: whether verifiers refuse the key already; if not, they will within moments. */
  effective: boolean;
}
