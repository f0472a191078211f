import { describe, expect, it } from '@jest/globals';
import { ADMIN, day, keyOf, link, Story } from './reports.spec-support.js';

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
