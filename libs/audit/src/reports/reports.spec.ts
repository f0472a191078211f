import { afterAll, describe, expect, it } from '@jest/globals';
import type { Instant, ReviewEvent } from '@keyledger/contracts';
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { History } from '../history.js';
import { readerOf } from '../log.spec-support.js';
import type { KeyAt } from '../replay.js';
import { ADMIN, CLOCK, day, keyOf, link, Story } from './reports.spec-support.js';

describe('the inventory', () => {
  const story = new Story()
    .keyspace(0, 'acme')
    .keyspace(0, 'zeta')
    .issue(1, 'k1')
    .issue(2, 'k2', { keyspaceId: 'zeta', decoy: true })
    .rotate(11, 'k1', 1)
    .used(12, 'k1', 'k1s1', 7)
    .used(13, 'k1', 'k1s2', 5)
    .revoke(20, 'k1');
  const k2 = {
    ...keyOf('k2', 'zeta'),
    kind: 'secret',
    decoy: true,
    scopes: ['payments:read'],
    state: 'active',
    createdAt: day(2),
    secretCreatedAt: day(2),
    uses: 0,
    expiresAt: day(92),
    events: link('keyId=k2&toPosition=40'),
  };

  it('holds every key with owner, ages, use and end, as of the instant', async () => {
    const k1 = {
      ...keyOf('k1'),
      kind: 'secret',
      scopes: ['payments:read'],
      state: 'active',
      createdAt: day(1),
      ageDays: 14,
      secretCreatedAt: day(11),
      secretAgeDays: 4,
      lastUsedAt: day(13),
      uses: 12,
      expiresAt: day(91),
      events: link('keyId=k1&toPosition=50'),
    };
    expect(await story.report('inventory', { at: day(15) })).toEqual([k1, { ...k2, ageDays: 13, secretAgeDays: 13 }]);
  });

  it('knows nothing of what was recorded later, and judges time at its instant', async () => {
    const states = async (at: string): Promise<unknown[]> =>
      (await story.report('inventory', { at })).map(({ keyId, state, uses }) => [keyId, state, uses]);
    expect(await states(day(0))).toEqual([]);
    expect(await states(day(1))).toEqual([['k1', 'active', 0]]);
    expect(await states(day(12))).toEqual([
      ['k1', 'active', 7],
      ['k2', 'active', 0],
    ]);
    expect(await states(day(100))).toEqual([
      ['k1', 'revoked', 12],
      ['k2', 'expired', 0],
    ]);
  });

  it('shows the keyspaces in reach only', async () => {
    const rows = await story.report('inventory', { at: day(15), within: ['zeta'] });
    expect(rows).toEqual([{ ...k2, ageDays: 13, secretAgeDays: 13 }]);
  });
});

describe('keys older than their policy allowed', () => {
  it('are those that the policy in force finds too old, or that will be before they end', async () => {
    const story = new Story()
      .keyspace(0, 'acme', { maxLifetime: 'P90D', nonExpiring: true })
      .issue(0, 'old')
      .issue(25, 'outlives')
      .issue(25, 'short', { expiresAt: day(50) })
      .issue(1, 'forever', { expiresAt: undefined as never })
      .issue(2, 'gone')
      .revoke(3, 'gone')
      .policy(30, 'acme', { maxLifetime: 'P30D', nonExpiring: true });
    expect(await story.report('older-than-policy', { at: day(29) })).toEqual([]);
    expect(await story.report('older-than-policy', { at: day(41) })).toEqual([
      {
        ...keyOf('old'),
        state: 'active',
        finding: 'over',
        createdAt: day(0),
        expiresAt: day(90),
        maxLifetime: 'P30D',
        maxLifetimeAtIssue: 'P90D',
        allowedUntil: day(30),
        overDays: 11,
        events: link('keyId=old&toPosition=20'),
      },
      {
        ...keyOf('outlives'),
        state: 'active',
        finding: 'outlives',
        createdAt: day(25),
        expiresAt: day(115),
        maxLifetime: 'P30D',
        maxLifetimeAtIssue: 'P90D',
        allowedUntil: day(55),
        events: link('keyId=outlives&toPosition=30'),
      },
    ]);
    story.policy(45, 'acme', { maxLifetime: 'P366D', nonExpiring: false });
    const later = await story.report('older-than-policy', { at: day(46) });
    expect(later.map(({ keyId, finding }) => [keyId, finding])).toEqual([['forever', 'outlives']]);
  });
});

