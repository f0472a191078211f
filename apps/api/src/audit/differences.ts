import { streams, type Instant, type RecordedEvent } from '@keyledger/contracts';
import type { AuditEventView, KeyDifference, KeyView } from '@keyledger/contracts/http';
import { History, keyAt } from '@keyledger/audit';
import { EventStore } from '@keyledger/event-store';
import type { Reach } from '@keyledger/platform';
import { Past, viewOf } from './past.js';

/** How many events of one key are shown; the rest are counted. */
const EVENTS_SHOWN = 1000;

export interface Span {
  /** Exclusive. */
  from: Instant;
  /** Inclusive. */
  to: Instant;
  keyspaceId?: string;
  signal?: AbortSignal;
}

/** What was otherwise at one instant than at another, key by key in the order of ids. */
export class Differences {
  constructor(
    private readonly store: EventStore,
    private readonly history: History,
    private readonly past: Past,
  ) {}

  async page(
    span: Span,
    reach: Reach,
    limit: number,
    after?: string,
  ): Promise<{ items: KeyDifference[]; last?: string }> {
    const items: KeyDifference[] = [];
    for await (const difference of this.all(span, reach, after)) {
      if (items.length === limit) return { items, last: items.at(-1)?.keyId as string };
      items.push(difference);
    }
    return { items };
  }

  async *lines(span: Span, reach: Reach): AsyncGenerator<string> {
    for await (const difference of this.all(span, reach)) yield `${JSON.stringify(difference)}\n`;
  }

  private async *all(span: Span, reach: Reach, after = ''): AsyncGenerator<KeyDifference> {
    const { from, to, keyspaceId, signal } = span;
    for await (const keyId of this.history.keysTouched(from, to, { after, ...(signal && { signal }) })) {
      const events = await this.eventsUntil(keyId, to, signal);
      const after = keyAt(events, { recordedUntil: to });
      if (!after || !(reach === 'all' || reach.includes(after.state.keyspaceId))) continue;
      if (keyspaceId !== undefined && after.state.keyspaceId !== keyspaceId) continue;
      const before = keyAt(events, { recordedUntil: from });
      const between = events.filter(({ recordedAt }) => recordedAt > from);
      const views = { before: before ? viewOf(before, from) : null, after: viewOf(after, to) };
      const rows = (await this.past.rowsOf(between.slice(0, EVENTS_SHOWN))) as unknown as AuditEventView[];
      const changed = changedIn(views);
      yield { keyId, ...(await this.past.shown(views)), changed, events: rows, eventCount: between.length };
    }
  }

  private async eventsUntil(keyId: string, to: Instant, signal: AbortSignal | undefined): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    const options = { direction: 'forwards' as const, ...(signal && { signal }) };
    for await (const batch of this.store.readStream(streams.key(keyId), options)) {
      for (const recorded of batch) {
        if (recorded.recordedAt > to) return events;
        events.push(recorded);
      }
    }
    return events;
  }
}

function changedIn({ before, after }: { before: KeyView | null; after: KeyView }): string[] {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after)]) as Set<keyof KeyView>;
  names.delete('revision');
  return [...names].filter((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after[name]));
}
