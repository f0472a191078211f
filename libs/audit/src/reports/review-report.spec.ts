import { describe, expect, it } from '@jest/globals';
import type { ReviewEvent } from '@keyledger/contracts';
import { day, keyOf, link, Story } from './reports.spec-support.js';

describe('access reviews', () => {
  const key = (keyId: string) => ({
    keyId,
    keyspaceId: 'acme',
    name: `Key ${keyId}`,
    owner: { id: 'billing', type: 'service' as const },
  });
  const events: ReviewEvent[] = [
    {
      type: 'AccessReviewStarted',
      data: { reviewId: 'rev1', name: 'Q1', filter: {}, dueAt: day(8), startedAt: day(1) },
    },
    { type: 'AccessReviewScoped', data: { reviewId: 'rev1', keys: [key('k1'), key('k2')], complete: true } },
    {
      type: 'AccessAttested',
      data: {
        reviewId: 'rev1',
        keyId: 'k1',
        decision: 'revoke',
        attestedBy: 'boss',
        attestedAs: 'reviewer',
        attestedAt: day(2),
      },
    },
  ];
  const story = new Story().keyspace(0, 'acme').issue(0, 'k1').issue(0, 'k2').revoke(2, 'k1');
  events.forEach((event, index) => story.add([1, 1, 2][index] ?? 0, event));
  // In the order of the log, not of the story.
  story.log.sort((one, other) => (one.recordedAt < other.recordedAt ? -1 : 1));

  it('show who attested what and when, what is outstanding or overdue, and what became of the key', async () => {
    const review = { reviewId: 'rev1', reviewName: 'Q1', reviewStatus: 'open', startedAt: day(1), dueAt: day(8) };
    const { environment: _, ...k1 } = keyOf('k1');
    const { environment: __, ...k2 } = keyOf('k2');
    const range = 'fromPosition=50&toPosition=70';
    expect(await story.report('access-review', { at: day(9) })).toEqual([
      {
        ...review,
        ...k1,
        decision: 'revoke',
        overdue: false,
        attestedBy: 'boss',
        attestedAs: 'reviewer',
        attestedAt: day(2),
        keyState: 'revoked',
        events: link(`keyId=k1&${range}`),
      },
      {
        ...review,
        ...k2,
        decision: 'outstanding',
        overdue: true,
        keyState: 'active',
        events: link(`keyId=k2&${range}`),
      },
    ]);
    const early = await story.report('access-review', { at: day(1) });
    expect(early.map(({ decision, overdue, keyState }) => [decision, overdue, keyState])).toEqual([
      ['outstanding', false, 'active'],
      ['outstanding', false, 'active'],
    ]);
    expect(await story.report('access-review', { at: day(9), from: day(2) })).toEqual([]);
  });
});
