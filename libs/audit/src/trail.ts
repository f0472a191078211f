import {
  EVENT_CATALOG,
  type Actor,
  type EventType,
  type Instant,
  type LedgerEvent,
  type RecordedEvent,
} from '@keyledger/contracts';
import type { Subject } from './subject.js';

/** One event as a reader of the trail sees it. */
export interface TrailRow extends Subject {
  /** Place in the whole log, in decimal; grows, not gapless. */
  position: string;
  recordedAt: Instant;
  type: EventType;
  id: string;
  stream: string;
  revision: number;
  actor: Actor;
  reason: string;
  requestId: string;
  correlationId: string;
  causationId: string;
  commandId: string;
  clientAddress?: string;
  userAgent?: string;
  /** What is otherwise than before; an absent side means that there was, or is, none, or that the event does not say. */
  changes: Record<string, { before?: unknown; after?: unknown }>;
  /** The event's own data, in its newest shape, without hashes and sealed texts. */
  data: Record<string, unknown>;
}

/** What of an event is of no use to a reader, and of some to a thief. The proof of an event shows all of it. */
const WITHHELD = new Set(['hash', 'tokenHash', 'sealed', 'sealedUrl', 'jwe']);

export function trailRow(recorded: RecordedEvent, subject: Subject): TrailRow {
  const { position, recordedAt, event, id, stream, revision, metadata } = recorded;
  const { actor, reason, requestId, commandId, clientAddress, userAgent } = metadata;
  return {
    position: String(position),
    recordedAt,
    type: event.type,
    id,
    stream,
    revision,
    ...subject,
    actor,
    reason,
    requestId,
    correlationId: metadata.$correlationId,
    causationId: metadata.$causationId,
    commandId,
    ...(clientAddress !== undefined && { clientAddress }),
    ...(userAgent !== undefined && { userAgent }),
    changes: shown(changesOf(event)) as TrailRow['changes'],
    data: shown(event.data) as Record<string, unknown>,
  };
}

function shown(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (WITHHELD.has(name) ? [] : [[name, shown(member)]])),
  );
}

function changesOf(event: LedgerEvent): TrailRow['changes'] {
  switch (event.type) {
    case 'KeyIssued':
    case 'KeyImported': {
      const { owner, scopes, expiresAt, restrictions } = event.data;
      const terms = { owner, scopes, restrictions, ...(expiresAt !== undefined && { expiresAt }) };
      return { state: { after: 'active' }, ...mapped(terms, (after) => ({ after })) };
    }
    case 'KeyRotated': {
      const { previousSecretId, secret, graceEndsAt } = event.data;
      return {
        secretId: { before: previousSecretId, after: secret.secretId },
        previousSecretEndsAt: { after: graceEndsAt },
      };
    }
    case 'KeyRevoked':
      return { state: { after: 'revoked' } };
    case 'KeySuspended':
      return { state: { before: 'active', after: 'suspended' } };
    case 'KeyReinstated':
      return { state: { before: 'suspended', after: 'active' } };
    case 'KeyExpired':
      return { state: { after: 'expired' } };
    case 'KeyGraceEnded':
      return { [`secret ${event.data.secretId}`]: { before: 'in grace', after: 'over' } };
    case 'KeyGraceExtended': {
      const { before, after } = event.data;
      return { previousSecretEndsAt: { before, after } };
    }
    case 'KeyDetailsChanged':
    case 'KeyspacePolicyChanged':
    case 'ChannelChanged':
      return event.data.changes;
    case 'KeyspaceCreated': {
      const { name, environments, policy } = event.data;
      return mapped({ name, environments, policy }, (after) => ({ after }));
    }
    case 'KeyspaceArchived':
      return { state: { before: 'open', after: 'archived' } };
    default:
      return {};
  }
}

function mapped<V>(members: Record<string, unknown>, to: (value: unknown) => V): Record<string, V> {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [name, to(value)]));
}

/** What a reader wants to see; what is left out is not asked. Times are of recording. */
export interface TrailFilter {
  keyId?: string;
  keyspaceId?: string;
  ownerId?: string;
  actorId?: string;
  types?: readonly EventType[];
  requestId?: string;
  correlationId?: string;
  /** Inclusive. */
  from?: Instant;
  /** Exclusive. */
  to?: Instant;
  /** Inclusive. */
  fromPosition?: bigint;
  /** Inclusive. */
  toPosition?: bigint;
}

export function fits(recorded: RecordedEvent, subject: Subject, filter: TrailFilter): boolean {
  const { metadata, event, recordedAt, position } = recorded;
  const { actorId, types, requestId, correlationId, from, to, fromPosition, toPosition } = filter;
  const asked: readonly (readonly [unknown, unknown])[] = [
    [filter.keyId, subject.keyId],
    [filter.keyspaceId, subject.keyspaceId],
    [filter.ownerId, subject.ownerId],
    [requestId, metadata.requestId],
    [correlationId, metadata.$correlationId],
  ];
  return (
    asked.every(([wanted, is]) => wanted === undefined || wanted === is) &&
    (actorId === undefined || metadata.actor.id === actorId || metadata.actor.onBehalfOf === actorId) &&
    (types === undefined || types.includes(event.type)) &&
    (from === undefined || recordedAt >= from) &&
    (to === undefined || recordedAt < to) &&
    (fromPosition === undefined || position >= fromPosition) &&
    (toPosition === undefined || position <= toPosition)
  );
}

/** The prefixes of streams in which anything that fits can stand. */
export function prefixesFor({ types }: TrailFilter, all: readonly string[]): readonly string[] {
  if (!types) return all;
  return [...new Set(types.map((type) => `${EVENT_CATALOG[type].stream}-`))];
}
