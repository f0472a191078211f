import { streams, type ChannelEvent, type NotificationKind, type RecordedEvent } from '@keyledger/contracts';
import {
  evolveKey,
  fold,
  keyDecider,
  keyOfNews,
  NEWS_STREAM_PREFIXES,
  newsOf,
  notificationDecider,
  WARNINGS,
  type KeyState,
  type NewsContext,
  type NewsItem,
} from '@keyledger/domain';
import type { Decisions, EventBatch, EventStore } from '@keyledger/event-store';
import { idFrom, systemClock } from '@keyledger/platform';
import type { ChannelDirectory, KnownChannel } from '@keyledger/read-model';
import type { Reactor } from '../reactor.js';

/** News for one channel that belongs into one message. */
interface Group {
  channelId: string;
  kind: NotificationKind;
  /** What tells it from other groups of the channel and kind; with them it gives the ids of its notifications. */
  name: string;
  digest: boolean;
  cause: RecordedEvent;
  items: Omit<NewsItem, 'notificationId'>[];
}

const CHANNELS_WITHIN_MS = 5000;
const LOADS_AT_ONCE = 16;
/** How far before the newest notification a notifier without a checkpoint begins: what it had in hand lies within. */
const OVERLAP_MS = 600_000;

/**
 * Asks for a notification wherever an event is news for a channel. The id of a notification follows from what it is
 * about, and its stream says which events it tells of; so news that comes again is asked for once. Where an action
 * caused many events they become one message, and a warning about a key is given to a channel once a day.
 */
export class Notifier implements Reactor {
  readonly name = 'notifier';
  /** Channels too: one is known here before anything that happened after it was registered. */
  readonly streamPrefixes = [...NEWS_STREAM_PREFIXES, 'channel-'];

  constructor(
    private readonly store: Pick<EventStore, 'load' | 'subscribe' | 'head'>,
    private readonly decisions: Decisions,
    private readonly channels: ChannelDirectory,
  ) {}

  async react({ events }: EventBatch): Promise<void> {
    await this.knowChannels();
    // Nobody to be told, and nobody who comes with these events: nearly all there is to do where there is no channel.
    const isForChannels = (recorded: RecordedEvent): boolean => recorded.stream.startsWith('channel-');
    if (this.channels.list().length === 0 && !events.some(isForChannels)) return;
    const groups = new Map<string, Group>();
    const keys = new Map<string, Promise<readonly RecordedEvent[]>>();
    for (const part of chunks(events, LOADS_AT_ONCE)) {
      const found = await Promise.all(part.map((event) => this.groupsOf(event, keys)));
      for (const group of found.flat()) {
        const known = groups.get(group.name);
        if (known) known.items.push(...group.items);
        else groups.set(group.name, group);
      }
    }
    for (const part of chunks([...groups.values()], LOADS_AT_ONCE)) {
      await Promise.all(part.map((group) => this.request(group)));
    }
  }

  /**
   * Behind the newest event that somebody was told of, as the notifications say, with some overlap; nothing before the
   * first channel can be news for one.
   */
  async recover(): Promise<bigint> {
    await this.knowChannels();
    const since = this.channels.list().map((channel) => channel.since);
    if (since.length === 0) return this.store.head();
    const first = since.reduce((least, one) => (one < least ? one : least));
    const handled: { position: bigint; at: number }[] = [];
    const end = new AbortController();
    const batches = this.store.subscribe({
      after: 'start',
      streamPrefixes: ['notification-'],
      signal: AbortSignal.any([end.signal, AbortSignal.timeout(RECOVER_WITHIN_MS)]),
    });
    let live = false;
    for await (const batch of batches) {
      for (const { event } of batch.events) {
        if (event.type !== 'NotificationRequested') continue;
        handled.push({ position: BigInt(event.data.eventPosition), at: Date.parse(event.data.requestedAt) });
      }
      live = batch.live;
      if (live) break;
    }
    end.abort();
    if (!live) throw new Error('the notifications could not be read to their end');
    const newest = handled.reduce((latest, { at }) => Math.max(latest, at), 0);
    const settled = handled.filter(({ at }) => at <= newest - OVERLAP_MS);
    return settled.reduce((most, { position }) => (position > most ? position : most), first);
  }