describe('rotations', () => {
  const rule = { rotation: { every: 'P10D', grace: 'P1D', mode: 'automatic' } } as const;
  const story = new Story()
    .keyspace(0, 'acme', rule)
    .issue(0, 'k1')
    .issue(0, 'k2')
    .issue(0, 'k3', { rotation: 'none' })
    .rotate(10, 'k1', 1, CLOCK)
    .rotate(13, 'k2', 1)
    .rotate(14, 'k3', 1);
  const admin = { actorType: 'key', actorId: 'admin', onBehalfOf: 'jane', changeReason: 'because' };
  const line = (keyId: string, rotated: number, position: number) => ({
    ...keyOf(keyId),
    secretCreatedAt: day(0),
    rotatedAt: day(rotated),
    graceEndsAt: day(rotated + 1),
    secretId: `${keyId}s2`,
    previousSecretId: `${keyId}s1`,
    ...admin,
    events: link(`keyId=${keyId}&fromPosition=${position}&toPosition=${position}`),
  });
  const k1 = { ...line('k1', 10, 50), actorType: 'clock', actorId: 'worker', timing: 'on-time', dueAt: day(10) };
  const { onBehalfOf: _, ...onTime } = k1;
  const late = { ...line('k2', 13, 60), timing: 'late', dueAt: day(10), lateDays: 3 };
  const free = { ...line('k3', 14, 70), timing: 'unscheduled' };

  it('are on time, late or unscheduled by the rule that held', async () => {
    expect(await story.report('rotations', { at: day(15) })).toEqual([onTime, late, free]);
  });

  it('are those of the period, and what is overdue stands behind them', async () => {
    expect(await story.report('rotations', { at: day(21), from: day(13), to: day(14) })).toEqual([
      late,
      {
        ...keyOf('k1'),
        timing: 'overdue',
        secretCreatedAt: day(10),
        dueAt: day(20),
        lateDays: 1,
        events: link('keyId=k1&toPosition=50'),
      },
    ]);
  });
});

describe('revocations', () => {
  it('tell the time from the request to the record', async () => {
    const story = new Story().keyspace(0, 'acme').issue(0, 'k1').issue(0, 'k2').revoke(5, 'k1', 0.25).revoke(9, 'k2');
    expect(await story.report('revocations', { at: day(20), to: day(9) })).toEqual([
      {
        ...keyOf('k1'),
        reason: 'offboarding',
        requestedAt: day(5),
        revokedAt: day(5),
        recordedAt: '2026-01-06T00:00:00.250Z',
        secondsToEffect: 0.25,
        actorType: 'key',
        actorId: 'admin',
        onBehalfOf: 'jane',
        changeReason: 'because',
        events: link('keyId=k1&fromPosition=40&toPosition=40'),
      },
    ]);
    expect(await story.report('revocations', { at: day(20), within: ['zeta'] })).toEqual([]);
  });
});

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

describe('keys never used', () => {
  it('are usable ones without any recorded use', async () => {
    const story = new Story()
      .keyspace(0, 'acme')
      .issue(0, 'idle')
      .issue(0, 'busy')
      .issue(0, 'later', { notBefore: day(30) })
      .issue(0, 'bait', { decoy: true })
      .issue(0, 'gone')
      .revoke(1, 'gone')
      .used(4, 'busy', 'busys1', 1);
    const row = {
      ...keyOf('idle'),
      state: 'active',
      scopes: ['payments:read'],
      createdAt: day(0),
      unusedDays: 10,
      expiresAt: day(90),
      events: link('keyId=idle&toPosition=20'),
    };
    expect(await story.report('never-used', { at: day(10) })).toEqual([row]);
  });
});

describe('who holds which scope', () => {
  it('lists the keys that hold each, and none that is over', async () => {
    const story = new Story()
      .keyspace(0, 'acme')
      .issue(0, 'k1', { scopes: ['payments:read', 'payments:*'] })
      .issue(0, 'k2')
      .issue(0, 'k3')
      .revoke(1, 'k3')
      .add(1, { type: 'KeySuspended', data: { keyId: 'k2', reason: 'odd', suspendedAt: day(1) } });
    const line = (scope: string, keyId: string, state: string, position: number) => ({
      scope,
      ...keyOf(keyId),
      state,
      createdAt: day(0),
      expiresAt: day(90),
      events: link(`keyId=${keyId}&toPosition=${position}`),
    });
    expect(await story.report('scope-holders', { at: day(2) })).toEqual([
      line('payments:*', 'k1', 'active', 20),
      line('payments:read', 'k1', 'active', 20),
      line('payments:read', 'k2', 'suspended', 60),
    ]);
    expect(await story.report('scope-holders', { at: day(90) })).toMatchObject([{ keyId: 'k2', state: 'suspended' }]);
  });
});

