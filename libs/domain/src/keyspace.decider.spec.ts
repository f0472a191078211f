import { describe, expect, it } from '@jest/globals';
import type { KeyspaceEvent, KeyspacePolicy } from '@keyledger/contracts';
import fc from 'fast-check';
import { at, given, START } from './decider.spec-support.js';
import { DEFAULT_POLICY, keyspaceDecider, type KeyspaceCommand, type PolicyInput } from './keyspace.decider.js';

type Create = Extract<KeyspaceCommand, { type: 'CreateKeyspace' }>;

const create = (changes: Partial<Create> = {}): Create => ({
  type: 'CreateKeyspace',
  keyspaceId: 'acme',
  name: 'Acme',
  environments: ['live', 'test'],
  policy: {},
  now: START,
  ...changes,
});

const created = (policy: Partial<KeyspacePolicy> = {}, environments = ['live', 'test']): KeyspaceEvent => ({
  type: 'KeyspaceCreated',
  data: {
    keyspaceId: 'acme',
    name: 'Acme',
    prefix: 'acme',
    environments,
    policy: { ...DEFAULT_POLICY, ...policy },
    createdAt: START,
  },
});

const archived: KeyspaceEvent = { type: 'KeyspaceArchived', data: { keyspaceId: 'acme', archivedAt: at(1) } };
const nothing = () => given(keyspaceDecider);
const keyspace = (...events: KeyspaceEvent[]) => given(keyspaceDecider, created(), ...events);

describe('creating a keyspace', () => {
  it('gives it the default policy', () => {
    nothing().when(create()).thenAppends(created());
  });

  it('takes its id as its prefix, so that a prefix belongs to one keyspace for ever', () => {
    keyspace().when(create()).thenRefuses('KEYSPACE_EXISTS', 'prefix');
    keyspace(archived).when(create()).thenRefuses('KEYSPACE_EXISTS', 'prefix');
  });

  it('keeps the reserved one for the system', () => {
    nothing()
      .when(create({ keyspaceId: 'system' }))
      .thenRefuses('KEYSPACE_EXISTS', 'prefix');
    expect(nothing().when(create({ keyspaceId: 'system', reserved: true })).decision.accepted).toBe(true);
  });

  it.each(['ab', 'a1', 'a23456789012', 'kl', 'pk', 'kpk', 'pkx', 'systems'])('takes the prefix %s', (keyspaceId) => {
    expect(nothing().when(create({ keyspaceId })).decision.accepted).toBe(true);
  });

  it.each([
    ...['', 'a', '1a', 'Acme', 'a_b', 'a-b', 'acme ', 'acme\n', 'a234567890123', '\u0430cme', '__proto__', '*'],
    ...['acmepk', 'klpk', 'pkpk', 'systempk', 'abpkpk'],
  ])('refuses the prefix %j', (keyspaceId) => {
    nothing().when(create({ keyspaceId })).thenRefuses('UNPROCESSABLE', 'prefix');
  });

  it('lets no prefix be that of the publishable keys of another', () => {
    const prefix = fc.stringMatching(/^[a-p][a-p0-9]{0,10}(?:pk){0,2}$/);
    fc.assert(
      fc.property(prefix, (stem) => {
        const one = nothing().when(create({ keyspaceId: stem })).decision.accepted;
        const other = nothing().when(create({ keyspaceId: `${stem}pk` })).decision.accepted;
        expect(one && other).toBe(false);
      }),
    );
  });

  it.each<[string, string[], string[]]>([
    ['none', [], ['environments']],
    ['names that are none', ['live', 'L', 'a_b', 'x'], ['environments[1]', 'environments[2]', 'environments[3]']],
    ['one twice', ['live', 'test', 'live'], ['environments[2]']],
  ])('refuses environments: %s', (_, environments, fields) => {
    nothing()
      .when(create({ environments }))
      .thenRefuses('UNPROCESSABLE', ...fields);
  });

  it('names every field that is wrong at once', () => {
    nothing()
      .when(
        create({
          keyspaceId: 'A',
          environments: [],
          policy: { maxLifetime: 'P1Y', maxGrace: 'x', defaultLifetime: '', scopes: ['*'] },
        }),
      )
      .thenRefuses(
        'UNPROCESSABLE',
        'prefix',
        'environments',
        'policy.defaultLifetime',
        'policy.maxLifetime',
        'policy.maxGrace',
        'policy.scopes[0]',
      );
  });
});

