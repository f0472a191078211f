import {
  streams,
  type Instant,
  type KeyEvent,
  type KeyspaceEvent,
  type LeakEvent,
  type LedgerEvent,
  type NotificationKind,
  type NotifiedKey,
  type RecordedEvent,
} from '@keyledger/contracts';
import type { KeyState } from './key.state.js';

/** What an event is to whom it concerns: ids and masks, never a secret or a hash. */
export interface News {
  kind: NotificationKind;
  keyspaceId?: string;
  ownerId?: string;
  keys: NotifiedKey[];
  details: Record<string, unknown>;
  happenedAt: Instant;
}

/** What the event alone does not say: its key as it was right after it, and the leak report that it belongs to. */
export interface NewsContext {
  key?: KeyState;
  leak?: readonly LeakEvent[];
}

/** Warnings, of which a channel hears each about a key at most once a day. */
export const WARNINGS: ReadonlySet<NotificationKind> = new Set([
  'key.expiring',
  'key.grace_ending',
  'key.rotation_due',
  'key.unused',
] satisfies NotificationKind[]);

type Told = Pick<News, 'kind' | 'details'> & { secretId?: string };

/** The streams whose events are news. */
export const NEWS_STREAM_PREFIXES = ['key-', 'keyspace-', 'leak-', 'delivery-', streams.auditCheck] as const;

/** The news in an event, or `undefined` where it is none. */
export function newsOf({ event, recordedAt }: RecordedEvent, context: NewsContext): News | undefined {
  if (isLeakEvent(event)) return leakNews(event, recordedAt, context);
  if (isKeyspaceEvent(event)) return keyspaceNews(event, recordedAt);
  if (event.type === 'AuditMismatchFound') {
    const { code, message, event: misfit, foundBy } = event.data;
    const details = { code, message, foundBy, ...(misfit && { event: misfit }) };
    return { kind: 'audit.mismatch', keys: [], details, happenedAt: recordedAt };
  }
  const told = isKeyEvent(event) ? keyNews(event) : deliveryNews(event);
  const { key } = context;
  if (!told || !key) return undefined;
  const { kind, details, secretId } = told;
  return {
    kind,
    keyspaceId: key.keyspaceId,
    ownerId: key.owner.id,
    keys: [notified(key, secretId ?? key.secrets[0]?.secretId)],
    details,
    happenedAt: recordedAt,
  };
}

/** The key that an event is about, if it is news of a key. */
export function keyOfNews({ event }: RecordedEvent): string | undefined {
  if (isKeyEvent(event) || event.type === 'LeakMatched') return event.data.keyId;
  return deliveryNews(event) && 'keyId' in event.data ? event.data.keyId : undefined;
}

function notified({ keyId, name, environment, secrets }: KeyState, secretId: string | undefined): NotifiedKey {
  const mask = secrets.find((secret) => secret.secretId === secretId)?.mask;
  return {
    keyId,
    name,
    environment,
    ...(secretId !== undefined && { secretId }),
    ...(mask !== undefined && { mask }),
  };
}