describe('changes by actor', () => {
  it('count what each has done, by kind and keyspace', async () => {
    const story = new Story()
      .keyspace(0, 'acme')
      .keyspace(0, 'zeta')
      .issue(1, 'k1')
      .issue(2, 'k2')
      .issue(2, 'k3', { keyspaceId: 'zeta' })
      .rotate(3, 'k1', 1, CLOCK)
      .add(4, { type: 'LeakReported', data: { leakId: 'l1', source: 'found', tokenHash: 'h', reportedAt: day(4) } });
    const by = { actorType: 'key', actorId: 'admin', onBehalfOf: 'jane' };
    const where = (type: string, keyspaceId: string, range: string): string =>
      link(`actorId=admin&type=${type}&keyspaceId=${keyspaceId}&${range}`);
    const acme = [
      {
        ...by,
        type: 'KeyIssued',
        keyspaceId: 'acme',
        count: 2,
        firstAt: day(1),
        lastAt: day(2),
        events: where('KeyIssued', 'acme', 'fromPosition=30&toPosition=40'),
      },
      {
        actorType: 'clock',
        actorId: 'worker',
        type: 'KeyRotated',
        keyspaceId: 'acme',
        count: 1,
        firstAt: day(3),
        lastAt: day(3),
        events: link('actorId=worker&type=KeyRotated&keyspaceId=acme&fromPosition=60&toPosition=60'),
      },
    ];
    const period = { at: day(9), from: day(1) };
    expect(await story.report('changes-by-actor', { ...period, within: ['acme'] })).toEqual(acme);
    expect(await story.report('changes-by-actor', period)).toEqual([
      acme[0],
      {
        ...by,
        type: 'KeyIssued',
        keyspaceId: 'zeta',
        count: 1,
        firstAt: day(2),
        lastAt: day(2),
        events: where('KeyIssued', 'zeta', 'fromPosition=50&toPosition=50'),
      },
      acme[1],
      {
        ...by,
        type: 'LeakReported',
        count: 1,
        firstAt: day(4),
        lastAt: day(4),
        events: link('actorId=admin&type=LeakReported&fromPosition=70&toPosition=70'),
      },
    ]);
  });
});

describe('the policy in force', () => {
  it('is that of the instant, with since when and by whom', async () => {
    const story = new Story().keyspace(0, 'acme', { scopes: ['payments:read'] }).policy(5, 'acme', {
      rotation: { every: 'P30D', grace: 'P1D', mode: 'announce' },
      unused: { after: 'P60D', action: 'suspend' },
      leaks: [{ environment: 'live', response: 'revoke' }],
    });
    const policy = {
      keyspaceId: 'acme',
      name: 'The acme',
      environments: ['live', 'test'],
      defaultLifetime: 'P90D',
      maxLifetime: 'P366D',
      nonExpiring: false,
      defaultGrace: 'P1D',
      maxGrace: 'P30D',
      leaks: [],
      selfRotate: false,
      selfRevoke: false,
      expiryWarnings: ['P30D', 'P7D', 'P1D'],
      since: day(0),
      changedBy: ADMIN.id,
      events: link('keyspaceId=acme&toPosition=10'),
    };
    expect(await story.report('policies', { at: day(4) })).toEqual([{ ...policy, scopes: ['payments:read'] }]);
    expect(await story.report('policies', { at: day(5) })).toEqual([
      {
        ...policy,
        rotation: 'announce every P30D, grace P1D',
        unused: 'suspend after P60D',
        leaks: ['live/any=revoke'],
        since: day(5),
        events: link('keyspaceId=acme&toPosition=20'),
      },
    ]);
  });
});

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

describe('a report about all keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-reports-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const steps = fc.array(fc.record({ kind: fc.nat(5), key: fc.nat(9), space: fc.nat(1) }), { maxLength: 40 });
  const SPACES = ['acme', 'zeta'];

  function storyOf(given: readonly { kind: number; key: number; space: number }[]): Story {
    const story = SPACES.reduce((told, space) => told.keyspace(0, space), new Story());
    const secrets = new Map<string, number>();
    for (const [index, { kind, key, space }] of given.entries()) {
      const [now, keyId, keyspaceId = ''] = [index + 1, `k${key}`, SPACES[space]];
      const secret = secrets.get(keyId);
      if (kind === 0) story.policy(now, keyspaceId, { maxLifetime: `P${10 * key + 1}D` });
      else if (secret === undefined) {
        story.issue(now, keyId, { keyspaceId, scopes: [`a:${space}`, `b:${key % 3}`] });
        secrets.set(keyId, 1);
      } else if (secret > 0 && kind === 1) {
        story.revoke(now, keyId);
        secrets.set(keyId, 0);
      } else if (secret > 0 && kind === 2) {
        story.rotate(now, keyId, secret);
        secrets.set(keyId, secret + 1);
      } else story.used(now, keyId, `${keyId}s1`, index);
    }
    return story;
  }

  it('says the same from snapshots as from all events, at any instant', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 6 }), async (given, spacing) => {
        const story = storyOf(given);
        const options = { folder: mkdtempSync(join(folder, 'case-')), version: 'test', spacing };
        const history = new History(readerOf(story.log), options);
        await history.keepUp(new AbortController().signal);
        const fromSnapshots = async function* (at: Instant): AsyncGenerator<KeyAt[]> {
          for await (const found of history.keysAt({ recordedUntil: at })) yield found.map((one) => one.key());
        };
        for (const at of story.log.map(({ recordedAt }) => recordedAt)) {
          for (const name of ['inventory', 'never-used', 'older-than-policy', 'scope-holders']) {
            expect(await story.report(name, { at }, fromSnapshots)).toEqual(await story.report(name, { at }));
          }
        }
        const keyEvents = story.log.filter(({ stream }) => stream.startsWith('key-')).length;
        expect(history.status.snapshots > 0).toBe(keyEvents >= spacing);
      }),
      { numRuns: 25 },
    );
  });
});
