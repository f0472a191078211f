import { describe, expect, it } from '@jest/globals';
import { MANAGEMENT_SCOPES, type KeyEvent } from '@keyledger/contracts';
import {
  at,
  DAY,
  given,
  HOUR,
  issued,
  issueKey,
  keyspaceWith,
  revoked,
  rotated,
  secretOf,
  START,
} from './decider.spec-support.js';
import { keyDecider } from './key.decider.js';

const nothing = () => given(keyDecider);
const system = () => keyspaceWith({}, { keyspaceId: 'system', prefix: 'system' });

describe('issuing a key', () => {
  it('records all its terms and gives it the default lifetime', () => {
    const { type: _, keyspace, now, ...terms } = issueKey();
    nothing()
      .when(issueKey())
      .thenAppends({
        type: 'KeyIssued',
        data: { ...terms, keyspaceId: keyspace.keyspaceId, createdAt: now, expiresAt: at(90 * DAY) },
      });
  });

  it('is refused where the key exists, whatever became of it', () => {
    given(keyDecider, issued()).when(issueKey()).thenRefuses('KEY_EXISTS');
    given(keyDecider, issued(), revoked(at(1)))
      .when(issueKey())
      .thenRefuses('KEY_EXISTS');
  });

  it('is refused in an archived keyspace', () => {
    nothing()
      .when(issueKey({ keyspace: keyspaceWith({}, { archivedAt: at(-1) }) }))
      .thenRefuses('KEYSPACE_ARCHIVED');
  });

  it('names every field that is wrong at once', () => {
    nothing()
      .when(
        issueKey({
          environment: 'prod',
          scopes: ['*', 'payments:read', 'payments:read'],
          restrictions: { addresses: ['10.1'], origins: ['example.com'] },
          lifetime: 'P1Y',
          notBefore: at(-1),
        }),
      )
      .thenRefuses(
        'POLICY',
        'environment',
        'scopes[0]',
        'scopes[2]',
        'restrictions.addresses[0]',
        'restrictions.origins[0]',
        'notBefore',
        'lifetime',
      );
  });

  it('says for every field what would be right', () => {
    const bad = [
      issueKey({ environment: 'prod' }),
      issueKey({ scopes: ['*'] }),
      issueKey({ scopes: ['a', 'a'] }),
      issueKey({ keyspace: keyspaceWith({ scopes: ['audit:read'] }) }),
      issueKey({ keyspace: system() }),
      issueKey({ keyspace: system(), kind: 'publishable', scopes: ['verify'] }),
      issueKey({ kind: 'publishable', scopes: [] }),
      issueKey({ restrictions: { addresses: [], origins: [] } }),
      issueKey({ restrictions: { addresses: ['x'], origins: ['x'] } }),
      issueKey({ lifetime: 'P1Y' }),
      issueKey({ lifetime: 'P1D', expiresAt: at(DAY) }),
      issueKey({ lifetime: 'P367D' }),
      issueKey({ expiresAt: START }),
      issueKey({ expiresAt: 'tomorrow' }),
      issueKey({ expiresAt: null }),
      issueKey({ expiresAt: null, keyspace: keyspaceWith({ nonExpiring: true }) }),
      issueKey({ notBefore: at(-1) }),
    ];
    for (const command of bad) {
      const { decision } = nothing().when(command);
      expect(decision).toMatchObject({ accepted: false });
      const errors = decision.accepted ? [] : (decision.refusal.errors ?? []);
      expect(errors.length).toBeGreaterThan(0);
      expect(errors.filter(({ message, fix }) => !message || !fix)).toEqual([]);
    }
  });
});

it('a start in the past is the one thing that is wrong with it, whatever the lifetime', () => {
  for (const more of [{ lifetime: 'P1D' }, {}, { expiresAt: at(DAY) }]) {
    nothing()
      .when(issueKey({ notBefore: at(-2 * DAY), ...more }))
      .thenRefuses('POLICY', 'notBefore');
  }
});

