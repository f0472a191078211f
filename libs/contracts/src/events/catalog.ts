import type { Instant } from '../time.js';
import type { AuditAccessEvent } from './audit.events.js';
import type { BulkEvent } from './bulk.events.js';
import type { ChannelEvent, NotificationEvent } from './channel.events.js';
import type { AuditProofEvent } from './checkpoint.events.js';
import type { DeliveryEvent } from './delivery.events.js';
import type { KeyEvent } from './key.events.js';
import type { KeyspaceEvent } from './keyspace.events.js';
import type { LeakEvent } from './leak.events.js';
import type { EventMetadata } from './metadata.js';
import type { ReviewEvent } from './review.events.js';
import type { SubjectEvent } from './subject.events.js';
import type { UsageEvent } from './usage.events.js';

/** Every event that we append. */
export type LedgerEvent =
  | KeyEvent
  | KeyspaceEvent
  | LeakEvent
  | ChannelEvent
  | NotificationEvent
  | DeliveryEvent
  | UsageEvent
  | SubjectEvent
  | AuditAccessEvent
  | BulkEvent
  | ReviewEvent
  | AuditProofEvent;
export type EventType = LedgerEvent['type'];

/** An event as the store gives it back: data in its newest shape, and where and when it was recorded. */
export interface RecordedEvent<E extends LedgerEvent = LedgerEvent> {
  id: string;
  stream: string;
  /** Revision in its stream, from 0. */
  revision: number;
  /** Position in the whole log. Grows; not gapless. */
  position: bigint;
  recordedAt: Instant;
  event: E;
  metadata: EventMetadata;
}

/** Turns the data of one schema version into that of the next. Never edited once an event of the old version exists. */
export type Upcaster = (data: Record<string, unknown>) => Record<string, unknown>;

type DataOf<T extends EventType> = Extract<LedgerEvent, { type: T }>['data'];
type RequiredMember<D> = { [K in keyof D]-?: object extends Pick<D, K> ? never : K }[keyof D];

/** The kinds of streams that there are. */
export type StreamCategory =
  | 'key'
  | 'keyspace'
  | 'leak'
  | 'channel'
  | 'notification'
  | 'delivery'
  | 'usage'
  | 'review'
  | 'subject'
  | 'audit-access'
  | 'audit-request'
  | 'audit';

/** What is written down about one event type. */
export interface CatalogEntry<T extends EventType = EventType> {
  /** Its streams are named `<stream>-<id>`; it stands in no other. */
  stream: StreamCategory;
  /** The newest version, one more than there are upcasters. */
  schemaVersion: number;
  /** For every older version the step to the next: `upcasters[0]` turns version 1 into 2. */
  upcasters: readonly Upcaster[];
  /** The members without which data of the newest version is broken. */
  required: readonly RequiredMember<DataOf<T>>[];
}

const TERMS = [
  'keyId',
  'keyspaceId',
  'environment',
  'kind',
  'name',
  'owner',
  'scopes',
  'restrictions',
  'metadata',
  'secret',
  'createdAt',
] as const;

/** What held before a policy could say it. */
const POLICY_BEFORE_V2 = {
  expiryWarnings: ['P30D', 'P7D', 'P1D'],
  endGrace: 'at-deadline',
  failedDelivery: 'extend:P7D',
  leaks: [],
};

const withPolicyV2 = (policy: unknown): unknown =>
  typeof policy === 'object' && policy !== null ? { ...POLICY_BEFORE_V2, ...policy } : policy;

const keyspaceCreatedV2: Upcaster = (data) => ({ ...data, policy: withPolicyV2(data['policy']) });

const keyspaceChangedV2: Upcaster = (data) => {
  const changes = data['changes'] as { policy?: { before?: unknown; after?: unknown } };
  if (!changes.policy) return data;
  const { before, after } = changes.policy;
  return { ...data, changes: { ...changes, policy: { before: withPolicyV2(before), after: withPolicyV2(after) } } };
};

/** An entry of a type that has kept its first shape. */
function first<T extends EventType>(
  stream: StreamCategory,
  ...required: readonly RequiredMember<DataOf<T>>[]
): CatalogEntry<T> {
  return { stream, schemaVersion: 1, upcasters: [], required };
}

/**
 * Every event type there is. A change of shape adds an upcaster here and a golden fixture that is never edited
 * (`fixtures/events`); a change of meaning is a new type.
 */
