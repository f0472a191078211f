import { describe, expect, it } from '@jest/globals';
import type { KeyEvent } from '@keyledger/contracts';
import {
  at,
  DAY,
  given,
  HOUR,
  issued,
  issuedForEver,
  keyspaceWith,
  reinstated,
  revoked,
  rotated,
  rotateKey,
  secretOf,
  suspended,
} from './decider.spec-support.js';
import { keyDecider, type KeyCommand } from './key.decider.js';
import { RETIRED_SECRETS_KEPT } from './key.state.js';

const key = (...events: KeyEvent[]) => given(keyDecider, issued(), ...events);
const change = (changes: Omit<Extract<KeyCommand, { type: 'ChangeKey' }>, 'type' | 'now'>, now = at(HOUR)) =>
  ({ type: 'ChangeKey', ...changes, now }) as const;
const revoke = { type: 'RevokeKey', reason: 'abuse', comment: 'c', requestedAt: at(1), now: at(2) } as const;
const suspend = { type: 'SuspendKey', reason: 'odd traffic', comment: 'c', now: at(3) } as const;
const reinstate = { type: 'ReinstateKey', reason: 'explained', comment: 'c', now: at(4) } as const;

describe('a key that is not there', () => {
  it('takes no command but that which makes it', () => {
    for (const command of [rotateKey(), revoke, suspend, reinstate, change({ name: 'n' })]) {
      given(keyDecider).when(command).thenRefuses('NOT_FOUND');
    }
  });

  it('has no later events: such a stream is broken, and that is said', () => {
    expect(() => keyDecider.evolve(undefined, revoked(at(1)))).toThrow(/KeyRevoked stands before/);
  });
});

