import { describe, expect, it } from '@jest/globals';
import {
  EVENT_CATALOG,
  type EventType,
  type LeakEvent,
  type LedgerEvent,
  type RecordedEvent,
} from '@keyledger/contracts';
import { readFileSync } from 'node:fs';
import { at, issued, rotated, START } from './decider.spec-support.js';
import { fold } from './decider.js';
import { evolveKey } from './key.state.js';
import { keyOfNews, newsOf } from './news.js';

/** Every event in its newest shape, as the golden fixtures have them. */
function fixture(type: EventType): LedgerEvent {
  const { schemaVersion } = EVENT_CATALOG[type];
  const url = new URL(`../../contracts/fixtures/events/${type}.v${schemaVersion}.json`, import.meta.url);
  return { type, data: JSON.parse(readFileSync(url, 'utf8')).data } as LedgerEvent;
}

const recorded = (event: LedgerEvent): RecordedEvent => ({
  id: 'e1',
  stream: 's',
  revision: 0,
  position: 1n,
  recordedAt: START,
  event,
  metadata: {
    schemaVersion: 1,
    commandId: 'c',
    actor: { type: 'clock', id: 'clock' },
    reason: 'r',
    requestId: 'q',
    $correlationId: 'q',
    $causationId: 'c',
  },
});

const key = fold(evolveKey, undefined as never, [issued(), rotated(1, at(1), at(100))] as never[]);
const types = Object.keys(EVENT_CATALOG) as EventType[];
const kindOf = (type: EventType) => newsOf(recorded(fixture(type)), { key })?.kind;

describe('the news in an event', () => {
  it('is of one kind for each type, and none for what only concerns ourselves', () => {
    expect(Object.fromEntries(types.map((type) => [type, kindOf(type)]))).toEqual({
      KeyIssued: 'key.issued',
      KeyImported: 'key.issued',
      KeyRotated: 'key.rotated',
      KeyRevoked: 'key.revoked',
      KeySuspended: 'key.suspended',
      KeyReinstated: 'key.reinstated',
      KeyDetailsChanged: 'key.changed',
      KeyExpiryAnnounced: 'key.grace_ending',
      KeyRotationAnnounced: 'key.rotation_due',
      KeyUnusedAnnounced: 'key.unused',
      KeyExpired: 'key.expired',
      KeyGraceEnded: 'key.grace_ended',
      KeyGraceExtended: 'key.changed',
      KeyLeakReported: 'key.leaked',
      KeyspaceCreated: 'keyspace.changed',
      KeyspacePolicyChanged: 'keyspace.changed',
      KeyspaceArchived: 'keyspace.changed',
      AuditMismatchFound: 'audit.mismatch',
      LeakReported: undefined,
      LeakMatched: 'leak.reported',
      LeakActionTaken: undefined,
      LeakResolved: 'leak.resolved',
      ChannelRegistered: undefined,
      ChannelChanged: undefined,
      ChannelRemoved: undefined,
      NotificationRequested: undefined,
      NotificationDelivered: undefined,
      NotificationFailed: undefined,
      SecretDeliveryPrepared: 'secret.ready',
      SecretDelivered: undefined,
      SecretDeliveryFailed: 'secret.delivery_failed',
      KeyUsageRecorded: undefined,
    });
  });

  it.each(types)('of a %s holds no hash and nothing encrypted', (type) => {
    const event = fixture(type);
    const text = JSON.stringify(newsOf(recorded(event), { key }) ?? {});
    for (const secret of [/"hash"/, /"jwe"/, /"sealed"/, /tokenHash/, /hash-of-/]) expect(text).not.toMatch(secret);
  });

  it('about a key names it by id, name and mask, and whose it is', () => {
    expect(newsOf(recorded(fixture('KeyRevoked')), { key })).toMatchObject({
      keyspaceId: 'acme',
      ownerId: 'billing',
      keys: [{ keyId: 'key1', name: 'Payments', environment: 'live', secretId: 'secret000002' }],
      happenedAt: START,
    });
    expect(keyOfNews(recorded(fixture('KeyspaceCreated')))).toBeUndefined();
    expect(newsOf(recorded(fixture('KeyRevoked')), {})).toBeUndefined();
  });

  it('of a leak says where it was found and who is concerned', () => {
    const leak = [fixture('LeakReported'), fixture('LeakMatched')] as LeakEvent[];
    const news = newsOf(recorded(fixture('LeakMatched')), { key, leak });
    const [report, match] = leak as [
      Extract<LeakEvent, { type: 'LeakReported' }>,
      Extract<LeakEvent, { type: 'LeakMatched' }>,
    ];
    expect(news).toMatchObject({ keyspaceId: match.data.keyspaceId, ownerId: match.data.owner.id });
    expect(news?.details).toMatchObject({ leakId: match.data.leakId, source: report.data.source });
  });

  it('of a grace that ends is another kind than that of a key that ends', () => {
    const event = fixture('KeyExpiryAnnounced') as Extract<LedgerEvent, { type: 'KeyExpiryAnnounced' }>;
    const ending = { ...event, data: { ...event.data, end: 'key' as const } };
    expect(newsOf(recorded(ending), { key })?.kind).toBe('key.expiring');
  });
});
