import type { Instant } from '../time.js';
import type { ChannelFormat, ChannelType, NotificationKind } from '../words.js';
import type { Change } from './key.events.js';

/** Whose news a channel gets: of one keyspace, of one owner's keys, or of everything. */
export type ChannelAudience = { keyspaceId: string; ownerId?: string } | { ownerId: string } | 'system';

/** A text encrypted under a key of the deployment (`KEYLEDGER_SEALING_KEYS`): `<key id>.<base64url>`. */
export type Sealed = string;

/** A signing secret of a webhook. After a rotation the old one signs beside the new until `endsAt`. */
export interface ChannelSecret {
  secretId: string;
  sealed: Sealed;
  createdAt: Instant;
  endsAt?: Instant;
}

/** Where and how a channel is reached, by its type. */
export interface ChannelTarget {
  /** Of a webhook, and of a receiver that is told by webhook. */
  url?: string;
  /** Of a Slack-compatible webhook, whose address is its credential. */
  sealedUrl?: Sealed;
  /** Of an e-mail channel. */
  addresses?: string[];
  /** Of a receiver: its public key (JWK, RFC 7517) for ECDH-ES. */
  publicKey?: Record<string, string>;
  /** Of a receiver: how it gets a new secret. */
  via?: 'webhook' | 'pickup';
  /** Of a webhook that gets no news but the trail of its audience. */
  format?: ChannelFormat;
}

export interface ChannelTerms {
  channelId: string;
  name: string;
  type: ChannelType;
  audience: ChannelAudience;
  target: ChannelTarget;
  /** What it is told; absent: everything. */
  kinds?: NotificationKind[];
  /** Of webhooks; the newest first. */
  secrets: ChannelSecret[];
  createdAt: Instant;
}

export interface ChannelRegistered {
  type: 'ChannelRegistered';
  data: ChannelTerms;
}

export interface ChannelChanged {
  type: 'ChannelChanged';
  data: {
    channelId: string;
    changes: {
      name?: Change<string>;
      target?: Change<ChannelTarget>;
      kinds?: Change<NotificationKind[]>;
      secrets?: Change<ChannelSecret[]>;
      /** Why nothing is sent there any more, e.g. that it answered 410. */
      disabled?: Change<string>;
    };
    changedAt: Instant;
  };
}

export interface ChannelRemoved {
  type: 'ChannelRemoved';
  data: { channelId: string; removedAt: Instant };
}

export type ChannelEvent = ChannelRegistered | ChannelChanged | ChannelRemoved;

/** A key as a notification names it: ids and masks, never a secret or a hash. */
export interface NotifiedKey {
  keyId: string;
  name: string;
  environment: string;
  /** Of the secret that the news is about. */
  secretId?: string;
  mask?: string;
}

/** A channel shall be told something. Several in one stream, before it was sent, are one message. */
export interface NotificationRequested {
  type: 'NotificationRequested';
  data: {
    notificationId: string;
    channelId: string;
    kind: NotificationKind;
    keyspaceId?: string;
    ownerId?: string;
    keys: NotifiedKey[];
    /** What else there is to say, as it goes out. */
    details: Record<string, unknown>;
    /** The event that is told of. */
    eventId: string;
    /** Position of that event in the log. */
    eventPosition: string;
    happenedAt: Instant;
    requestedAt: Instant;
  };
}

export interface NotificationDelivered {
  type: 'NotificationDelivered';
  data: { notificationId: string; channelId: string; attempts: number; answer: string; deliveredAt: Instant };
}

/** It could not be delivered and is not tried again, unless somebody replays it. */
export interface NotificationFailed {
  type: 'NotificationFailed';
  data: { notificationId: string; channelId: string; attempts: number; problem: string; failedAt: Instant };
}

export type NotificationEvent = NotificationRequested | NotificationDelivered | NotificationFailed;
