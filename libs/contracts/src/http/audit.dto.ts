import { ApiProperty } from '@nestjs/swagger';
import { Transform, Type } from 'class-transformer';
import { IsIn, IsInt, IsObject, Max, Min, ValidateBy, ValidateNested } from 'class-validator';
import { EVENT_CATALOG, isEventType, type EventType } from '../events/catalog.js';
import { KEY_STATES, VERDICT_CODES, type KeyStateName, type VerdictCode } from '../words.js';
import { IsInstant, LIMITS, Line, Lines, oneOf, Optional } from './fields.js';
import { KeyView } from './key-views.dto.js';
import { PageQuery } from './page.dto.js';

const wholeRevision = { message: 'is no revision', context: { fix: 'a whole number, 0 or more' } };

/** A place in the log, in decimal. */
const IsPosition = (): PropertyDecorator =>
  ValidateBy(
    { name: 'position', validator: { validate: (value) => typeof value === 'string' && /^\d{1,20}$/.test(value) } },
    { message: 'is no position', context: { fix: 'a whole number, as events have it in `position`' } },
  );

/** Several, separated by commas or by repetition. */
const IsEventTypes = (): PropertyDecorator => (target, property) => {
  Transform(({ value }: { value: unknown }) => [value].flat().flatMap((one) => String(one).split(',')))(
    target,
    property,
  );
  ValidateBy(
    {
      name: 'types',
      validator: { validate: (value) => Array.isArray(value) && value.length <= 50 && value.every(isEventType) },
    },
    { message: 'names a type that there is not', context: { fix: `of ${Object.keys(EVENT_CATALOG).join(', ')}` } },
  )(target, property);
};

export const AUDIT_FORMATS = ['json', 'ndjson', 'csv', 'ocsf'] as const;
export type AuditFormat = (typeof AUDIT_FORMATS)[number];
const ORDERS = ['oldest', 'newest'] as const;
const REPLAYS = ['true', 'false'] as const;

/** What events are asked for; times are those of recording. */
export class TrailFilterQuery extends PageQuery {
  @Optional()
  @Line(64)
  keyId?: string;

  @Optional()
  @Line(64)
  keyspaceId?: string;

  /** Of events of a key: who owned it at that time. */
  @Optional()
  @Line(LIMITS.ownerId)
  ownerId?: string;

  /** Who did it, or for whom it was done. */
  @Optional()
  @Line(256)
  actorId?: string;

  /** Several, separated by commas or by repetition. */
  @Optional()
  @IsEventTypes()
  type?: EventType[];

  @Optional()
  @Line(128)
  requestId?: string;

  @Optional()
  @Line(128)
  correlationId?: string;

  /** Recorded then or later. */
  @Optional()
  @IsInstant()
  from?: string;

  /** Recorded before. */
  @Optional()
  @IsInstant()
  to?: string;

  /** At this position or behind it. */
  @Optional()
  @IsPosition()
  fromPosition?: string;

  /** At this position or before it. */
  @Optional()
  @IsPosition()
  toPosition?: string;
}

export class AuditEventsQuery extends TrailFilterQuery {
  /** Which come first; newest where nothing is said, oldest in a stream. */
  @Optional()
  @IsIn(ORDERS, oneOf(ORDERS))
  order?: (typeof ORDERS)[number];

  /** The position behind which to go on: for whoever comes back for what is new. */
  @Optional()
  @IsPosition()
  after?: string;

  /** Wins over `Accept`. Everything but `json` is a stream of any length and needs `audit:export`. */
  @Optional()
  @IsIn(AUDIT_FORMATS, oneOf(AUDIT_FORMATS))
  format?: AuditFormat;
}

export class AuditTailQuery extends TrailFilterQuery {
  /** The position behind which to begin; `Last-Event-ID` wins. Left out: what is new from now on. */
  @Optional()
  @IsPosition()
  after?: string;
}

/** The moment that is asked about: an instant, or a position; left out, now. */
export class MomentQuery extends PageQuery {
  /** The instant as of which, and at which, is told. */
  @Optional()
  @IsInstant()
  at?: string;

  /** The position as of which is told, instead. */
  @Optional()
  @IsPosition()
  position?: string;

  /** What was recorded until then is taken into account, for what had happened by `at`; left out, `at` itself. */
  @Optional()
  @IsInstant()
  knownAt?: string;
}

const LISTS = ['json', 'ndjson', 'csv'] as const;

export class AuditStateQuery extends MomentQuery {
  /**
   * Keys that had this scope, by itself or by one that covers it.
   * @example 'payments:write'
   */
  @Optional()
  @Line(LIMITS.scopeLength)
  scope?: string;

  /** Id of the owner. */
  @Optional()
  @Line(LIMITS.ownerId)
  owner?: string;

  @Optional()
  @Line(64)
  keyspaceId?: string;

  @Optional()
  @Line(64)
  environment?: string;

  @Optional()
  @IsIn(KEY_STATES, oneOf(KEY_STATES))
  state?: KeyStateName;

  @Optional()
  @IsIn(LISTS, oneOf(LISTS))
  format?: (typeof LISTS)[number];

  /** `true`: every event is read again, and no snapshot is relied on. */
  @Optional()
  @IsIn(REPLAYS, oneOf(REPLAYS))
  replay?: (typeof REPLAYS)[number];
}