export const EVENT_CATALOG: { readonly [T in EventType]: CatalogEntry<T> } = {
  KeyIssued: first('key', ...TERMS),
  KeyImported: first('key', ...TERMS),
  KeyRotated: first('key', 'keyId', 'secret', 'previousSecretId', 'graceEndsAt', 'rotatedAt'),
  KeyRevoked: first('key', 'keyId', 'reason', 'requestedAt', 'revokedAt'),
  KeySuspended: first('key', 'keyId', 'reason', 'suspendedAt'),
  KeyReinstated: first('key', 'keyId', 'reason', 'reinstatedAt'),
  KeyDetailsChanged: first('key', 'keyId', 'changes', 'changedAt'),
  KeyExpiryAnnounced: first('key', 'keyId', 'secretId', 'end', 'endsAt', 'warning', 'announcedAt'),
  KeyRotationAnnounced: first('key', 'keyId', 'secretId', 'dueAt', 'announcedAt'),
  KeyUnusedAnnounced: first('key', 'keyId', 'unusedSince', 'announcedAt'),
  KeyExpired: first('key', 'keyId', 'expiresAt', 'recordedAt'),
  KeyGraceEnded: first('key', 'keyId', 'secretId', 'cause', 'graceEndsAt', 'endedAt', 'evidence'),
  KeyGraceExtended: first('key', 'keyId', 'secretId', 'before', 'after', 'extendedAt'),
  KeyLeakReported: first('key', 'keyId', 'secretId', 'leakId', 'source', 'action', 'reportedAt'),
  KeyspaceCreated: {
    stream: 'keyspace',
    schemaVersion: 2,
    upcasters: [keyspaceCreatedV2],
    required: ['keyspaceId', 'name', 'prefix', 'environments', 'policy', 'createdAt'],
  },
  KeyspacePolicyChanged: {
    stream: 'keyspace',
    schemaVersion: 2,
    upcasters: [keyspaceChangedV2],
    required: ['keyspaceId', 'changes', 'changedAt'],
  },
  KeyspaceArchived: first('keyspace', 'keyspaceId', 'archivedAt'),
  LeakReported: first('leak', 'leakId', 'source', 'tokenHash', 'reportedAt'),
  LeakMatched: first(
    'leak',
    'leakId',
    'keyId',
    'secretId',
    'keyspaceId',
    'environment',
    'kind',
    'owner',
    'response',
    'matchedAt',
  ),
  LeakActionTaken: first('leak', 'leakId', 'keyId', 'action', 'keyRevision', 'takenAt'),
  LeakResolved: first('leak', 'leakId', 'resolution', 'resolvedAt'),
  ChannelRegistered: first('channel', 'channelId', 'name', 'type', 'audience', 'target', 'secrets', 'createdAt'),
  ChannelChanged: first('channel', 'channelId', 'changes', 'changedAt'),
  ChannelRemoved: first('channel', 'channelId', 'removedAt'),
  NotificationRequested: first(
    'notification',
    'notificationId',
    'channelId',
    'kind',
    'keys',
    'details',
    'eventId',
    'eventPosition',
    'happenedAt',
    'requestedAt',
  ),
  NotificationDelivered: first('notification', 'notificationId', 'channelId', 'attempts', 'answer', 'deliveredAt'),
  NotificationFailed: first('notification', 'notificationId', 'channelId', 'attempts', 'problem', 'failedAt'),
  SecretDeliveryPrepared: first(
    'delivery',
    'deliveryId',
    'keyId',
    'keyspaceId',
    'ownerId',
    'secret',
    'previousSecretId',
    'channelId',
    'via',
    'jwe',
    'expiresAt',
    'preparedAt',
  ),
  SecretDelivered: first('delivery', 'deliveryId', 'keyId', 'via', 'attempts', 'deliveredAt'),
  SecretDeliveryFailed: first('delivery', 'deliveryId', 'keyId', 'attempts', 'problem', 'failedAt'),
  KeyUsageRecorded: first('usage', 'keyId', 'secrets', 'recordedAt'),
  SubjectErased: first('subject', 'subjectId', 'kind', 'generation', 'fields', 'reason', 'erasedAt'),
  AuditTrailRead: first('audit-access', 'route', 'filter', 'range', 'format', 'readAt'),
  AuditTrailExported: first('audit-access', 'route', 'filter', 'range', 'format', 'exportedAt'),
  AccessReviewStarted: first('review', 'reviewId', 'name', 'filter', 'dueAt', 'startedAt'),
  AccessReviewScoped: first('review', 'reviewId', 'keys'),
  AccessAttested: first('review', 'reviewId', 'keyId', 'decision', 'attestedBy', 'attestedAs', 'attestedAt'),
  AccessReviewClosed: first('review', 'reviewId', 'outstanding', 'closedAt'),
  BulkRequestAccepted: first('audit-request', 'bulkId', 'operation', 'count', 'acceptedAt'),
  CheckpointSigned: first('audit', 'size', 'root', 'origin', 'note', 'keys', 'position', 'signedAt'),
  AuditMismatchFound: first('audit', 'code', 'message', 'evidence', 'foundBy', 'foundAt'),
};

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(EVENT_CATALOG, type);
}

/**
 * Data in its newest shape, through every step from the version in which it was stored.
 * @throws RangeError for a version that this build does not know, and for data that lacks a required member.
 */
export function upcast(type: EventType, schemaVersion: number, data: Record<string, unknown>): Record<string, unknown> {
  const { upcasters, required }: { upcasters: readonly Upcaster[]; required: readonly string[] } = EVENT_CATALOG[type];
  const newest = climb(upcasters, schemaVersion, data);
  const missing = required.filter((member) => newest[member] === undefined);
  if (missing.length > 0) throw new RangeError(`${type} lacks ${missing.join(', ')}`);
  return newest;
}

/**
 * Takes data of a schema version through the steps that remain: `steps[n - 1]` turns version n into n + 1.
 * @throws RangeError for a version newer than the steps lead to, or for no version at all.
 */
export function climb(
  steps: readonly Upcaster[],
  schemaVersion: number,
  data: Record<string, unknown>,
): Record<string, unknown> {
  const newest = steps.length + 1;
  if (!Number.isInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > newest) {
    throw new RangeError(
      `schemaVersion is ${schemaVersion}; this build knows ${newest === 1 ? '1' : `1 to ${newest}`}`,
    );
  }
  return steps.slice(schemaVersion - 1).reduce((shape, step) => step(shape), data);
}
