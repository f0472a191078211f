import { ApiProperty } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import { IsArray, IsBoolean, IsIn, IsObject, ValidateNested } from 'class-validator';
import { KEY_KINDS, type KeyKind } from '../words.js';
import { both, IsDuration, IsRule, LIMITS, Line, Lines, oneOf, Optional, OptionalOrNull } from './fields.js';

const SECOND_ROTATION = ['end-oldest', 'refuse'] as const;
const ROTATION_MODES = ['announce', 'automatic'] as const;
const UNUSED_ACTIONS = ['announce', 'suspend'] as const;

/** Replaces a key's secret every so often. */
export class RotationInput {
  /**
   * How old a secret may grow.
   * @example 'P30D'
   */
  @IsDuration()
  every: string;

  /**
   * How long the old secret then works beside the new one; shorter than `every`, and no longer than `maxGrace`.
   * @example 'P1D'
   */
  @IsDuration()
  grace: string;

  /**
   * `announce` tells the owner. `automatic` rotates and hands the new secret to the owner's receiver, encrypted to it;
   * an owner without a receiver is told instead.
   */
  @ApiProperty({ enum: ROTATION_MODES })
  @IsIn(ROTATION_MODES, oneOf(ROTATION_MODES))
  mode: 'announce' | 'automatic';
}

/** A rule of rotation that may be left out; `null` says that there is none. */
export const OptionalRotation = (): PropertyDecorator =>
  both(
    ApiProperty({ required: false, nullable: true, type: RotationInput }),
    OptionalOrNull(),
    IsObject({
      message: 'is not an object',
      context: { fix: 'e.g. {"every": "P30D", "grace": "P1D", "mode": "announce"}' },
    }),
    ValidateNested(),
    Type(() => RotationInput),
  );

/** What happens to a key that nobody has used for so long. */
export class UnusedInput {
  /** @example 'P60D' */
  @IsDuration()
  after: string;

  @ApiProperty({ enum: UNUSED_ACTIONS })
  @IsIn(UNUSED_ACTIONS, oneOf(UNUSED_ACTIONS))
  action: 'announce' | 'suspend';
}

/** The response to a leak of the keys that it names; an absent member names all. The first that names a key holds. */
export class LeakRuleInput {
  /** @example 'live' */
  @Optional()
  @Line(LIMITS.name)
  environment?: string;

  @ApiProperty({ required: false, enum: KEY_KINDS })
  @Optional()
  @IsIn(KEY_KINDS, oneOf(KEY_KINDS))
  kind?: KeyKind;

  /**
   * `revoke`, `suspend`, `alert`, or `rotate:` with the grace after which the leaked secret ends.
   * @example 'rotate:PT1H'
   */
  @ApiProperty({ type: String })
  @IsRule(['revoke', 'suspend', 'alert'], 'rotate')
  response: 'revoke' | 'suspend' | 'alert' | `rotate:${string}`;
}

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
  @IsIn(SECOND_ROTATION, oneOf(SECOND_ROTATION))
  secondRotation?: 'end-oldest' | 'refuse';

  /** Whether the holder of a secret key may rotate it with nothing but the key. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  selfRotate?: boolean;

  /** Whether the holder of a secret key may revoke it with nothing but the key. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  selfRevoke?: boolean;

  /**
   * How long before its end the owner of a key is warned.
   * @example ['P30D', 'P7D', 'P1D']
   */
  @Optional()
  @Lines(10, 32)
  expiryWarnings?: string[];

  /** How keys are rotated by policy; null: they are not. */
  @OptionalRotation()
  rotation?: RotationInput | null;

  /**
   * When a grace ends: `at-deadline`, or `when-idle:` and how long the old secret must be silent while the new is used.
   * @example 'when-idle:PT6H'
   */
  @ApiProperty({ required: false, type: String })
  @Optional()
  @IsRule(['at-deadline'], 'when-idle')
  endGrace?: 'at-deadline' | `when-idle:${string}`;

  /**
   * What a rotation by policy does to the old secret when the new one cannot be delivered: `keep` its grace, or
   * `extend:` it by so long from then on, within `maxGrace`; never where a secret of the key was found somewhere.
   * @example 'extend:P7D'
   */
  @ApiProperty({ required: false, type: String })
  @Optional()
  @IsRule(['keep'], 'extend')
  failedDelivery?: 'keep' | `extend:${string}`;

  /** What happens to unused keys; null: nothing. */
  @ApiProperty({ required: false, nullable: true, type: UnusedInput })
  @OptionalOrNull()
  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"after": "P60D", "action": "announce"}' } })
  @ValidateNested()
  @Type(() => UnusedInput)
  unused?: UnusedInput | null;

  /** What happens to keys that were found where they should not be; by default secret keys are revoked. */
  @ApiProperty({ required: false, type: [LeakRuleInput] })
  @Optional()
  @IsArray({ message: 'is not a list', context: { fix: 'e.g. [{"environment": "test", "response": "alert"}]' } })
  @ValidateNested({ each: true, message: 'is not an object' })
  @Type(() => LeakRuleInput)
  leaks?: LeakRuleInput[];
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
  /** @example ['P30D', 'P7D', 'P1D'] */
  expiryWarnings: string[];
  /** Absent: keys are not rotated by policy. */
  rotation?: RotationInput;
  /** @example 'at-deadline' */
  @ApiProperty({ type: String })
  endGrace: string;
  /** @example 'extend:P7D' */
  @ApiProperty({ type: String })
  failedDelivery: string;
  /** Absent: nothing happens to unused keys. */
  unused?: UnusedInput;
  leaks: LeakRuleInput[];
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
