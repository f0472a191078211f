import {
  refusal,
  type Instant,
  type NotificationEvent,
  type NotificationKind,
  type NotificationRequested,
} from '@keyledger/contracts';
import { accept, refuse, type Decider, type Decision } from './decider.js';

/** One piece of news: what stands in the event that asks for it. */
export type NewsItem = NotificationRequested['data'];

/** A message to one channel: one piece of news, or several that belong together. */
export interface NotificationState {
  notificationId: string;
  channelId: string;
  kind: NotificationKind;
  /** In the order in which they came. */
  items: NewsItem[];
  state: 'pending' | 'delivered' | 'failed';
  requestedAt: Instant;
  /** When the newest item, or a replay, came. */
  touchedAt: Instant;
  /** Tries of the last round. */
  attempts?: number;
  /** What the receiver said, or why it did not get it. */
  outcome?: string;
  endedAt?: Instant;
}

export type NotificationCommand =
  /** `digest`: joins news that waits to be sent; else a message is asked for once, and what comes later is dropped. */
  | { type: 'RequestNotification'; items: NewsItem[]; digest: boolean; now: Instant }
  | { type: 'ReplayNotification'; now: Instant }
  | { type: 'RecordDelivery'; attempts: number; answer: string; now: Instant }
  | { type: 'RecordFailure'; attempts: number; problem: string; now: Instant };

/** How long a message waits for more news of its kind, and how long at most. */
const DIGEST_QUIET_MS = 1000;
const DIGEST_LONGEST_MS = 10_000;
/** No more are said in one message; the next begins another. */
export const DIGEST_MAX_ITEMS = 1000;

/** When a pending message may go out: when nothing more joins it. */
export function dueAtMs({ kind, items, requestedAt, touchedAt }: NotificationState): number {
  if (kind === 'channel.test' || items.length === 0) return Date.parse(requestedAt);
  return Math.min(Date.parse(touchedAt) + DIGEST_QUIET_MS, Date.parse(requestedAt) + DIGEST_LONGEST_MS);
}

export const notificationDecider: Decider<NotificationCommand, NotificationState | undefined, NotificationEvent> = {
  initialState: undefined,
  decide,
  evolve,
};

function decide(command: NotificationCommand, state: NotificationState | undefined): Decision<NotificationEvent> {
  if (command.type === 'RequestNotification') return request(command, state);
  if (!state) return refuse(refusal('NOT_FOUND', 'There is no such notification.'));
  const { notificationId, channelId } = state;
  const { now } = command;
  if (command.type === 'ReplayNotification') return replay(state, now);
  if (state.state !== 'pending') return accept();
  if (command.type === 'RecordDelivery') {
    const { attempts, answer } = command;
    return accept({
      type: 'NotificationDelivered',
      data: { notificationId, channelId, attempts, answer, deliveredAt: now },
    });
  }
  const { attempts, problem } = command;
  return accept({ type: 'NotificationFailed', data: { notificationId, channelId, attempts, problem, failedAt: now } });
}

/** CONFLICT: the message is on its way or full; the news belongs into another. */
function request(
  { items, digest, now }: Extract<NotificationCommand, { type: 'RequestNotification' }>,
  state: NotificationState | undefined,
): Decision<NotificationEvent> {
  const told = new Set(state?.items.map(({ eventId }) => eventId));
  const fresh = items.filter(({ eventId }) => !told.has(eventId));
  if (fresh.length === 0 || (state && !digest)) return accept();
  if (state && !isOpen(state, fresh.length, now)) return refuse(refusal('CONFLICT', 'The message takes no more news.'));
  return accept(
    ...(digest ? fresh : fresh.slice(0, 1)).map((data) => ({ type: 'NotificationRequested' as const, data })),
  );
}

function isOpen({ state, items, requestedAt, touchedAt }: NotificationState, more: number, now: Instant): boolean {
  const closesAt = Math.min(Date.parse(touchedAt) + DIGEST_QUIET_MS, Date.parse(requestedAt) + DIGEST_LONGEST_MS);
  return state === 'pending' && Date.parse(now) < closesAt && items.length + more <= DIGEST_MAX_ITEMS;
}

/** Asks for the first of its items once more, which brings back all. */
function replay({ state, items }: NotificationState, now: Instant): Decision<NotificationEvent> {
  if (state === 'delivered')
    return refuse(refusal('CONFLICT', 'The notification was delivered; there is nothing to replay.'));
  const [first] = items;
  if (state === 'pending' || !first) return accept();
  return accept({ type: 'NotificationRequested', data: { ...first, requestedAt: now } });
}

function evolve(state: NotificationState | undefined, event: NotificationEvent): NotificationState {
  if (event.type === 'NotificationRequested') return requested(state, event.data);
  if (!state) throw new RangeError(`${event.type} stands before the notification was requested`);
  const { attempts } = event.data;
  if (event.type === 'NotificationDelivered') {
    const { answer, deliveredAt } = event.data;
    return { ...state, state: 'delivered', attempts, outcome: answer, endedAt: deliveredAt };
  }
  const { problem, failedAt } = event.data;
  return { ...state, state: 'failed', attempts, outcome: problem, endedAt: failedAt };
}

function requested(state: NotificationState | undefined, data: NewsItem): NotificationState {
  const { notificationId, channelId, kind, requestedAt } = data;
  if (!state) {
    return { notificationId, channelId, kind, items: [data], state: 'pending', requestedAt, touchedAt: requestedAt };
  }
  const { attempts: _, outcome: __, endedAt: ___, ...rest } = state;
  const known = state.items.some(({ eventId }) => eventId === data.eventId);
  const items = known ? state.items : [...state.items, data];
  return { ...rest, state: 'pending', items, touchedAt: requestedAt };
}
