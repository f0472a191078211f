import type { Instant } from '../time.js';
import type { KeyEvent } from './key.events.js';
import type { KeyspaceEvent } from './keyspace.events.js';
import type { EventMetadata } from './metadata.js';

/** Every event that we append. */
export type LedgerEvent = KeyEvent | KeyspaceEvent;
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

/** What is written down about one event type. */
export interface CatalogEntry<T extends EventType = EventType> {
  /** Its streams are named `<stream>-<id>`; it stands in no other. */
  stream: 'key' | 'keyspace';
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

/**
 * Every event type there is. A change of shape adds an upcaster here and a golden fixture that is never edited
 * (`fixtures/events`); a change of meaning is a new type.
 */
export const EVENT_CATALOG: { readonly [T in EventType]: CatalogEntry<T> } = {
  KeyIssued: { stream: 'key', schemaVersion: 1, upcasters: [], required: TERMS },
  KeyImported: { stream: 'key', schemaVersion: 1, upcasters: [], required: TERMS },
  KeyRotated: {
    stream: 'key',
    schemaVersion: 1,
    upcasters: [],
    required: ['keyId', 'secret', 'previousSecretId', 'graceEndsAt', 'rotatedAt'],
  },
  KeyRevoked: {
    stream: 'key',
    schemaVersion: 1,
    upcasters: [],
    required: ['keyId', 'reason', 'requestedAt', 'revokedAt'],
  },
  KeySuspended: { stream: 'key', schemaVersion: 1, upcasters: [], required: ['keyId', 'reason', 'suspendedAt'] },
  KeyReinstated: { stream: 'key', schemaVersion: 1, upcasters: [], required: ['keyId', 'reason', 'reinstatedAt'] },
  KeyDetailsChanged: { stream: 'key', schemaVersion: 1, upcasters: [], required: ['keyId', 'changes', 'changedAt'] },
  KeyspaceCreated: {
    stream: 'keyspace',
    schemaVersion: 1,
    upcasters: [],
    required: ['keyspaceId', 'name', 'prefix', 'environments', 'policy', 'createdAt'],
  },
  KeyspacePolicyChanged: {
    stream: 'keyspace',
    schemaVersion: 1,
    upcasters: [],
    required: ['keyspaceId', 'changes', 'changedAt'],
  },
  KeyspaceArchived: { stream: 'keyspace', schemaVersion: 1, upcasters: [], required: ['keyspaceId', 'archivedAt'] },
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