describe('the policy of a new keyspace', () => {
  const withPolicy = (policy: PolicyInput) => nothing().when(create({ policy }));

  it.each<[string, PolicyInput, Partial<KeyspacePolicy>]>([
    [
      'keeps what is named',
      { nonExpiring: true, selfRotate: true, selfRevoke: true, secondRotation: 'refuse' },
      {
        ...{ nonExpiring: true, selfRotate: true, selfRevoke: true, secondRotation: 'refuse' },
      },
    ],
    [
      'shrinks the default lifetime to a named maximum',
      { maxLifetime: 'P7D' },
      { maxLifetime: 'P7D', defaultLifetime: 'P7D' },
    ],
    ['shrinks the default grace to a named maximum', { maxGrace: 'PT1H' }, { maxGrace: 'PT1H', defaultGrace: 'PT1H' }],
    ['may have no grace at all', { maxGrace: 'PT0S' }, { maxGrace: 'PT0S', defaultGrace: 'PT0S' }],
    ['leaves a default that the maximum allows', { maxLifetime: 'P90D' }, { maxLifetime: 'P90D' }],
    [
      'raises the maximum to a named default',
      { defaultLifetime: 'P730D' },
      { defaultLifetime: 'P730D', maxLifetime: 'P730D' },
    ],
    [
      'raises the maximal grace to a named default',
      { defaultGrace: 'P60D' },
      { defaultGrace: 'P60D', maxGrace: 'P60D' },
    ],
    ['keeps a maximum that is above the named default', { defaultLifetime: 'P1D' }, { defaultLifetime: 'P1D' }],
    [
      'takes both where both are named',
      { defaultLifetime: 'P1D', maxLifetime: 'P2D' },
      { defaultLifetime: 'P1D', maxLifetime: 'P2D' },
    ],
    ['takes scopes', { scopes: ['a:*', 'b'] }, { scopes: ['a:*', 'b'] }],
    ['takes a list of no scopes', { scopes: [] }, { scopes: [] }],
    ['reads null as no limit of scopes', { scopes: null }, {}],
  ])('%s', (_, input, expected) => {
    withPolicy(input).thenAppends(created(expected));
  });

  it('takes what is left open in a request for left out', () => {
    const open = { maxLifetime: undefined, nonExpiring: undefined, scopes: undefined } as unknown as PolicyInput;
    withPolicy(open).thenAppends(created());
  });

  it.each<[string, PolicyInput, string[]]>([
    [
      'a default lifetime beyond the maximum',
      { defaultLifetime: 'P8D', maxLifetime: 'P7D' },
      ['policy.defaultLifetime'],
    ],
    ['a default grace beyond the maximum', { defaultGrace: 'P8D', maxGrace: 'P7D' }, ['policy.defaultGrace']],
    ['no lifetime', { maxLifetime: 'PT0S' }, ['policy.maxLifetime']],
    ['no default lifetime', { defaultLifetime: 'PT0S' }, ['policy.defaultLifetime']],
    ['months', { maxLifetime: 'P6M' }, ['policy.maxLifetime']],
    ['a maximum of more than a hundred years', { maxLifetime: 'P36601D' }, ['policy.maxLifetime']],
    ['a grace of more than a hundred years', { maxGrace: 'P36601D' }, ['policy.maxGrace']],
    ['a default grace that is no duration', { defaultGrace: 'soon' }, ['policy.defaultGrace']],
    ['a bare wildcard', { scopes: ['a', '*'] }, ['policy.scopes[1]']],
    ['a scope twice', { scopes: ['a', 'b', 'a'] }, ['policy.scopes[2]']],
  ])('refuses %s, and blames only what was written', (_, input, fields) => {
    withPolicy(input).thenRefuses('UNPROCESSABLE', ...fields);
  });

  it('always allows its own defaults, whatever is named', () => {
    const duration = fc.option(fc.constantFrom('PT0S', 'PT1H', 'P1D', 'P30D', 'P90D', 'P366D', 'P999D', 'P1Y', ''), {
      nil: undefined,
    });
    const input = fc.record(
      { defaultLifetime: duration, maxLifetime: duration, defaultGrace: duration, maxGrace: duration },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(input, (policy) => {
        const { decision } = withPolicy(policy as PolicyInput);
        const written = Object.entries(policy).flatMap(([name, value]) => (value === undefined ? [] : [name]));
        if (!decision.accepted) {
          const blamed = (decision.refusal.errors ?? []).map(({ field }) => field.replace('policy.', ''));
          expect(blamed.length).toBeGreaterThan(0);
          expect(written).toEqual(expect.arrayContaining(blamed));
          return;
        }
        const event = decision.events[0] as Extract<KeyspaceEvent, { type: 'KeyspaceCreated' }>;
        for (const name of written) {
          expect(event.data.policy[name as keyof KeyspacePolicy]).toBe(policy[name as keyof typeof policy]);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('changing a keyspace', () => {
  const change = (changes: Omit<Extract<KeyspaceCommand, { type: 'ChangeKeyspace' }>, 'type' | 'now'>) =>
    ({ type: 'ChangeKeyspace', ...changes, now: at(5) }) as const;
  const changed = (
    changes: Extract<KeyspaceEvent, { type: 'KeyspacePolicyChanged' }>['data']['changes'],
  ): KeyspaceEvent => ({
    type: 'KeyspacePolicyChanged',
    data: { keyspaceId: 'acme', changes, changedAt: at(5) },
  });

  it('records what changed, each with before and after', () => {
    const after = { ...DEFAULT_POLICY, nonExpiring: true, scopes: ['a'] };
    keyspace()
      .when(
        change({ name: 'Acme 2', environments: ['live', 'test', 'ci'], policy: { nonExpiring: true, scopes: ['a'] } }),
      )
      .thenAppends(
        changed({
          name: { before: 'Acme', after: 'Acme 2' },
          environments: { before: ['live', 'test'], after: ['live', 'test', 'ci'] },
          policy: { before: DEFAULT_POLICY, after },
        }),
      );
  });

  it('appends nothing where nothing changes', () => {
    keyspace().when(change({})).thenAppends();
    keyspace()
      .when(change({ name: 'Acme', environments: ['live', 'test'], policy: { ...DEFAULT_POLICY, scopes: null } }))
      .thenAppends();
    const open = { maxGrace: undefined, scopes: undefined } as unknown as PolicyInput;
    given(keyspaceDecider, created({ scopes: ['a'] }))
      .when(change({ policy: open }))
      .thenAppends();
  });

  it('keeps what is left out, and lifts the limit of scopes with null only', () => {
    const limited = created({ scopes: ['a'], maxGrace: 'P2D' });
    const lifted = changed({
      policy: {
        before: { ...DEFAULT_POLICY, scopes: ['a'], maxGrace: 'P2D' },
        after: { ...DEFAULT_POLICY, maxGrace: 'P2D' },
      },
    });
    given(keyspaceDecider, limited)
      .when(change({ policy: { scopes: null } }))
      .thenAppends(lifted);
    const { state } = given(keyspaceDecider, limited, lifted);
    expect(state?.policy).toStrictEqual({ ...DEFAULT_POLICY, maxGrace: 'P2D' });
  });

  it('lets environments only grow', () => {
    keyspace()
      .when(change({ environments: ['live'] }))
      .thenRefuses('UNPROCESSABLE', 'environments');
    keyspace()
      .when(change({ environments: ['live', 'ci'] }))
      .thenRefuses('UNPROCESSABLE', 'environments');
    keyspace()
      .when(change({ environments: [] }))
      .thenRefuses('UNPROCESSABLE', 'environments', 'environments');
    keyspace()
      .when(change({ environments: ['live', 'test', 'test', 'X'] }))
      .thenRefuses('UNPROCESSABLE', 'environments[2]', 'environments[3]');
  });

  it('does not shrink a default behind the back of who lowers a maximum: it says so', () => {
    keyspace()
      .when(change({ policy: { maxLifetime: 'P30D' } }))
      .thenRefuses('UNPROCESSABLE', 'policy.defaultLifetime');
    keyspace()
      .when(change({ policy: { maxGrace: 'PT1H' } }))
      .thenRefuses('UNPROCESSABLE', 'policy.defaultGrace');
    const both = { maxLifetime: 'P30D', defaultLifetime: 'P7D' };
    expect(keyspace().when(change({ policy: both })).decision.accepted).toBe(true);
  });

  it('refuses what a new keyspace may not have either', () => {
    keyspace()
      .when(change({ policy: { maxLifetime: 'P1Y', defaultGrace: '1d', scopes: ['*', 'a', 'a'] } }))
      .thenRefuses(
        'UNPROCESSABLE',
        'policy.maxLifetime',
        'policy.defaultGrace',
        'policy.scopes[0]',
        'policy.scopes[2]',
      );
  });

  it('is refused once the keyspace is archived, and where there is none', () => {
    keyspace(archived)
      .when(change({ name: 'n' }))
      .thenRefuses('KEYSPACE_ARCHIVED');
    nothing()
      .when(change({ name: 'n' }))
      .thenRefuses('NOT_FOUND');
    expect(() => keyspaceDecider.evolve(undefined, changed({}))).toThrow(/KeyspacePolicyChanged stands before/);
  });
});

describe('archiving a keyspace', () => {
  it('is done once', () => {
    keyspace()
      .when({ type: 'ArchiveKeyspace', now: at(1) })
      .thenAppends(archived);
    keyspace(archived)
      .when({ type: 'ArchiveKeyspace', now: at(2) })
      .thenAppends();
    nothing()
      .when({ type: 'ArchiveKeyspace', now: at(1) })
      .thenRefuses('NOT_FOUND');
    expect(keyspace(archived).state?.archivedAt).toBe(at(1));
  });

  it('is not done to the keyspace of the management credentials', () => {
    const system = {
      ...created(),
      data: { ...created().data, keyspaceId: 'system', prefix: 'system' },
    } as KeyspaceEvent;
    given(keyspaceDecider, system)
      .when({ type: 'ArchiveKeyspace', now: at(1) })
      .thenRefuses('UNPROCESSABLE');
  });
});