function keyNews(event: KeyEvent): Told {
  switch (event.type) {
    case 'KeyIssued':
    case 'KeyImported': {
      const { expiresAt, secret } = event.data;
      const details = { imported: event.type === 'KeyImported', ...(expiresAt !== undefined && { expiresAt }) };
      return { kind: 'key.issued', details, secretId: secret.secretId };
    }
    case 'KeyRotated': {
      const { previousSecretId, graceEndsAt, secret } = event.data;
      return { kind: 'key.rotated', details: { previousSecretId, graceEndsAt }, secretId: secret.secretId };
    }
    case 'KeyRevoked': {
      const { reason, requestedAt } = event.data;
      return { kind: 'key.revoked', details: { reason, requestedAt } };
    }
    case 'KeySuspended':
      return { kind: 'key.suspended', details: { reason: event.data.reason } };
    case 'KeyReinstated':
      return { kind: 'key.reinstated', details: { reason: event.data.reason } };
    case 'KeyDetailsChanged':
      return { kind: 'key.changed', details: { fields: Object.keys(event.data.changes) } };
    case 'KeyGraceExtended': {
      const { before, after, secretId } = event.data;
      return { kind: 'key.changed', details: { fields: ['graceEndsAt'], graceEndsAt: { before, after } }, secretId };
    }
    case 'KeyExpiryAnnounced': {
      const { end, endsAt, warning, lastUsedAt, secretId } = event.data;
      const kind = end === 'key' ? 'key.expiring' : 'key.grace_ending';
      return { kind, details: { endsAt, warning, ...(lastUsedAt !== undefined && { lastUsedAt }) }, secretId };
    }
    case 'KeyRotationAnnounced': {
      const { dueAt, fallback, secretId } = event.data;
      return { kind: 'key.rotation_due', details: { dueAt, ...(fallback && { fallback }) }, secretId };
    }
    case 'KeyUnusedAnnounced':
      return { kind: 'key.unused', details: { unusedSince: event.data.unusedSince } };
    case 'KeyExpired':
      return { kind: 'key.expired', details: { expiresAt: event.data.expiresAt } };
    case 'KeyGraceEnded': {
      const { secretId, cause, graceEndsAt, endedAt, evidence } = event.data;
      return { kind: 'key.grace_ended', details: { cause, graceEndsAt, endedAt, evidence }, secretId };
    }
    case 'KeyLeakReported': {
      const { keyId: _, reportedAt: __, secretId, ...details } = event.data;
      return { kind: 'key.leaked', details, secretId };
    }
  }
}

function deliveryNews(event: LedgerEvent): Told | undefined {
  if (event.type === 'SecretDeliveryPrepared' && event.data.via === 'pickup') {
    const { deliveryId, channelId, expiresAt, secret } = event.data;
    return { kind: 'secret.ready', details: { deliveryId, channelId, expiresAt }, secretId: secret.secretId };
  }
  if (event.type !== 'SecretDeliveryFailed') return undefined;
  const { deliveryId, attempts, problem } = event.data;
  return { kind: 'secret.delivery_failed', details: { deliveryId, attempts, problem } };
}

/** A report is news once it is known to be of a key of ours; anybody can report anything. */
function leakNews(event: LeakEvent, happenedAt: Instant, { leak: all = [], key }: NewsContext): News | undefined {
  const { leakId } = event.data;
  const report = all.find((one) => one.type === 'LeakReported')?.data;
  const match = event.type === 'LeakMatched' ? event.data : all.find((one) => one.type === 'LeakMatched')?.data;
  const whose = match ? { keyspaceId: match.keyspaceId, ownerId: match.owner.id } : {};
  if (event.type === 'LeakResolved') {
    const details = { leakId, resolution: event.data.resolution, ...(match && { keyId: match.keyId }) };
    return { kind: 'leak.resolved', ...whose, keys: [], details, happenedAt };
  }
  if (event.type !== 'LeakMatched') return undefined;
  const { keyId, secretId, environment, response } = event.data;
  const { source, url, location, tokenType, presentedFrom, mask } = report ?? {};
  const given = { source, url, location, tokenType, presentedFrom };
  const details = { leakId, response, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value)) };
  const leaked = { keyId, name: key?.name ?? '', environment, secretId, ...(mask !== undefined && { mask }) };
  return { kind: 'leak.reported', ...whose, keys: [leaked], details, happenedAt };
}

function keyspaceNews(event: KeyspaceEvent, happenedAt: Instant): News {
  const { keyspaceId } = event.data;
  const details =
    event.type === 'KeyspacePolicyChanged'
      ? { change: 'changed', fields: Object.keys(event.data.changes) }
      : { change: event.type === 'KeyspaceCreated' ? 'created' : 'archived' };
  return { kind: 'keyspace.changed', keyspaceId, keys: [], details, happenedAt };
}

const isKeyspaceEvent = (event: LedgerEvent): event is KeyspaceEvent => event.type.startsWith('Keyspace');
const isLeakEvent = (event: LedgerEvent): event is LeakEvent => event.type.startsWith('Leak');
const isKeyEvent = (event: LedgerEvent): event is KeyEvent =>
  event.type.startsWith('Key') && !isKeyspaceEvent(event) && event.type !== 'KeyUsageRecorded';
