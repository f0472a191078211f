import { ApiProperty } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import { NOTIFICATION_KINDS, type NotificationKind } from '../words.js';
import { LIMITS, Line, Optional } from './fields.js';
import { PageQuery } from './page.dto.js';

const STATES = ['pending', 'delivered', 'failed'] as const;
type NotificationStateName = (typeof STATES)[number];

export class ListNotificationsQuery extends PageQuery {
  /** `failed` are the dead letters: nobody tries them again unless they are replayed. */
  @ApiProperty({ required: false, enum: STATES, default: 'failed' })
  @Optional()
  @IsIn(STATES, {
    message: 'is none of the values that are possible here',
    context: { fix: `one of ${STATES.join(', ')}` },
  })
  state?: NotificationStateName;

  @Optional()
  @Line(LIMITS.name)
  channelId?: string;
}

export class NotificationTriesView {
  attempts: number;
  /** What went wrong the last time. */
  problem: string;
  nextAttemptAt: string;
}

export class NotificationSummary {
  /** The `webhook-id` of the message, the same at every try. */
  notificationId: string;
  channelId: string;
  @ApiProperty({ enum: NOTIFICATION_KINDS })
  kind: NotificationKind;
  @ApiProperty({ enum: STATES })
  state: NotificationStateName;
  keyspaceId?: string;
  ownerId?: string;
  /** How many pieces of news are in it. */
  count: number;
  /** The first ten of the keys that it is about. */
  keyIds: string[];
  requestedAt: string;
  attempts?: number;
  /** What the receiver answered, or why it did not get it. */
  outcome?: string;
  endedAt?: string;
  /** Of a pending one that failed before; lost with Redis. */
  tries?: NotificationTriesView;
}

export class NotificationList {
  items: NotificationSummary[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}

export class TestedChannel {
  /** Its outcome is at `GET /v1/notifications/{notificationId}`. */
  notificationId: string;
}
