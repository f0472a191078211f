import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsBoolean, IsIn, IsObject, ValidateNested } from 'class-validator';
import { IsDuration, LIMITS, Line, Lines, Optional, OptionalOrNull } from './fields.js';

const SECOND_ROTATION = ['end-oldest', 'refuse'] as const;

/** The policy as people write it: what is left out keeps its value, or gets its default in a new keyspace. */
export class PolicyInput {
  /**
   * How long a key lives when its request says nothing.
   * @example 'P90D'
   */
  @Optional()
  @IsDuration()
  defaultLifetime?: string;

  /**
   * How long a key may live at most.
   * @example 'P366D'
   */
  @Optional()
  @IsDuration()
  maxLifetime?: string;

  /**
   * How long the previous secret works after a rotation that says nothing.
   * @example 'P1D'
   */
  @Optional()
  @IsDuration()
  defaultGrace?: string;

  /**
   * How long the previous secret may work at most.
   * @example 'P30D'
   */
  @Optional()
  @IsDuration()
  maxGrace?: string;

  /** The scopes that keys may have, `a:*` for all below `a`; without it, or with null, any. */
  @ApiProperty({ required: false, nullable: true, type: [String], example: ['payments:*'] })
  @OptionalOrNull()
  @Lines(LIMITS.scopes, LIMITS.scopeLength)
  scopes?: string[] | null;

  /** Whether keys without expiry may be issued, each with a justification. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  nonExpiring?: boolean;

  /** What a rotation does while an earlier one is in its grace: end the oldest secret at once, or be refused. */
  @Optional()
  @IsIn(SECOND_ROTATION, { message: 'is neither "end-oldest" nor "refuse"' })
  secondRotation?: 'end-oldest' | 'refuse';

  /** Whether the holder of a secret key may rotate it with nothing but the key. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  selfRotate?: boolean;

  /** Whether the holder of a secret key may revoke it with nothing but the key. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  selfRevoke?: boolean;
}

export class CreateKeyspaceRequest {
  /** @example 'Acme payments' */
  @Line(LIMITS.name)
  name: string;

  /**
   * With what keys begin, and the id of the keyspace: 2 to 12 of a-z and 0-9, a letter first. Belongs to it for ever.
   * @example 'acme'
   */
  @ApiProperty({ required: false, default: 'kl', pattern: '^[a-z][a-z0-9]{1,11}$' })
  @Optional()
  @Line(LIMITS.name)
  prefix?: string;

  /** Where keys are used; a key belongs to one of them. */
  @ApiProperty({ required: false, default: ['live', 'test'], type: [String] })
  @Optional()
  @Lines(LIMITS.environments, LIMITS.name)
  environments?: string[];

  @Optional()
  @IsObject({ message: 'is not an object' })
  @ValidateNested()
  @Type(() => PolicyInput)
  policy?: PolicyInput;
}

export class ChangeKeyspaceRequest {
  @Optional()
  @Line(LIMITS.name)
  name?: string;

  /** Every environment that the keyspace has, and the new ones: none can be taken away. */
  @Optional()
  @Lines(LIMITS.environments, LIMITS.name)
  environments?: string[];

  /** Merged into the policy that holds; keys that exist keep what they were given. */
  @Optional()
  @IsObject({ message: 'is not an object' })
  @ValidateNested()
  @Type(() => PolicyInput)
  policy?: PolicyInput;
}

export class PolicyView {
  /** @example 'P90D' */
  defaultLifetime: string;
  /** @example 'P366D' */
  maxLifetime: string;
  /** @example 'P1D' */
  defaultGrace: string;
  /** @example 'P30D' */
  maxGrace: string;
  /** Absent: any. */
  scopes?: string[];
  nonExpiring: boolean;
  secondRotation: 'end-oldest' | 'refuse';
  selfRotate: boolean;
  selfRevoke: boolean;
}

export class KeyspaceView {
  /** @example 'acme' */
  keyspaceId: string;
  /** @example 'Acme payments' */
  name: string;
  /** @example 'acme' */
  prefix: string;
  /** @example ['live', 'test'] */
  environments: string[];
  policy: PolicyView;
  /** @example '2026-11-23T08:00:00.000Z' */
  createdAt: string;
  /** Since when no key is issued, imported or rotated here. */
  archivedAt?: string;
  /** Revision of the keyspace, as in the ETag. */
  revision: number;
}

export class ChangedKeyspace extends KeyspaceView {
  /** Whether readers see the change already; if not, they will within moments. */
  effective: boolean;
}

export class KeyspaceList {
  items: KeyspaceView[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}