describe('the scopes of a new key', () => {
  const withScopes = (scopes: string[], allowed?: string[]) =>
    nothing().when(issueKey({ scopes, keyspace: keyspaceWith(allowed ? { scopes: allowed } : {}) }));

  it('may be none, and then the key may do nothing', () => {
    const { decision } = withScopes([]);
    expect(decision).toMatchObject({ accepted: true, events: [{ data: { scopes: [] } }] });
  });

  it('may be any where the policy names none, wildcards below a word included', () => {
    expect(withScopes(['a:*', 'b']).decision.accepted).toBe(true);
    withScopes(['*']).thenRefuses('POLICY', 'scopes[0]');
    withScopes(['a:*', 'a:read:*', '__proto__', 'a@acme']).thenRefuses('POLICY', 'scopes[2]', 'scopes[3]');
  });

  it('stand there once', () => {
    withScopes(['a:read', 'b', 'a:read', 'a:read']).thenRefuses('POLICY', 'scopes[2]', 'scopes[3]');
  });

  it('lie within those that the policy names', () => {
    expect(withScopes(['payments:read', 'audit:read'], ['payments:*', 'audit:read']).decision.accepted).toBe(true);
    expect(withScopes(['payments:*'], ['payments:*']).decision.accepted).toBe(true);
    withScopes(['payments:*'], ['payments:read', 'payments:write']).thenRefuses('POLICY', 'scopes[0]');
    withScopes(['audit:export', 'payments'], ['payments:*', 'audit:read']).thenRefuses(
      'POLICY',
      'scopes[0]',
      'scopes[1]',
    );
    withScopes(['a'], []).thenRefuses('POLICY', 'scopes[0]');
    expect(withScopes([], []).decision.accepted).toBe(true);
  });

  it('of a management credential lie within those that the policy names too, bound ones included', () => {
    const keyspace = keyspaceWith({ scopes: ['keys:*', 'verify'] }, { keyspaceId: 'system', prefix: 'system' });
    const good = ['keys:*', 'keys:read', 'keys:issue@acme', 'keys:*@acme', 'verify', 'verify@acme'];
    expect(nothing().when(issueKey({ keyspace, scopes: good })).decision.accepted).toBe(true);
    nothing()
      .when(issueKey({ keyspace, scopes: ['keys:read', 'audit:read', 'audit:read@acme', 'system:*'] }))
      .thenRefuses('POLICY', 'scopes[1]', 'scopes[2]', 'scopes[3]');
  });

  it('of a management credential are management scopes, bound or not, and no others', () => {
    const keyspace = system();
    const scopes = [...MANAGEMENT_SCOPES, 'keys:*', 'keys:issue@acme'];
    expect(nothing().when(issueKey({ keyspace, scopes })).decision.accepted).toBe(true);
    nothing()
      .when(issueKey({ keyspace, scopes: ['payments:read', '*', 'keys:fly', 'keys:read@', 'verify', 'verify'] }))
      .thenRefuses('POLICY', 'scopes[0]', 'scopes[1]', 'scopes[2]', 'scopes[3]', 'scopes[5]');
  });
});

describe('a publishable key', () => {
  const publishable = { kind: 'publishable' as const };

  it('is restricted in where it works, or narrow in what it may do', () => {
    const accepted = [
      issueKey({ ...publishable, scopes: ['maps:show'] }),
      issueKey({ ...publishable, scopes: ['maps:*'], restrictions: { origins: ['https://*.example.com'] } }),
      issueKey({ ...publishable, scopes: [], restrictions: { addresses: ['203.0.113.0/24'] } }),
    ];
    for (const command of accepted) expect(nothing().when(command).decision.accepted).toBe(true);
    nothing()
      .when(issueKey({ ...publishable, scopes: [] }))
      .thenRefuses('POLICY', 'restrictions');
    nothing()
      .when(issueKey({ ...publishable, scopes: ['maps:show', 'maps:*'] }))
      .thenRefuses('POLICY', 'restrictions');
  });

  it('never is a management credential', () => {
    const origins = ['https://app.example.com'];
    nothing()
      .when(issueKey({ ...publishable, keyspace: system(), scopes: ['keys:issue'], restrictions: { origins } }))
      .thenRefuses('POLICY', 'kind');
  });

  it('keeps its restrictions for ever', () => {
    const key = given(
      keyDecider,
      issued({ kind: 'publishable', scopes: [], restrictions: { origins: ['https://a.example'] } }),
    );
    key.when({ type: 'ChangeKey', restrictions: {}, now: at(1) }).thenRefuses('UNPROCESSABLE', 'restrictions');
  });
});

