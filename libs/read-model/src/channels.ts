import {
  SYSTEM_KEYSPACE,
  type ChannelAudience,
  type ChannelEvent,
  type NotificationKind,
  type RecordedEvent,
} from '@keyledger/contracts';
import { channelDecider, getsTrail, type ChannelState } from '@keyledger/domain';
import type { EventStore } from '@keyledger/event-store';
import type { Log } from './log.js';

/** A channel as its events make it, and since when it is one. */
export interface KnownChannel {
  channel: ChannelState;
  revision: number;
  /** Where in the log it was registered, or enabled again: what stands before is none of its business. */
  since: bigint;
  /** Where it was registered. */
  registeredAt: bigint;
}

/** Whom an event concerns. What belongs to no keyspace or owner concerns the whole system only. */
export interface Concerned {
  keyspaceId?: string;
  ownerId?: string;
}

interface Waiting {
  position: bigint;
  resolve: () => void;
}

/**
 * Every channel there is, folded in memory: they are few, and each process that needs them follows their streams from
 * the start. Nothing of it is in Redis.
 */
export class ChannelDirectory {
  private readonly known = new Map<string, KnownChannel>();
  private readonly waiting = new Set<Waiting>();
  private reached = 0n;
  private live = false;

  constructor(
    private readonly store: Pick<EventStore, 'subscribe'>,
    private readonly log: Log,
  ) {}

  /** Follows the channels until the signal aborts, or an event of them cannot be read: then nothing new is learnt. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.follow(signal);
    } catch (error) {
      this.log.error({ err: error }, 'the channels cannot be followed any more');
    }
  }

  /** Whether it has once known every channel that there was. */
  get caughtUp(): boolean {
    return this.live;
  }

  /**
   * Resolves to true once it has caught up and has come to a position of the log at which a channel changed (0: none in
   * particular); to false when that took longer than it may.
   */
  async at(position: bigint, withinMs = 5000): Promise<boolean> {
    if (this.live && this.reached >= position) return true;
    return new Promise((resolve) => {
      const waiting = { position, resolve: () => settle(true) };
      const timer = setTimeout(() => settle(false), withinMs);
      const settle = (done: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(waiting);
        resolve(done);
      };
      this.waiting.add(waiting);
    });
  }

  /** Takes in an event that this process got in another way. One that is known already, or comes too early, changes nothing. */
  note({ event, revision, position }: RecordedEvent<ChannelEvent>): void {
    const { channelId } = event.data;
    const before = this.known.get(channelId);
    if (revision !== (before?.revision ?? -1) + 1) return;
    const channel = channelDecider.evolve(before?.channel, event);
    if (!channel) return;
    const begins = !before || (before.channel.disabled !== undefined && channel.disabled === undefined);
    const registeredAt = before?.registeredAt ?? position;
    this.known.set(channelId, { channel, revision, since: begins ? position : before.since, registeredAt });
  }

  /** A channel that was not removed. */
  byId(channelId: string): KnownChannel | undefined {
    const known = this.known.get(channelId);
    return known?.channel.removedAt === undefined ? known : undefined;
  }

  /** Every channel that there ever was. */
  ever(): KnownChannel[] {
    return [...this.known.values()];
  }

  /** Those that were not removed, in the order of their registration. */
  list(): KnownChannel[] {
    return [...this.known.values()].filter(({ channel }) => channel.removedAt === undefined);
  }

  /** Those that shall be told of news of a kind. */
  matching(concerned: Concerned, kind: NotificationKind): KnownChannel[] {
    return this.list().filter(({ channel }) => {
      const { type, disabled, audience, kinds } = channel;
      if (type === 'receiver' || disabled !== undefined || getsTrail(channel)) return false;
      return concerns(audience, concerned) && (kinds?.includes(kind) ?? true);
    });
  }

  /** Those that are to be sent the trail of their audience. */
  gettingTrail(): KnownChannel[] {
    return this.list().filter(({ channel }) => channel.disabled === undefined && getsTrail(channel));
  }

  /**
   * Where new secrets of an owner go: an enabled receiver. One for the owner in this keyspace comes before one for the
   * owner everywhere, which management keys do not go to; of several alike the newest is taken.
   */
  receiverFor(owner: { keyspaceId: string; ownerId: string }): KnownChannel | undefined {
    // Asked for every key with a deadline: no lists are made on the way.
    let anywhere: KnownChannel | undefined;
    let inKeyspace: KnownChannel | undefined;
    for (const known of this.known.values()) {
      const { type, disabled, removedAt, audience } = known.channel;
      if (type !== 'receiver' || disabled !== undefined || removedAt !== undefined || !concerns(audience, owner))
        continue;
      anywhere = known;
      if (isBound(audience)) inKeyspace = known;
    }
    return owner.keyspaceId === SYSTEM_KEYSPACE ? inKeyspace : (inKeyspace ?? anywhere);
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const onState = (state: 'connected' | 'disconnected', error?: Error): void => {
      if (state === 'disconnected') this.log.warn({ err: error }, 'the channels are not followed for now');
    };
    const batches = this.store.subscribe({ after: 'start', streamPrefixes: ['channel-'], signal, onState });
    for await (const { events, position, live } of batches) {
      for (const event of events) this.note(event as RecordedEvent<ChannelEvent>);
      this.live ||= live;
      if (position > this.reached) this.reached = position;
      this.wake();
    }
  }

  private wake(): void {
    if (!this.live) return;
    for (const { position, resolve } of this.waiting) if (this.reached >= position) resolve();
  }
}

const isBound = (audience: ChannelAudience): boolean => audience !== 'system' && 'keyspaceId' in audience;

/** Whether news about a keyspace and an owner is for an audience. */
export function concerns(audience: ChannelAudience, { keyspaceId, ownerId }: Concerned): boolean {
  if (audience === 'system') return true;
  if ('keyspaceId' in audience && audience.keyspaceId !== keyspaceId) return false;
  return audience.ownerId === undefined || audience.ownerId === ownerId;
}