  private async knowChannels(): Promise<void> {
    if (!(await this.channels.at(0n, CHANNELS_WITHIN_MS))) throw new Error('the channels are not known yet');
  }

  private async groupsOf(
    recorded: RecordedEvent,
    keys: Map<string, Promise<readonly RecordedEvent[]>>,
  ): Promise<Group[]> {
    if (recorded.stream.startsWith('channel-')) {
      this.channels.note(recorded as RecordedEvent<ChannelEvent>);
      return [];
    }
    const listening = this.channels.list().filter(({ since }) => since < recorded.position);
    if (listening.length === 0) return [];
    const news = newsOf(recorded, await this.contextOf(recorded, keys));
    if (!news) return [];
    const told = this.channels.matching(news, news.kind).filter(({ since }) => since < recorded.position);
    const { happenedAt: _, ...said } = news;
    return told.map((known) => {
      const { channelId } = known.channel;
      const item = {
        channelId,
        ...said,
        eventId: recorded.id,
        eventPosition: String(recorded.position),
        happenedAt: news.happenedAt,
        requestedAt: systemClock(),
      };
      return { ...groupFor(known, news.kind, recorded, said.keys[0]?.keyId), cause: recorded, items: [item] };
    });
  }

  /** The key as it was right after its event; beside events of other streams, as it is. */
  private async contextOf(
    recorded: RecordedEvent,
    keys: Map<string, Promise<readonly RecordedEvent[]>>,
  ): Promise<NewsContext> {
    const keyId = keyOfNews(recorded);
    const leak = recorded.stream.startsWith('leak-') ? await this.store.load(recorded.stream) : undefined;
    const before = leak?.events.filter(({ revision }) => revision <= recorded.revision);
    const context = before ? { leak: before.map(({ event }) => event) as NonNullable<NewsContext['leak']> } : {};
    if (keyId === undefined) return context;
    const stream = streams.key(keyId);
    const loading = keys.get(stream) ?? this.store.load(stream).then(({ events }) => events);
    keys.set(stream, loading);
    const all = await loading;
    const upTo = recorded.stream === stream ? recorded.revision : Infinity;
    const until = all.filter(({ revision }) => revision <= upTo);
    const key = fold<KeyState | undefined, Parameters<typeof evolveKey>[1]>(
      evolveKey,
      keyDecider.initialState,
      until.map(({ event }) => event as Parameters<typeof evolveKey>[1]),
    );
    return key ? { ...context, key } : context;
  }

  /** Into the first notification of the group that takes it: earlier ones have been sent, or are full. */
  private async request({ kind, name, digest, cause, items }: Group): Promise<void> {
    let rest = items;
    for (let turn = 0; rest.length > 0; turn++) {
      const notificationId = idFrom(`notification ${name} ${turn}`);
      const asked = rest.map((item) => ({ notificationId, ...item }));
      const outcome = await this.decisions.run(
        notificationDecider,
        streams.notification(notificationId),
        { type: 'RequestNotification', items: asked, digest, now: systemClock() },
        {
          commandId: idFrom(`${notificationId} ${rest.map(({ eventId }) => eventId).join(' ')}`),
          now: systemClock(),
          actor: { type: 'system', id: 'worker' },
          reason: kind,
          requestId: cause.metadata.requestId,
          correlationId: cause.metadata.$correlationId,
          causationId: cause.id,
        },
      );
      if (outcome.accepted) return;
      const told = new Set(outcome.state?.items.map(({ eventId }) => eventId));
      rest = rest.filter(({ eventId }) => !told.has(eventId));
    }
  }
}

const RECOVER_WITHIN_MS = 120_000;

/**
 * A warning stands alone, by its key and day. Other news joins what the same action caused; what time caused has no
 * action, and joins what fell due in the same minute.
 */
function groupFor(
  { channel }: KnownChannel,
  kind: NotificationKind,
  { metadata, recordedAt }: RecordedEvent,
  keyId = '',
): Omit<Group, 'cause' | 'items'> {
  const { channelId } = channel;
  const digest = !WARNINGS.has(kind);
  const action = metadata.actor.type === 'clock' ? recordedAt.slice(0, 16) : metadata.$correlationId;
  const part = digest ? action : `${keyId} ${recordedAt.slice(0, 10)}`;
  return { channelId, kind, name: JSON.stringify([channelId, kind, part]), digest };
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));
}
