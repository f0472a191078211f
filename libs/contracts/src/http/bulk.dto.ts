import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { ArrayMaxSize, ArrayMinSize, IsArray, IsInt, IsObject, Max, Min, ValidateNested } from 'class-validator';
import { REFUSALS, type RefusalCode } from '../refusals.js';
import { IsInstant, IsMetadata, IsSha256, LIMITS, Line, Lines, Optional, OptionalOrNull, Paragraph } from './fields.js';
import { OwnerInput, RestrictionsInput, RevokeKeyRequest } from './keys.dto.js';
import { FieldErrorView } from './problem.dto.js';

/** A key made elsewhere. Its text is not sent: only its SHA-256. */
export class ImportedKeyInput {
  /**
   * SHA-256 of the whole key as hex, base64 or base64url. A hash is imported once, into one keyspace.
   * @example '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'
   */
  @IsSha256()
  sha256: string;

  /** @example 'live' */
  @Line(LIMITS.name)
  environment: string;

  @Line(LIMITS.name)
  name: string;

  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"id": "app_checkout", "type": "application"}' } })
  @ValidateNested()
  @Type(() => OwnerInput)
  owner: OwnerInput;

  @Lines(LIMITS.scopes, LIMITS.scopeLength)
  scopes: string[];

  /** When the key ends; without it, after the policy's default lifetime; null for never, if the policy allows it. */
  @ApiProperty({ required: false, nullable: true, type: String })
  @OptionalOrNull()
  @IsInstant()
  expiresAt?: string | null;

  @Optional()
  @IsObject({ message: 'is not an object' })
  @ValidateNested()
  @Type(() => RestrictionsInput)
  restrictions?: RestrictionsInput;

  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;

  /** The id that the key had where it comes from. */
  @Optional()
  @Line(LIMITS.externalId)
  externalId?: string;

  /** Why a key may live for ever. */
  @Optional()
  @Paragraph(LIMITS.justification)
  justification?: string;
}

const bulkSize = {
  message: `is not a list of 1 to ${LIMITS.bulk} entries`,
  context: { fix: `an array of 1 to ${LIMITS.bulk} entries; send more in further requests` },
};

export class ImportKeysRequest {
  /** @example 'acme' */
  @Line(LIMITS.name)
  keyspaceId: string;

  @IsArray(bulkSize)
  @ArrayMinSize(1, bulkSize)
  @ArrayMaxSize(1000, bulkSize)
  @ValidateNested({ each: true, message: 'is not an object' })
  @Type(() => ImportedKeyInput)
  keys: ImportedKeyInput[];
}

/** Why one entry of many was not done. */
export class ItemError {
  @ApiProperty({ enum: Object.keys(REFUSALS) })
  code: RefusalCode;
  detail: string;
  errors?: FieldErrorView[];
}

export class ImportResult {
  /** Place of the entry in the request, from 0. */
  index: number;
  @ApiProperty({ enum: ['imported', 'rejected'] })
  status: 'imported' | 'rejected';
  keyId?: string;
  error?: ItemError;
}

export class ImportResults {
  results: ImportResult[];
  /** Whether verifiers know all imported keys already; if not, they will within moments. */
  effective: boolean;
}

/** Which keys: by `keyIds`, or by `keyspaceId`, `ownerId` or both. */
export class RevokeKeysRequest extends RevokeKeyRequest {
  /** @example 'acme' */
  @Optional()
  @Line(LIMITS.name)
  keyspaceId?: string;

  @Optional()
  @Line(LIMITS.ownerId)
  ownerId?: string;

  @ApiProperty({ required: false, type: [String], minItems: 1, maxItems: 1000 })
  @Optional()
  @ArrayMinSize(1, bulkSize)
  @Lines(LIMITS.bulk, LIMITS.name)
  keyIds?: string[];

  /** `nextCursor` of the call before; with keyspaceId or ownerId. */
  @Optional()
  @Line(512)
  cursor?: string;

  /** How many keys at most in this call; 1000 without it. */
  @Optional()
  @IsInt(bulkSize)
  @Min(1, bulkSize)
  @Max(1000, bulkSize)
  limit?: number;
}

export class RevokeResult {
  keyId: string;
  @ApiProperty({ enum: ['revoked', 'rejected'] })
  status: 'revoked' | 'rejected';
  /** When the key's revocation was first asked for. */
  requestedAt?: string;
  revision?: number;
  error?: ItemError;
}

export class RevokeResults {
  results: RevokeResult[];
  /** There are more keys: call again with it. */
  nextCursor?: string;
  /** Whether verifiers refuse all these keys already; if not, they will within moments. */
  effective: boolean;
}
