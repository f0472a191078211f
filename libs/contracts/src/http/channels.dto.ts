import { ApiProperty } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsBoolean, IsIn, IsObject, ValidateNested } from 'class-validator';
import type { ChannelAudience } from '../events/channel.events.js';
import {
  CHANNEL_FORMATS,
  CHANNEL_TYPES,
  NOTIFICATION_KINDS,
  type ChannelFormat,
  type ChannelType,
  type NotificationKind,
} from '../words.js';
import { both, check, IsDuration, LIMITS, Line, Lines, oneOf, Optional, OptionalOrNull } from './fields.js';

const VIA = ['webhook', 'pickup'] as const;
const JWK_MEMBERS = 12;
const JWK_LENGTH = 512;

const AUDIENCE_SCHEMA = {
  oneOf: [
    { type: 'string', enum: ['system'] },
    {
      type: 'object',
      minProperties: 1,
      properties: { keyspaceId: { type: 'string' }, ownerId: { type: 'string', maxLength: LIMITS.ownerId } },
      additionalProperties: false,
    },
  ],
};

function isAudience(value: unknown): boolean {
  if (value === 'system') return true;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return (
    entries.length > 0 &&
    entries.every(([name, id]) => {
      if (typeof id !== 'string' || id === '' || /[\p{Cc}\p{Cs}]/u.test(id)) return false;
      return name === 'keyspaceId'
        ? /^[a-z][a-z0-9]{1,11}$/.test(id)
        : name === 'ownerId' && id.length <= LIMITS.ownerId;
    })
  );
}

/** Taken from the body as it was written. */
const asWritten = (): PropertyDecorator =>
  Transform(({ obj, key }: { obj: Record<string, unknown>; key: string }) => obj[key]);

const IsAudience = (): PropertyDecorator =>
  both(
    asWritten(),
    check(
      'audience',
      isAudience,
      'says for no keyspace, owner or system whose news it is',
      '"system", or an object with keyspaceId, ownerId or both',
      {},
    ),
  );

function isJwk(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  if (entries.length === 0 || entries.length > JWK_MEMBERS) return false;
  return entries.every(
    ([name, text]) => /^[a-z0-9_#]{1,16}$/i.test(name) && typeof text === 'string' && text.length <= JWK_LENGTH,
  );
}

const IsJwk = (): PropertyDecorator =>
  both(
    asWritten(),
    check(
      'jwk',
      isJwk,
      'is no JWK',
      'a public JWK (RFC 7517) whose members are strings, e.g. {"kty": "OKP", "crv": "X25519", "x": "…"}',
      {
        additionalProperties: { type: 'string' },
      },
    ),
  );

const KINDS_FIX = { fix: `some of ${NOTIFICATION_KINDS.join(', ')}` };

/** Where a channel leads, by its type. */
export class ChannelTargetInput {
  /**
   * Of `webhook` and `slack`, and of a `receiver` via webhook. What stands in a Slack URL is a credential: it is kept
   * encrypted and never shown again.
   * @example 'https://hooks.example/keyledger'
   */
  @Optional()
  @Line(2048)
  url?: string;

  /**
   * Of `email`: 1 to 20.
   * @example ['oncall@example.com']
   */
  @Optional()
  @Lines(20, 254)
  addresses?: string[];

  /**
   * Of `receiver`: the public key (JWK) of P-256 or X25519 to which new secrets are encrypted with ECDH-ES. It needs the
   * scope `keys:rotate` for that audience, and for the keyspace `system` every scope there is.
   */
  @ApiProperty({ required: false, type: Object, example: { kty: 'OKP', crv: 'X25519', x: 'base64url of 32 bytes' } })
  @Optional()
  @IsJwk()
  publicKey?: Record<string, string>;

  /** Of `receiver`: whether a new secret is sent to its `url`, or picked up. */
  @ApiProperty({ required: false, enum: VIA })
  @Optional()
  @IsIn(VIA, oneOf(VIA))
  via?: 'webhook' | 'pickup';

  /**
   * Of `webhook`: `cloudevents` sends it no news but the whole trail of the system or a keyspace, as OCSF in CloudEvents.
   * It needs the scope `audit:export` for that audience, and cannot be changed.
   */
  @ApiProperty({ required: false, enum: CHANNEL_FORMATS })
  @Optional()
  @IsIn(CHANNEL_FORMATS, oneOf(CHANNEL_FORMATS))
  format?: ChannelFormat;
}

export class RegisterChannelRequest {
  /** @example 'on call' */
  @Line(LIMITS.name)
  name: string;

  @ApiProperty({ enum: CHANNEL_TYPES })
  @IsIn(CHANNEL_TYPES, oneOf(CHANNEL_TYPES))
  type: ChannelType;

  /** Whose news it gets: of a keyspace, of an owner's keys (in one keyspace or everywhere), or of the whole system. */
  @ApiProperty({ ...AUDIENCE_SCHEMA, example: { keyspaceId: 'acme' } })
  @IsAudience()
  audience: ChannelAudience;

  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"url": "https://hooks.example/keyledger"}' } })
  @ValidateNested()
  @Type(() => ChannelTargetInput)
  target: ChannelTargetInput;

  /** What it is told; without it everything. */
  @ApiProperty({ required: false, enum: NOTIFICATION_KINDS, isArray: true })
  @Optional()
  @Lines(NOTIFICATION_KINDS.length, 64)
  @IsIn(NOTIFICATION_KINDS, { each: true, message: 'names a kind that there is not', context: KINDS_FIX })
  kinds?: NotificationKind[];
}