describe('the expiry of a new key', () => {
  it.each([
    ['the default lifetime', {}, at(90 * DAY)],
    ['a lifetime from now', { lifetime: 'PT1S' }, at(1)],
    ['the whole of the maximum', { lifetime: 'P366D' }, at(366 * DAY)],
    ['an instant', { expiresAt: at(5) }, at(5)],
    ['the last instant of the maximum', { expiresAt: at(366 * DAY) }, at(366 * DAY)],
    ['the default lifetime from notBefore', { notBefore: at(DAY) }, at(91 * DAY)],
    ['a lifetime from notBefore', { notBefore: at(DAY), lifetime: 'P366D' }, at(367 * DAY)],
    ['an instant after notBefore', { notBefore: at(DAY), expiresAt: at(DAY + 1) }, at(DAY + 1)],
    ['notBefore at this very instant', { notBefore: START }, at(90 * DAY)],
  ])('may be %s', (_, terms, expiresAt) => {
    nothing().when(issueKey(terms)).thenKeyExpiresAt(expiresAt);
  });

  it.each([
    ['an instant that is now', { expiresAt: START }, ['expiresAt']],
    ['an instant in the past', { expiresAt: at(-1) }, ['expiresAt']],
    ['an instant beyond the maximum', { expiresAt: at(366 * DAY + 0.001) }, ['expiresAt']],
    ['a lifetime beyond the maximum', { lifetime: 'P366DT1S' }, ['lifetime']],
    ['no lifetime at all', { lifetime: 'PT0S' }, ['lifetime']],
    ['an empty lifetime', { lifetime: '' }, ['lifetime']],
    ['a month', { lifetime: 'P1M' }, ['lifetime']],
    ['more than a hundred years', { lifetime: 'P999999D' }, ['lifetime']],
    ['both a lifetime and an instant', { lifetime: 'P1D', expiresAt: at(DAY) }, ['lifetime']],
    ['both a lifetime and never', { lifetime: 'P1D', expiresAt: null }, ['lifetime']],
    ['an instant at notBefore', { notBefore: at(DAY), expiresAt: at(DAY) }, ['expiresAt']],
    ['an instant before notBefore', { notBefore: at(DAY), expiresAt: at(DAY - 1) }, ['expiresAt']],
    ['more than the maximum from notBefore', { notBefore: at(DAY), expiresAt: at(367 * DAY + 1) }, ['expiresAt']],
    ['a notBefore in the past', { notBefore: at(-0.001) }, ['notBefore']],
    ['words', { expiresAt: 'tomorrow' }, ['expiresAt']],
    ['an instant in another form', { expiresAt: '2026-01-05T00:00:00Z' }, ['expiresAt']],
    ['a six-digit year', { expiresAt: '+010000-01-01T00:00:00.000Z' }, ['expiresAt']],
    ['a notBefore of words', { notBefore: 'tomorrow' }, ['notBefore']],
    ['a notBefore in a six-digit year', { notBefore: '+010000-01-01T00:00:00.000Z' }, ['notBefore']],
    ['nothing after the last instant there is', { notBefore: '9999-12-31T23:59:59.999Z' }, ['lifetime']],
    ['never, where the policy does not allow it', { expiresAt: null, justification: 'please' }, ['expiresAt']],
  ])('is refused as %s', (_, terms, fields) => {
    nothing()
      .when(issueKey(terms))
      .thenRefuses('POLICY', ...fields);
  });

  it('stays in the order of text up to the end of time', () => {
    nothing()
      .when(issueKey({ notBefore: '9999-12-01T00:00:00.000Z' }))
      .thenKeyExpiresAt('9999-12-31T23:59:59.999Z');
  });

  it('says "past" only of what is past', () => {
    const { decision } = nothing().when(issueKey({ notBefore: at(DAY), expiresAt: at(DAY - 1) }));
    const [error] = decision.accepted ? [] : (decision.refusal.errors ?? []);
    expect(error).toEqual({ field: 'expiresAt', message: 'is not after notBefore', fix: `after ${at(DAY)}` });
  });

  it('may be never where the policy allows it, with a justification that is recorded', () => {
    const keyspace = keyspaceWith({ nonExpiring: true });
    const forEver = issueKey({ keyspace, expiresAt: null, justification: 'a meter in the field' });
    const { decision } = nothing().when(forEver);
    expect(decision).toMatchObject({ accepted: true, events: [{ data: { justification: 'a meter in the field' } }] });
    nothing().when(forEver).thenKeyExpiresAt(undefined);
    nothing()
      .when(issueKey({ keyspace, expiresAt: null }))
      .thenRefuses('POLICY', 'justification');
    for (const justification of ['', ' \t\n\u00a0']) {
      nothing()
        .when(issueKey({ keyspace, expiresAt: null, justification }))
        .thenRefuses('POLICY', 'justification');
    }
  });

  it('is never "never" by mere silence, even where the policy would allow that', () => {
    nothing()
      .when(issueKey({ keyspace: keyspaceWith({ nonExpiring: true }), justification: 'why not' }))
      .thenKeyExpiresAt(at(90 * DAY));
  });

  it('is refused, not unbounded, under a policy whose maximum cannot be read', () => {
    nothing()
      .when(issueKey({ keyspace: keyspaceWith({ maxLifetime: 'junk' }) }))
      .thenRefuses('POLICY', 'lifetime');
  });
});

