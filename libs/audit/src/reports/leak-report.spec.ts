import { describe, expect, it } from '@jest/globals';
import { day, link, Story } from './reports.spec-support.js';

describe('leaks', () => {
  const match = { keyId: 'k1', secretId: 'k1s1', keyspaceId: 'acme', environment: 'live', kind: 'secret' } as const;
  const story = new Story()
    .keyspace(0, 'acme')
    .issue(0, 'k1')
    .add(2, { type: 'LeakReported', data: { leakId: 'l1', source: 'github', tokenHash: 'h', reportedAt: day(2) } })
    .add(2, {
      type: 'LeakMatched',
      data: {
        leakId: 'l1',
        ...match,
        owner: { id: 'billing', type: 'service' },
        response: 'revoke',
        matchedAt: day(2),
      },
    })
    .add(
      2,
      {
        type: 'KeyLeakReported',
        data: { keyId: 'k1', secretId: 'k1s1', leakId: 'l1', source: 'github', action: 'revoked', reportedAt: day(2) },
      },
      { lagSeconds: 3 },
    )
    .revoke(2, 'k1', 3)
    .add(2, {
      type: 'LeakActionTaken',
      data: { leakId: 'l1', keyId: 'k1', action: 'revoked', keyRevision: 2, takenAt: '2026-01-03T00:00:09.000Z' },
    })
    .add(3, { type: 'LeakReported', data: { leakId: 'l2', source: 'found', tokenHash: 'g', reportedAt: day(3) } })
    .add(4, { type: 'LeakResolved', data: { leakId: 'l1', resolution: 'handled', resolvedAt: day(4) } });
  const l1 = {
    leakId: 'l1',
    source: 'github',
    keyId: 'k1',
    keyspaceId: 'acme',
    ownerId: 'billing',
    secretId: 'k1s1',
    detectedAt: day(2),
    matchedAt: day(2),
    response: 'revoke',
    action: 'revoked',
    actionAt: '2026-01-03T00:00:03.000Z',
    secondsToAction: 3,
    events: link('keyId=k1&fromPosition=30'),
  };
  const resolved = { resolution: 'handled', resolvedAt: day(4), secondsToResolution: 172_800 };
  const l2 = {
    leakId: 'l2',
    source: 'found',
    status: 'unmatched',
    detectedAt: day(3),
    events: link('fromPosition=80&toPosition=80'),
  };

  it('tell when they were reported, acted upon and closed', async () => {
    expect(await story.report('leaks', { at: day(5) })).toEqual([{ ...l1, status: 'resolved', ...resolved }, l2]);
    expect(await story.report('leaks', { at: day(3.5) })).toEqual([{ ...l1, status: 'open' }, l2]);
  });

  it('without a match belong to no keyspace, and are shown to readers of all only', async () => {
    const rows = await story.report('leaks', { at: day(5), within: ['acme'] });
    expect(rows).toEqual([{ ...l1, status: 'resolved', ...resolved }]);
  });
});