const DIFF_FORMATS = ['json', 'ndjson'] as const;

export class AuditDiffQuery extends PageQuery {
  /** Changes recorded after this instant. */
  @IsInstant()
  from: string;

  /** And until this one, included. */
  @IsInstant()
  to: string;

  @Optional()
  @Line(64)
  keyspaceId?: string;

  @Optional()
  @IsIn(DIFF_FORMATS, oneOf(DIFF_FORMATS))
  format?: (typeof DIFF_FORMATS)[number];
}

/** What the service had asked. */
export class ExplainedRequestInput {
  @Optional()
  @Lines(50, LIMITS.scopeLength)
  scopes?: string[];

  @Optional()
  @Line(64)
  clientIp?: string;

  @Optional()
  @Line(2048)
  origin?: string;

  @Optional()
  @Line(64)
  environment?: string;

  @Optional()
  @Line(64)
  keyspaceId?: string;
}

export class ExplainRequest {
  /** The key; or else the key's text, as it was presented. */
  @Optional()
  @Line(64)
  keyId?: string;

  /** Hashed as it arrives, and kept nowhere. */
  @Optional()
  @Line(4096)
  key?: string;

  /** With `keyId`: which of its secrets; left out, the newest of that time. */
  @Optional()
  @Line(64)
  secretId?: string;

  /** When it was asked; left out, now. */
  @Optional()
  @IsInstant()
  at?: string;

  /** As in the other questions. */
  @Optional()
  @IsInstant()
  knownAt?: string;

  /** The revision that the live answer carried: what it was judged on, exactly. */
  @Optional()
  @IsInt(wholeRevision)
  @Min(0, wholeRevision)
  @Max(Number.MAX_SAFE_INTEGER, wholeRevision)
  revision?: number;

  @Optional()
  @IsObject({ message: 'is no object', context: { fix: 'e.g. {"scopes": ["payments:read"]}' } })
  @ValidateNested()
  @Type(() => ExplainedRequestInput)
  request?: ExplainedRequestInput;
}

export class ActorView {
  @ApiProperty({ enum: ['key', 'system', 'clock'] })
  type: string;
  id: string;
  onBehalfOf?: string;
}

export class AuditEventView {
  /** Place in the whole log; grows, not gapless. */
  position: string;
  recordedAt: string;
  @ApiProperty({ enum: Object.keys(EVENT_CATALOG) })
  type: string;
  id: string;
  stream: string;
  revision: number;
  keyId?: string;
  keyspaceId?: string;
  /** Who owned the key at that time. */
  ownerId?: string;
  /** Who did it, and on whose behalf. */
  actor: ActorView;
  /** Why. */
  reason: string;
  requestId: string;
  correlationId: string;
  causationId: string;
  commandId: string;
  /** From where. */
  clientAddress?: string;
  userAgent?: string;
  /** What is otherwise than before, by name: `{before, after}`. */
  @ApiProperty({ type: 'object', additionalProperties: true })
  changes: Record<string, object>;
  /** The event's own data, without hashes and sealed texts. */
  @ApiProperty({ type: 'object', additionalProperties: true })
  data: Record<string, unknown>;
}

export class AuditEventList {
  items: AuditEventView[];
  /** Where the next page begins; absent on the last. A page may hold fewer than its limit, even none, and have a next. */
  nextCursor?: string;
}

export class VerdictView {
  valid: boolean;
  @ApiProperty({ enum: VERDICT_CODES })
  code: VerdictCode;
  secretId?: string;
}

export class KeyAsOf {
  keyId: string;
  /** The instant at which it is judged. */
  at: string;
  /** What was recorded until then is in it. */
  knownAt?: string;
  /** Null: it was not there yet. */
  @ApiProperty({ type: KeyView, nullable: true })
  key: KeyView | null;
  /** On its newest secret, with nothing asked. */
  verdict: VerdictView;
  /** Position of the last event that is in it. */
  position?: string;
  /** How many events of its stream are in it. */
  eventCount: number;
  /** The newest of them, the newest first. */
  events: AuditEventView[];
}

export class KeysAsOf {
  at: string;
  items: KeyView[];
  nextCursor?: string;
}

export class KeyDifference {
  keyId: string;
  /** As it was before; null: it was not there. */
  @ApiProperty({ type: KeyView, nullable: true })
  before: KeyView | null;
  @ApiProperty({ type: KeyView, nullable: true })
  after: KeyView | null;
  /** Names of what is otherwise. */
  changed: string[];
  /** What happened in between, the oldest first, at most a thousand. */
  events: AuditEventView[];
  /** How many there are. */
  eventCount: number;
}

export class KeyDifferences {
  from: string;
  to: string;
  items: KeyDifference[];
  nextCursor?: string;
}

export class Explanation extends VerdictView {
  /** The instant at which it was judged. */
  at: string;
  keyId?: string;
  /** Of the key that it was judged on. */
  revision?: number;
  position?: string;
  @ApiProperty({ enum: KEY_STATES, required: false })
  state?: KeyStateName;
  /** The event since which the answer to this question, at this instant, has been this one. */
  decidedBy?: AuditEventView;
}