describe('rotating a key', () => {
  it('replaces the secret and lets the old one work for the default grace', () => {
    key()
      .when(rotateKey())
      .thenAppends(rotated(1, at(HOUR), at(HOUR + DAY)));
  });

  it.each([
    ['no grace', 0, at(HOUR)],
    ['a second', 1, at(HOUR + 1)],
    ['the whole of the maximum', 30 * DAY, at(HOUR + 30 * DAY)],
  ])('takes a grace of %s', (_, graceSeconds, graceEndsAt) => {
    key()
      .when(rotateKey({ graceSeconds }))
      .thenAppends(rotated(1, at(HOUR), graceEndsAt));
  });

  it.each([[30 * DAY + 1], [Number.MAX_SAFE_INTEGER]])(
    'refuses a grace of %d seconds as longer than the policy allows',
    (graceSeconds) => key().when(rotateKey({ graceSeconds })).thenRefuses('POLICY', 'graceSeconds'),
  );

  it.each([[-1], [-0.001], [0.5], [Number.NaN], [Number.POSITIVE_INFINITY]])(
    'refuses a grace of %d seconds as no whole number from 0',
    (graceSeconds) => key().when(rotateKey({ graceSeconds })).thenRefuses('UNPROCESSABLE', 'graceSeconds'),
  );

  it('records the comment', () => {
    const { decision } = key().when(rotateKey({ comment: 'yearly' }));
    expect(decision).toMatchObject({ accepted: true, events: [{ data: { comment: 'yearly' } }] });
  });

  it('lets no grace outlive the expiry of the key', () => {
    key()
      .when(rotateKey({ graceSeconds: 10 * DAY, now: at(85 * DAY) }))
      .thenAppends(rotated(1, at(85 * DAY), at(90 * DAY)));
    key()
      .when(rotateKey({ graceSeconds: 5 * DAY, now: at(85 * DAY) }))
      .thenAppends(rotated(1, at(85 * DAY), at(90 * DAY)));
  });

  it('copies everything and leaves the expiry where it is', () => {
    const terms = {
      kind: 'publishable' as const,
      scopes: ['a:read', 'a:write'],
      restrictions: { origins: ['https://a.example'], addresses: ['10.0.0.0/8'] },
      metadata: { a: '1' },
      notBefore: at(60),
    };
    const before = given(keyDecider, issued(terms)).state;
    const after = given(keyDecider, issued(terms), rotated(1, at(HOUR), at(2 * HOUR))).state;
    const { secrets: _, ...rest } = before ?? { secrets: [] };
    const { secrets, ...kept } = after ?? { secrets: [] };
    expect(kept).toStrictEqual(rest);
    expect(secrets).toStrictEqual([
      { ...secretOf(2), createdAt: at(HOUR) },
      { ...secretOf(1), createdAt: at(0), graceEndsAt: at(2 * HOUR) },
    ]);
  });

  it('within the grace of an earlier rotation ends the oldest secret at once', () => {
    const inGrace = key(rotated(1, at(HOUR), at(DAY)));
    const second = rotated(2, at(2 * HOUR), at(2 * HOUR + DAY), secretOf(1).secretId);
    inGrace.when(rotateKey({ secret: secretOf(3), now: at(2 * HOUR) })).thenAppends(second);
    const { state } = key(rotated(1, at(HOUR), at(DAY)), second);
    expect(state?.secrets.map(({ secretId }) => secretId)).toEqual([secretOf(3).secretId, secretOf(2).secretId]);
    const { secretId, hash } = secretOf(1);
    expect(state?.retired).toStrictEqual([{ secretId, hash, endedAt: at(2 * HOUR) }]);
  });

  it('within the grace of an earlier rotation is refused where the policy says so, and not after it', () => {
    const keyspace = keyspaceWith({ secondRotation: 'refuse' });
    const inGrace = key(rotated(1, at(HOUR), at(DAY)));
    const again = (now: string) => rotateKey({ keyspace, secret: secretOf(3), now });
    inGrace.when(again(at(HOUR))).thenRefuses('ROTATION_IN_PROGRESS');
    inGrace.when(again(at(DAY - 0.001))).thenRefuses('ROTATION_IN_PROGRESS');
    inGrace.when(again(at(DAY))).thenAppends(rotated(2, at(DAY), at(2 * DAY)));
  });

  it('twice at the same instant leaves one current secret and the one before it', () => {
    const first = rotated(1, at(HOUR), at(HOUR));
    key(first)
      .when(rotateKey({ secret: secretOf(3), graceSeconds: 0 }))
      .thenAppends(rotated(2, at(HOUR), at(HOUR)));
    const { state } = key(first, rotated(2, at(HOUR), at(HOUR)));
    expect(state?.secrets.map(({ secretId, graceEndsAt }) => [secretId, graceEndsAt])).toEqual([
      [secretOf(3).secretId, undefined],
      [secretOf(2).secretId, at(HOUR)],
    ]);
  });

  it('dates the end of a secret whose grace was over already by its grace', () => {
    const { state } = key(rotated(1, at(HOUR), at(2 * HOUR)), rotated(2, at(DAY), at(2 * DAY)));
    expect(state?.retired.map(({ endedAt }) => endedAt)).toEqual([at(2 * HOUR)]);
  });

  it(`remembers the last ${RETIRED_SECRETS_KEPT} secrets that are over, newest first`, () => {
    const rotations = Array.from({ length: 9 }, (_, n) => rotated(n + 1, at((n + 1) * DAY), at((n + 1) * DAY)));
    const { state } = key(...rotations);
    expect(state?.secrets.map(({ secretId }) => secretId)).toEqual([secretOf(10).secretId, secretOf(9).secretId]);
    expect(state?.retired.map(({ secretId }) => secretId)).toEqual([8, 7, 6, 5, 4].map((n) => secretOf(n).secretId));
  });

  it('is refused for a key that is revoked, suspended or expired, or whose keyspace is archived', () => {
    key(revoked(at(1)))
      .when(rotateKey())
      .thenRefuses('KEY_REVOKED');
    key(suspended(at(1)))
      .when(rotateKey())
      .thenRefuses('KEY_SUSPENDED');
    key()
      .when(rotateKey({ now: at(90 * DAY) }))
      .thenRefuses('KEY_EXPIRED');
    key()
      .when(rotateKey({ keyspace: keyspaceWith({}, { archivedAt: at(1) }) }))
      .thenRefuses('KEYSPACE_ARCHIVED');
  });

  it('works to the last instant before the expiry, before notBefore, and for a key without end', () => {
    key()
      .when(rotateKey({ now: at(90 * DAY - 1) }))
      .thenAppends(rotated(1, at(90 * DAY - 1), at(90 * DAY)));
    given(keyDecider, issued({ notBefore: at(DAY) }))
      .when(rotateKey())
      .thenAppends(rotated(1, at(HOUR), at(HOUR + DAY)));
    given(keyDecider, issuedForEver())
      .when(rotateKey({ now: at(9_999 * DAY) }))
      .thenAppends(rotated(1, at(9_999 * DAY), at(10_000 * DAY)));
  });

  it('never takes a secret that the key has or had', () => {
    const used = key(rotated(1, at(1), at(1)), rotated(2, at(2), at(3)));
    for (const n of [1, 2, 3]) {
      const { secretId, hash } = secretOf(n);
      expect(() => used.when(rotateKey({ secret: { ...secretOf(4), secretId } }))).toThrow(/not new/);
      expect(() => used.when(rotateKey({ secret: { ...secretOf(4), hash } }))).toThrow(/not new/);
    }
  });
});