export class ChangeChannelRequest {
  @Optional()
  @Line(LIMITS.name)
  name?: string;

  /** The whole of it. */
  @Optional()
  @IsObject({ message: 'is not an object', context: { fix: 'e.g. {"url": "https://hooks.example/keyledger"}' } })
  @ValidateNested()
  @Type(() => ChannelTargetInput)
  target?: ChannelTargetInput;

  /** What it is told; null: everything. */
  @ApiProperty({ required: false, nullable: true, enum: NOTIFICATION_KINDS, isArray: true })
  @OptionalOrNull()
  @Lines(NOTIFICATION_KINDS.length, 64)
  @IsIn(NOTIFICATION_KINDS, { each: true, message: 'names a kind that there is not', context: KINDS_FIX })
  kinds?: NotificationKind[] | null;

  /** `false` stops sending; `true` begins again, also after the receiver answered 410. */
  @Optional()
  @IsBoolean({ message: 'is not true or false' })
  enabled?: boolean;
}

export class RotateChannelSecretRequest {
  /**
   * How long messages are signed by the old secret too; at most 30 days.
   * @example 'P1D'
   */
  @ApiProperty({ required: false, default: 'P1D' })
  @Optional()
  @IsDuration()
  overlap?: string;
}

export class ChannelSecretView {
  secretId: string;
  createdAt: string;
  /** Until when it signs beside the newer one. */
  endsAt?: string;
}

export class ChannelTargetView {
  /** Of a Slack webhook its host only. */
  url?: string;
  addresses?: string[];
  @ApiProperty({ required: false, type: Object })
  publicKey?: Record<string, string>;
  @ApiProperty({ required: false, enum: VIA })
  via?: 'webhook' | 'pickup';
  @ApiProperty({ required: false, enum: CHANNEL_FORMATS })
  format?: ChannelFormat;
}

export class ChannelView {
  channelId: string;
  name: string;
  @ApiProperty({ enum: CHANNEL_TYPES })
  type: ChannelType;
  @ApiProperty(AUDIENCE_SCHEMA)
  audience: ChannelAudience;
  target: ChannelTargetView;
  /** Absent: everything. */
  @ApiProperty({ required: false, enum: NOTIFICATION_KINDS, isArray: true })
  kinds?: NotificationKind[];
  enabled: boolean;
  /** Why nothing is sent there, e.g. that it answered 410. */
  disabledBecause?: string;
  /** The secrets that messages are signed with, the newest first. */
  secrets: ChannelSecretView[];
  createdAt: string;
  /** Revision of the channel, as in the ETag. */
  revision: number;
}

/** A channel whose signing secret was just made. */
export class ChannelWithSecret extends ChannelView {
  /**
   * Verifies its messages (Standard Webhooks, `v1`). It is shown this once.
   * @example 'whsec_…'
   */
  signingSecret?: string;
}

export class ChannelList {
  items: ChannelView[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}
