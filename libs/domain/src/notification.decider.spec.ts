import { describe, expect, it } from '@jest/globals';
import type { Instant, NotificationEvent } from '@keyledger/contracts';
import { at, given, START } from './decider.spec-support.js';
import {
  DIGEST_MAX_ITEMS,
  dueAtMs,
  notificationDecider,
  type NewsItem,
  type NotificationCommand,
  type NotificationState,
} from './notification.decider.js';

const item = (n: number, requestedAt: Instant = START): NewsItem => ({
  notificationId: 'n1',
  channelId: 'ch1',
  kind: 'key.revoked',
  keyspaceId: 'acme',
  ownerId: 'billing',
  keys: [{ keyId: `key${n}`, name: 'Payments', environment: 'live' }],
  details: { reason: 'leaked' },
  eventId: `event${n}`,
  eventPosition: String(n),
  happenedAt: START,
  requestedAt,
});
const requested = (n: number, requestedAt: Instant = START): NotificationEvent => ({
  type: 'NotificationRequested',
  data: item(n, requestedAt),
});
const delivered: NotificationEvent = {
  type: 'NotificationDelivered',
  data: { notificationId: 'n1', channelId: 'ch1', attempts: 1, answer: '204', deliveredAt: at(2) },
};
const failed: NotificationEvent = {
  type: 'NotificationFailed',
  data: { notificationId: 'n1', channelId: 'ch1', attempts: 10, problem: 'answered 500', failedAt: at(60) },
};
const request = (items: NewsItem[], now: Instant = START, digest = true): NotificationCommand => ({
  type: 'RequestNotification',
  items,
  digest,
  now,
});

describe('asking for a notification', () => {
  it('records each piece of news once, however often it comes', () => {
    given(notificationDecider)
      .when(request([item(1), item(2)]))
      .thenAppends(requested(1), requested(2));
    given(notificationDecider, requested(1))
      .when(request([item(1), item(2)]))
      .thenAppends(requested(2));
    given(notificationDecider, requested(1), delivered)
      .when(request([item(1)], at(9)))
      .thenAppends();
  });

  it('joins news that waits, until it is quiet for a second', () => {
    given(notificationDecider, requested(1))
      .when(request([item(2)], at(0.9)))
      .thenAppends(requested(2));
    given(notificationDecider, requested(1))
      .when(request([item(2)], at(1)))
      .thenRefuses('CONFLICT');
  });

  it('sends others that keep coming into another message after ten seconds', () => {
    const stream = Array.from({ length: 19 }, (_, n) => requested(n, at(n / 2)));
    given(notificationDecider, ...stream)
      .when(request([item(99)], at(9.9)))
      .thenAppends(requested(99));
    const longer = [...stream, requested(50, at(9.5))];
    given(notificationDecider, ...longer)
      .when(request([item(99)], at(10)))
      .thenRefuses('CONFLICT');
  });

  it('takes no more than a message holds, and none once it was sent or failed', () => {
    const full = Array.from({ length: DIGEST_MAX_ITEMS }, (_, n) => requested(n));
    given(notificationDecider, ...full)
      .when(request([item(5000)]))
      .thenRefuses('CONFLICT');
    given(notificationDecider, requested(1), delivered)
      .when(request([item(2)]))
      .thenRefuses('CONFLICT');
    given(notificationDecider, requested(1), failed)
      .when(request([item(2)]))
      .thenRefuses('CONFLICT');
  });

  it('asks for a warning once: what comes later the same day is dropped', () => {
    given(notificationDecider)
      .when(request([item(1), item(2)], START, false))
      .thenAppends(requested(1));
    given(notificationDecider, requested(1))
      .when(request([item(2)], at(0.5), false))
      .thenAppends();
    given(notificationDecider, requested(1), failed)
      .when(request([item(2)], at(99), false))
      .thenAppends();
  });
});

describe('the outcome of a notification', () => {
  const deliver: NotificationCommand = { type: 'RecordDelivery', attempts: 1, answer: '204', now: at(2) };
  const fail: NotificationCommand = { type: 'RecordFailure', attempts: 10, problem: 'answered 500', now: at(60) };

  it('is recorded once', () => {
    given(notificationDecider, requested(1)).when(deliver).thenAppends(delivered);
    given(notificationDecider, requested(1)).when(fail).thenAppends(failed);
    given(notificationDecider, requested(1), delivered).when(fail).thenAppends();
    given(notificationDecider, requested(1), failed).when(deliver).thenAppends();
    given(notificationDecider).when(deliver).thenRefuses('NOT_FOUND');
  });

  it('of a dead letter is undone by a replay, which brings back all its news; what was delivered stays', () => {
    const replay: NotificationCommand = { type: 'ReplayNotification', now: at(99) };
    given(notificationDecider, requested(1), requested(2), failed)
      .when(replay)
      .thenAppends(requested(1, at(99)));
    given(notificationDecider, requested(1), delivered).when(replay).thenRefuses('CONFLICT');
    given(notificationDecider, requested(1)).when(replay).thenAppends();
    const again = given(notificationDecider, requested(1), requested(2), failed, requested(1, at(99))).state;
    expect(again).toMatchObject({ state: 'pending', items: [item(1), item(2)], touchedAt: at(99) });
    expect(again).not.toHaveProperty('outcome');
  });
});

it('a notification is due when it has been quiet for a second, or after ten seconds; a test at once', () => {
  const due = (...events: NotificationEvent[]) =>
    (dueAtMs(given(notificationDecider, ...events).state as NotificationState) - Date.parse(START)) / 1000;
  expect(due(requested(1))).toBe(1);
  expect(due(requested(1), requested(2, at(0.5)))).toBe(1.5);
  expect(due(requested(1), requested(2, at(9.8)))).toBe(10);
  const test = { ...item(1), kind: 'channel.test' as const };
  expect(due({ type: 'NotificationRequested', data: test })).toBe(0);
});