describe('revoking a key', () => {
  const event: KeyEvent = {
    type: 'KeyRevoked',
    data: { keyId: 'key1', reason: 'abuse', comment: 'c', requestedAt: at(1), revokedAt: at(2) },
  };

  it('says why, when it was asked for and when it was done', () => {
    key().when(revoke).thenAppends(event);
    const { comment: _, ...silent } = revoke;
    key()
      .when(silent)
      .thenAppends({
        type: 'KeyRevoked',
        data: { keyId: 'key1', reason: 'abuse', requestedAt: at(1), revokedAt: at(2) },
      });
  });

  it('works in every other state, expired included', () => {
    key(suspended(at(1)))
      .when(revoke)
      .thenAppends(event);
    key(rotated(1, at(1), at(DAY)))
      .when(revoke)
      .thenAppends(event);
    key()
      .when({ ...revoke, now: at(91 * DAY) })
      .thenAppends({ ...event, data: { ...event.data, revokedAt: at(91 * DAY) } });
  });

  it('again changes nothing: the first reason stands', () => {
    key(revoked(at(1)))
      .when(revoke)
      .thenAppends();
  });

  it('is final: nothing but another revocation is taken, and that does nothing', () => {
    const over = key(suspended(at(0)), revoked(at(1)));
    for (const command of [
      rotateKey(),
      suspend,
      reinstate,
      change({ name: 'n' }),
      change({ expiresAt: at(DAY) }),
      change({}),
    ]) {
      over.when(command).thenRefuses('KEY_REVOKED');
    }
  });
});

describe('suspending and reinstating a key', () => {
  it('suspends with a reason, and reinstates with one', () => {
    key()
      .when(suspend)
      .thenAppends({
        type: 'KeySuspended',
        data: { keyId: 'key1', reason: 'odd traffic', comment: 'c', suspendedAt: at(3) },
      });
    key(suspended(at(1)))
      .when(reinstate)
      .thenAppends({
        type: 'KeyReinstated',
        data: { keyId: 'key1', reason: 'explained', comment: 'c', reinstatedAt: at(4) },
      });
  });

  it('changes nothing where it is so already', () => {
    key(suspended(at(1)))
      .when(suspend)
      .thenAppends();
    key().when(reinstate).thenAppends();
    key(suspended(at(1)), reinstated(at(2)))
      .when(reinstate)
      .thenAppends();
  });

  it('brings a key back as it was, and remembers since when it is back', () => {
    const before = key(rotated(1, at(1), at(DAY))).state;
    const after = key(rotated(1, at(1), at(DAY)), suspended(at(2)), reinstated(at(3))).state;
    expect(after).toStrictEqual({ ...before, reinstatedAt: at(3) });
  });

  it('lets time go on: a key that expired meanwhile comes back expired', () => {
    key(suspended(at(1)), reinstated(at(91 * DAY)))
      .when(rotateKey({ now: at(92 * DAY) }))
      .thenRefuses('KEY_EXPIRED');
  });
});

