import {
  EVENT_CATALOG,
  plusSeconds,
  type Actor,
  type Instant,
  type KeyEvent,
  type KeyspaceEvent,
  type KeyTerms,
  type LedgerEvent,
  type RecordedEvent,
} from '@keyledger/contracts';
import { DEFAULT_POLICY, type PolicyInput } from '@keyledger/domain';
import { advanceKey, type KeyAt } from '../replay.js';
import { REPORTS, runReport, type ReportQuestion, type ReportRow, type ReportSource } from './index.js';

export const DAY = 86_400;
/** The instant so many days after the beginning of every story. */
export const day = (days: number): Instant => plusSeconds('2026-01-01T00:00:00.000Z', days * DAY);

/** A log in the making: every event gets the next position and is recorded a moment after it happened. */
export class Story {
  readonly log: RecordedEvent[] = [];

  /** @param happened days since the beginning */
  add(happened: number, event: LedgerEvent, { actor = ADMIN, lagSeconds = 0 } = {}): this {
    const data = event.data as { reviewId?: string; leakId?: string; keyspaceId?: string; keyId?: string };
    const category = EVENT_CATALOG[event.type].stream;
    const id =
      { review: data.reviewId, leak: data.leakId, keyspace: data.keyspaceId }[category as 'leak'] ?? data.keyId;
    const stream = `${category}-${id}`;
    this.log.push({
      id: `event${this.log.length}`,
      stream,
      revision: this.log.filter((one) => one.stream === stream).length,
      position: BigInt((this.log.length + 1) * 10),
      recordedAt: plusSeconds(day(happened), lagSeconds),
      event,
      metadata: {
        schemaVersion: EVENT_CATALOG[event.type].schemaVersion,
        commandId: 'c',
        actor,
        reason: 'because',
        requestId: 'r',
        $correlationId: 'r',
        $causationId: 'c',
      },
    });
    return this;
  }

  keyspace(happened: number, keyspaceId: string, policy: PolicyInput = {}): this {
    const whole = { ...DEFAULT_POLICY, ...policy } as typeof DEFAULT_POLICY;
    return this.add(happened, {
      type: 'KeyspaceCreated',
      data: {
        keyspaceId,
        name: `The ${keyspaceId}`,
        prefix: keyspaceId,
        environments: ['live', 'test'],
        policy: whole,
        createdAt: day(happened),
      },
    });
  }

  policy(happened: number, keyspaceId: string, policy: PolicyInput): this {
    const after = { ...DEFAULT_POLICY, ...policy } as typeof DEFAULT_POLICY;
    const event: KeyspaceEvent = {
      type: 'KeyspacePolicyChanged',
      data: { keyspaceId, changes: { policy: { before: DEFAULT_POLICY, after } }, changedAt: day(happened) },
    };
    return this.add(happened, event);
  }

  /** A key that lives for 90 days from then on. */
  issue(happened: number, keyId: string, more: Partial<KeyTerms> = {}): this {
    const data: KeyTerms = {
      keyId,
      keyspaceId: 'acme',
      environment: 'live',
      kind: 'secret',
      name: `Key ${keyId}`,
      owner: { id: 'billing', type: 'service' },
      scopes: ['payments:read'],
      restrictions: {},
      metadata: {},
      secret: { secretId: `${keyId}s1`, hash: 'h', mask: 'm' },
      createdAt: day(happened),
      expiresAt: day(happened + 90),
      ...more,
    };
    if (data.expiresAt === undefined) delete data.expiresAt;
    return this.add(happened, { type: 'KeyIssued', data });
  }

  rotate(happened: number, keyId: string, n: number, actor?: Actor): this {
    const event: KeyEvent = {
      type: 'KeyRotated',
      data: {
        keyId,
        secret: { secretId: `${keyId}s${n + 1}`, hash: `h${n}`, mask: 'm' },
        previousSecretId: `${keyId}s${n}`,
        graceEndsAt: day(happened + 1),
        rotatedAt: day(happened),
      },
    };
    return this.add(happened, event, actor && { actor });
  }

  /** On record so many seconds after it was asked for. */
  revoke(happened: number, keyId: string, lagSeconds = 0): this {
    const when = day(happened);
    const data = { keyId, reason: 'offboarding', requestedAt: when, revokedAt: when } as const;
    return this.add(happened, { type: 'KeyRevoked', data }, { lagSeconds });
  }

  used(happened: number, keyId: string, secretId: string, count: number): this {
    const lastUsedAt = day(happened);
    const data = { keyId, secrets: [{ secretId, lastUsedAt, count }], recordedAt: lastUsedAt };
    return this.add(happened, { type: 'KeyUsageRecorded', data });
  }

  /** The lines of a report, from events in batches of two and keys folded from all of them, or as they are given. */
  async report(
    name: string,
    question: Partial<ReportQuestion> & { at: Instant },
    keysAt: ReportSource['keysAt'] = (at) => inBatches(this.keysAt(at)),
  ): Promise<ReportRow[]> {
    const report = REPORTS.get(name);
    if (!report) throw new RangeError(`there is no report ${name}`);
    const events = (streams: readonly string[]): AsyncIterable<RecordedEvent[]> =>
      inBatches(this.log.filter(({ stream }) => streams.some((prefix) => stream.startsWith(prefix))));
    const eventsOf = (stream: string, count: number): AsyncIterable<RecordedEvent[]> =>
      inBatches(this.log.filter((one) => one.stream === stream).slice(0, count));
    const rows: ReportRow[] = [];
    for await (const batch of runReport(report, { within: 'all', ...question }, { events, eventsOf, keysAt }))
      rows.push(...batch);
    return JSON.parse(JSON.stringify(rows)) as ReportRow[];
  }

  private keysAt(at: Instant): KeyAt[] {
    const keys = new Map<string, KeyAt>();
    for (const recorded of this.log.filter(({ recordedAt }) => recordedAt <= at)) {
      const key = recorded.stream.startsWith('key-') && advanceKey(keys.get(recorded.stream), recorded);
      if (key) keys.set(recorded.stream, key);
    }
    return [...keys.values()].sort(({ state: one }, { state: other }) => (one.keyId < other.keyId ? -1 : 1));
  }
}

export async function* inBatches<T>(items: readonly T[]): AsyncGenerator<T[]> {
  for (let at = 0; at < items.length; at += 2) yield items.slice(at, at + 2);
}

export const ADMIN: Actor = { type: 'key', id: 'admin', onBehalfOf: 'jane' };
export const CLOCK: Actor = { type: 'clock', id: 'worker' };

/** What lines about a key of `Story.issue` have in common. */
export const keyOf = (keyId: string, keyspaceId = 'acme') => ({
  keyId,
  keyspaceId,
  environment: 'live',
  name: `Key ${keyId}`,
  ownerId: 'billing',
  ownerType: 'service',
});

export const link = (query: string): string => `/v1/audit/events?${query}`;