describe('the restrictions of a new key', () => {
  it('are recorded as they were given', () => {
    const restrictions = { addresses: ['10.0.0.0/8', '2001:db8::/32'], origins: ['https://*.example.com:8443'] };
    const { decision } = nothing().when(issueKey({ restrictions }));
    expect(decision).toMatchObject({ accepted: true, events: [{ data: { restrictions } }] });
  });

  it('are refused empty or unreadable, each where it stands', () => {
    nothing()
      .when(issueKey({ restrictions: { addresses: [], origins: [] } }))
      .thenRefuses('POLICY', 'restrictions.addresses', 'restrictions.origins');
    nothing()
      .when(
        issueKey({ restrictions: { addresses: ['::1', '10.0.0.0/33'], origins: ['*', 'https://a.example:99999'] } }),
      )
      .thenRefuses('POLICY', 'restrictions.addresses[1]', 'restrictions.origins[0]', 'restrictions.origins[1]');
  });
});

describe('the metadata of a key', () => {
  const metadata = JSON.parse('{"__proto__":"polluted","constructor":"x","toString":"y","":"z"}') as Record<
    string,
    string
  >;

  it('keeps names that objects have of their own, and reaches no prototype', () => {
    const { decision } = nothing().when(issueKey({ metadata }));
    const events: KeyEvent[] = decision.accepted ? decision.events : [];
    const { state } = given(keyDecider, ...events);
    expect(JSON.stringify(state?.metadata)).toBe(JSON.stringify(metadata));
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(Object.getPrototypeOf(state?.metadata)).toBe(Object.getPrototypeOf(metadata));
  });

  it('is seen to change where only such a name does', () => {
    const before = JSON.parse('{"__proto__":"a"}') as Record<string, string>;
    const after = JSON.parse('{"__proto__":"b"}') as Record<string, string>;
    given(keyDecider, issued({ metadata: before }))
      .when({ type: 'ChangeKey', metadata: after, now: at(1) })
      .thenAppends({
        type: 'KeyDetailsChanged',
        data: { keyId: 'key1', changes: { metadata: { before, after } }, changedAt: at(1) },
      });
    given(keyDecider, issued({ metadata: before }))
      .when({ type: 'ChangeKey', metadata: { ...before }, now: at(1) })
      .thenAppends();
  });
});

describe('importing a key', () => {
  const importKey = (changes: Parameters<typeof issueKey>[0] & { externalId?: string } = {}) => ({
    ...issueKey(changes),
    type: 'ImportKey' as const,
  });

  it('records it as imported, with its id in the other system', () => {
    const { type: _, keyspace, now, secret, ...terms } = importKey({ externalId: 'their-17' });
    nothing()
      .when(importKey({ externalId: 'their-17' }))
      .thenAppends({
        type: 'KeyImported',
        data: {
          ...terms,
          keyspaceId: keyspace.keyspaceId,
          secret: { ...secret, imported: true },
          createdAt: now,
          expiresAt: at(90 * DAY),
        },
      });
  });

  it('holds it to the policy like any other', () => {
    nothing()
      .when(importKey({ expiresAt: at(400 * DAY) }))
      .thenRefuses('POLICY', 'expiresAt');
    nothing()
      .when(importKey({ expiresAt: at(-1) }))
      .thenRefuses('POLICY', 'expiresAt');
    nothing()
      .when(importKey({ environment: 'prod', scopes: ['*'] }))
      .thenRefuses('POLICY', 'environment', 'scopes[0]');
    nothing()
      .when(importKey({ keyspace: keyspaceWith({}, { archivedAt: START }) }))
      .thenRefuses('KEYSPACE_ARCHIVED');
  });

  it('does not bring back a key that is known, revoked or not', () => {
    given(keyDecider, issued()).when(importKey()).thenRefuses('KEY_EXISTS');
    given(keyDecider, issued(), revoked(at(1)))
      .when(importKey())
      .thenRefuses('KEY_EXISTS');
  });

  it('gives a key whose secret is marked as foreign until it is rotated away', () => {
    const { decision } = nothing().when(importKey({ externalId: 'their-17' }));
    const [imported] = decision.accepted ? decision.events : [];
    const key = given(keyDecider, imported as KeyEvent);
    expect(key.state).toMatchObject({ externalId: 'their-17', secrets: [{ ...secretOf(1), imported: true }] });
    const rotation = key.when({ type: 'RotateKey', keyspace: keyspaceWith(), secret: secretOf(2), now: at(HOUR) });
    const after = given(
      keyDecider,
      imported as KeyEvent,
      ...(rotation.decision.accepted ? rotation.decision.events : []),
    );
    expect(after.state?.externalId).toBe('their-17');
    expect(after.state?.secrets.map(({ secretId, imported: foreign }) => [secretId, foreign])).toEqual([
      [secretOf(2).secretId, undefined],
      [secretOf(1).secretId, true],
    ]);
    const { state } = given(keyDecider, imported as KeyEvent, rotated(1, at(1), at(1)), rotated(2, at(2), at(2)));
    const { secretId, hash } = secretOf(1);
    expect(state?.retired).toStrictEqual([{ secretId, hash, imported: true, endedAt: at(1) }]);
  });
});