describe('changing a key', () => {
  const changed = (
    changes: Extract<KeyEvent, { type: 'KeyDetailsChanged' }>['data']['changes'],
    changedAt = at(HOUR),
  ) => ({ type: 'KeyDetailsChanged', data: { keyId: 'key1', changes, changedAt } }) as const;

  it('records what changed, each with before and after, and nothing else', () => {
    key()
      .when(
        change({
          name: 'Payouts',
          owner: { type: 'service', id: 'billing' },
          metadata: { team: 'red' },
          restrictions: { addresses: ['10.0.0.0/8'] },
          expiresAt: at(2 * DAY),
        }),
      )
      .thenAppends(
        changed({
          name: { before: 'Payments', after: 'Payouts' },
          metadata: { before: { team: 'blue' }, after: { team: 'red' } },
          restrictions: { before: {}, after: { addresses: ['10.0.0.0/8'] } },
          expiresAt: { before: at(90 * DAY), after: at(2 * DAY) },
        }),
      );
    key()
      .when(change({ owner: { id: 'ops', type: 'agent' } }))
      .thenAppends(
        changed({ owner: { before: { id: 'billing', type: 'service' }, after: { id: 'ops', type: 'agent' } } }),
      );
  });

  it('appends nothing where nothing changes', () => {
    const same = { name: 'Payments', metadata: { team: 'blue' }, restrictions: {}, expiresAt: at(90 * DAY) };
    key().when(change(same)).thenAppends();
    key().when(change({})).thenAppends();
    // The body of a request may carry members that it leaves open.
    const open = { restrictions: { addresses: undefined, origins: undefined } } as unknown as typeof same;
    key().when(change(open)).thenAppends();
  });

  it('is folded into the state, and only there where something changed', () => {
    const before = key().state;
    const after = key(changed({ metadata: { before: { team: 'blue' }, after: {} } })).state;
    expect(after).toStrictEqual({ ...before, metadata: {} });
    expect(key(changed({ name: { before: 'Payments', after: 'Payouts' } })).state?.name).toBe('Payouts');
  });

  it('brings the expiry forward, never back', () => {
    key()
      .when(change({ expiresAt: at(90 * DAY - 0.001) }))
      .thenAppends(changed({ expiresAt: { before: at(90 * DAY), after: at(90 * DAY - 0.001) } }));
    key()
      .when(change({ expiresAt: at(90 * DAY + 0.001) }))
      .thenRefuses('UNPROCESSABLE', 'expiresAt');
    given(keyDecider, issuedForEver())
      .when(change({ expiresAt: at(2 * DAY) }))
      .thenAppends(changed({ expiresAt: { after: at(2 * DAY) } }));
  });

  it.each([
    ['now', at(HOUR)],
    ['the past', at(HOUR - 1)],
    ['words', 'never'],
    ['another form of instant', '2026-01-05T00:00:00Z'],
    ['a six-digit year', '+010000-01-01T00:00:00.000Z'],
    ['null', null as unknown as string],
  ])('refuses %s as an expiry', (_, expiresAt) => {
    key().when(change({ expiresAt })).thenRefuses('UNPROCESSABLE', 'expiresAt');
    given(keyDecider, issuedForEver()).when(change({ expiresAt })).thenRefuses('UNPROCESSABLE', 'expiresAt');
  });

  it('refuses an expiry at or before notBefore, with which the key would never be good', () => {
    const pending = given(keyDecider, issued({ notBefore: at(DAY) }));
    pending.when(change({ expiresAt: at(DAY - 1) })).thenRefuses('UNPROCESSABLE', 'expiresAt');
    pending.when(change({ expiresAt: at(DAY) })).thenRefuses('UNPROCESSABLE', 'expiresAt');
    expect(pending.when(change({ expiresAt: at(DAY + 1) })).decision.accepted).toBe(true);
  });

  it('does not bring an expired key back to life', () => {
    for (const expiresAt of [at(91 * DAY), at(92 * DAY), at(89 * DAY)]) {
      key()
        .when(change({ expiresAt }, at(91 * DAY)))
        .thenRefuses('KEY_EXPIRED');
    }
    key()
      .when(change({ expiresAt: at(90 * DAY) }, at(91 * DAY)))
      .thenAppends();
  });

  it('cuts the grace that the new expiry would leave behind', () => {
    const { state } = key(
      rotated(1, at(1), at(10 * DAY)),
      changed({ expiresAt: { before: at(90 * DAY), after: at(5 * DAY) } }),
    );
    expect(state?.secrets.map(({ graceEndsAt }) => graceEndsAt)).toEqual([undefined, at(5 * DAY)]);
  });

  it('refuses restrictions that are empty or unreadable, each where it stands', () => {
    key()
      .when(change({ restrictions: { addresses: [], origins: ['*'] } }))
      .thenRefuses('UNPROCESSABLE', 'restrictions.addresses', 'restrictions.origins[0]');
  });

  it('is taken while the key is suspended', () => {
    key(suspended(at(1)))
      .when(change({ name: 'Payouts' }))
      .thenAppends(changed({ name: { before: 'Payments', after: 'Payouts' } }));
  });
});
