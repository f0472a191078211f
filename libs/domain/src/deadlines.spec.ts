import { describe, expect, it } from '@jest/globals';
import type { Instant, KeyEvent } from '@keyledger/contracts';
import {
  around,
  at,
  DAY,
  given,
  HOUR,
  issued,
  issuedForEver,
  keyspaceWith,
  rotated,
  secretOf,
  START,
  suspended,
} from './decider.spec-support.js';
import { eventsDue, nextDeadline, rotationDue } from './deadlines.js';
import { keyDecider, type KeyCommand } from './key.decider.js';
import type { KeyState } from './key.state.js';

const mark = (now: Instant, where = around()): KeyCommand => ({ type: 'MarkTime', now, ...where });
const expired = (recordedAt: Instant): KeyEvent => ({
  type: 'KeyExpired',
  data: { keyId: 'key1', expiresAt: at(90 * DAY), recordedAt },
});
const warned = (warning: string, announcedAt: Instant): KeyEvent => ({
  type: 'KeyExpiryAnnounced',
  data: {
    keyId: 'key1',
    secretId: secretOf(1).secretId,
    end: 'key',
    endsAt: at(90 * DAY),
    warning,
    announcedAt,
  },
});
const graceWarned = (warning: string, announcedAt: Instant, lastUsedAt?: Instant): KeyEvent => ({
  type: 'KeyExpiryAnnounced',
  data: {
    keyId: 'key1',
    secretId: secretOf(1).secretId,
    end: 'grace',
    endsAt: at(DAY),
    warning,
    ...(lastUsedAt !== undefined && { lastUsedAt }),
    announcedAt,
  },
});
const unusedBoth = [secretOf(2), secretOf(1)].map(({ secretId }) => ({ secretId, count: 0 }));
const graceEnded = (endedAt: Instant, rest: object = {}): KeyEvent => ({
  type: 'KeyGraceEnded',
  data: {
    keyId: 'key1',
    secretId: secretOf(1).secretId,
    cause: 'deadline',
    graceEndsAt: at(DAY),
    endedAt,
    evidence: unusedBoth,
    ...rest,
  },
});
const daily = { every: 'P10D', grace: 'P1D', mode: 'automatic' } as const;
const stateOf = (...events: KeyEvent[]) => given(keyDecider, ...events).state as KeyState;

describe('the end of a key', () => {
  it('is recorded at its time with its time, once', () => {
    given(keyDecider, issued())
      .when(mark(at(90 * DAY)))
      .thenAppends(expired(at(90 * DAY)));
    given(keyDecider, issued())
      .when(mark(at(99 * DAY)))
      .thenAppends(expired(at(99 * DAY)));
    given(keyDecider, issued(), expired(at(90 * DAY)))
      .when(mark(at(91 * DAY)))
      .thenAppends();
  });

  it('is recorded for a suspended key, and not for a revoked one', () => {
    given(keyDecider, issued(), suspended(at(1)))
      .when(mark(at(90 * DAY)))
      .thenAppends(expired(at(90 * DAY)));
    const revoked: KeyEvent = {
      type: 'KeyRevoked',
      data: { keyId: 'key1', reason: 'other', requestedAt: at(1), revokedAt: at(1) },
    };
    given(keyDecider, issued(), revoked)
      .when(mark(at(90 * DAY)))
      .thenAppends();
  });
});

describe('warnings before the end', () => {
  it('come at their offsets, each once', () => {
    given(keyDecider, issued())
      .when(mark(at(60 * DAY)))
      .thenAppends(warned('P30D', at(60 * DAY)));
    given(keyDecider, issued(), warned('P30D', at(60 * DAY)))
      .when(mark(at(82 * DAY)))
      .thenAppends();
    given(keyDecider, issued(), warned('P30D', at(60 * DAY)))
      .when(mark(at(83 * DAY)))
      .thenAppends(warned('P7D', at(83 * DAY)));
  });

  it('that were missed are given as one, the most urgent', () => {
    given(keyDecider, issued())
      .when(mark(at(89.5 * DAY)))
      .thenAppends(warned('P1D', at(89.5 * DAY)));
    given(keyDecider, issued(), warned('P1D', at(89.5 * DAY)))
      .when(mark(at(89.6 * DAY)))
      .thenAppends();
  });

  it('are not given for a bait, nor where they would lie before the key began', () => {
    given(keyDecider, issued({ decoy: true }))
      .when(mark(at(83 * DAY)))
      .thenAppends();
    given(keyDecider, issued({ expiresAt: at(5 * DAY) }))
      .when(mark(at(HOUR)))
      .thenAppends();
  });
});

describe('a grace', () => {
  const overlapping = [issued(), rotated(1, START, at(DAY))] as const;

  it('is warned of at half and at nine tenths, and the second says who still uses the old secret', () => {
    given(keyDecider, ...overlapping)
      .when(mark(at(DAY / 2)))
      .thenAppends(graceWarned('50%', at(DAY / 2)));
    const usage = [{ secretId: secretOf(1).secretId, lastUsedAt: at(20 * HOUR), count: 3 }];
    given(keyDecider, ...overlapping, graceWarned('50%', at(DAY / 2)))
      .when(mark(at(0.9 * DAY), around({}, { usage })))
      .thenAppends(graceWarned('90%', at(0.9 * DAY), at(20 * HOUR)));
  });

  it('ends at its deadline with the evidence, once, however late the job is', () => {
    given(keyDecider, ...overlapping)
      .when(mark(at(3 * DAY)))
      .thenAppends(graceEnded(at(DAY)));
    given(keyDecider, ...overlapping, graceEnded(at(DAY)))
      .when(mark(at(3 * DAY)))
      .thenAppends();
  });

  it('ends early on evidence: the new secret is used and the old was silent for so long', () => {
    const usage = [
      { secretId: secretOf(2).secretId, firstUsedAt: at(HOUR), lastUsedAt: at(5 * HOUR), count: 9 },
      { secretId: secretOf(1).secretId, lastUsedAt: at(2 * HOUR), count: 4 },
    ];
    const idle = around({ endGrace: 'when-idle:PT1H' }, { usage });
    given(keyDecider, ...overlapping)
      .when(mark(at(3 * HOUR - 1), idle))
      .thenAppends();
    given(keyDecider, ...overlapping)
      .when(mark(at(3 * HOUR), idle))
      .thenAppends(graceEnded(at(3 * HOUR), { cause: 'idle', evidence: usage }));
  });

  it('never ends early while nobody uses the new secret', () => {
    const idle = around({ endGrace: 'when-idle:PT1H' });
    for (const hours of [1, 5, 23]) {
      const events = eventsDue(stateOf(...overlapping), idle, at(hours * HOUR));
      expect(events.map(({ type }) => type)).not.toContain('KeyGraceEnded');
    }
  });
});

describe('rotation by policy', () => {
  it('is told to the owner once, and says where it was to be automatic and nobody takes the secret', () => {
    const announced = (dueAt: Instant, fallback: object): KeyEvent => ({
      type: 'KeyRotationAnnounced',
      data: { keyId: 'key1', secretId: secretOf(1).secretId, dueAt, ...fallback, announcedAt: at(10 * DAY) },
    });
    const told = around({ rotation: { ...daily, mode: 'announce' } });
    given(keyDecider, issued())
      .when(mark(at(10 * DAY), told))
      .thenAppends(announced(at(10 * DAY), {}));
    const automatic = around({ rotation: daily });
    const fallback = announced(at(10 * DAY), { fallback: 'no-receiver' });
    given(keyDecider, issued())
      .when(mark(at(10 * DAY), automatic))
      .thenAppends(fallback);
    given(keyDecider, issued(), fallback)
      .when(mark(at(11 * DAY), automatic))
      .thenAppends();
  });

  it('is due by itself where a receiver takes the new secret', () => {
    const automatic = around({ rotation: daily }, { receiver: true });
    expect(rotationDue(stateOf(issued()), automatic, at(10 * DAY - 1))).toBeUndefined();
    expect(rotationDue(stateOf(issued()), automatic, at(10 * DAY))).toEqual(daily);
    expect(rotationDue(stateOf(issued({ rotation: 'none' })), automatic, at(10 * DAY))).toBeUndefined();
    expect(rotationDue(stateOf(issued({ decoy: true })), automatic, at(10 * DAY))).toBeUndefined();
    expect(rotationDue(stateOf(issued()), { ...automatic, archived: true }, at(10 * DAY))).toBeUndefined();
  });

  it('waits for the end of an earlier grace', () => {
    const automatic = around({ rotation: { ...daily, every: 'PT1H' } }, { receiver: true });
    const key = stateOf(issuedForEver(), rotated(1, START, at(DAY)));
    expect(rotationDue(key, automatic, at(2 * HOUR))).toBeUndefined();
    expect(rotationDue(key, automatic, at(DAY))).toBeDefined();
  });
});

describe('a current secret that was found somewhere', () => {
  const found = (secretId = secretOf(1).secretId): KeyEvent => ({
    type: 'KeyLeakReported',
    data: {
      keyId: 'key1',
      secretId,
      leakId: 'leak1',
      source: 'report',
      action: 'ends-soon',
      secretEndsAt: at(2 * HOUR),
      reportedAt: at(HOUR),
    },
  });
  const receiver = around({}, { receiver: true });

  it('is rotated at once with what is left of it as its grace, with no policy and against the rule "none"', () => {
    for (const rest of [{}, { rotation: 'none' as const }]) {
      const key = stateOf(issued(rest), found());
      expect(nextDeadline(key, receiver, at(HOUR))).toBe(at(HOUR));
      expect(rotationDue(key, receiver, at(1.5 * HOUR))).toEqual({
        every: 'PT0S',
        grace: 'PT1800S',
        mode: 'automatic',
      });
      expect(rotationDue(key, receiver, at(3 * HOUR))).toEqual({ every: 'PT0S', grace: 'PT0S', mode: 'automatic' });
    }
  });

  it('is rotated even where an earlier grace still runs and the policy refuses a second rotation', () => {
    const events = [issued(), rotated(1, START, at(DAY)), found(secretOf(2).secretId)];
    expect(rotationDue(stateOf(...events), receiver, at(HOUR))).toBeDefined();
    const command: KeyCommand = {
      type: 'RotateKey',
      keyspace: keyspaceWith({ secondRotation: 'refuse' }),
      secret: secretOf(3),
      graceSeconds: HOUR,
      now: at(HOUR),
    };
    given(keyDecider, ...events)
      .when(command)
      .thenAppends(rotated(2, at(HOUR), at(2 * HOUR), secretOf(1).secretId));
  });

  it('is not rotated for a bait, nor without a receiver, and not a second time', () => {
    expect(rotationDue(stateOf(issued({ decoy: true }), found()), receiver, at(HOUR))).toBeUndefined();
    expect(rotationDue(stateOf(issued(), found()), around(), at(HOUR))).toBeUndefined();
    const replaced = stateOf(issued(), found(), rotated(1, at(HOUR), at(2 * HOUR)));
    expect(rotationDue(replaced, receiver, at(1.5 * HOUR))).toBeUndefined();
  });
});

describe('unused keys', () => {
  const suspend = around({ unused: { after: 'P10D', action: 'suspend' } });

  it('are suspended or told of, counted from their last use', () => {
    given(keyDecider, issued())
      .when(mark(at(10 * DAY), suspend))
      .thenAppends({
        type: 'KeySuspended',
        data: { keyId: 'key1', reason: `unused since ${START}`, suspendedAt: at(10 * DAY) },
      });
    const used = { ...suspend, usage: [{ secretId: secretOf(1).secretId, lastUsedAt: at(DAY), count: 1 }] };
    given(keyDecider, issued())
      .when(mark(at(10 * DAY), used))
      .thenAppends();
    const told: KeyEvent = {
      type: 'KeyUnusedAnnounced',
      data: { keyId: 'key1', unusedSince: START, announcedAt: at(10 * DAY) },
    };
    const announce = around({ unused: { after: 'P10D', action: 'announce' } });
    given(keyDecider, issued())
      .when(mark(at(10 * DAY), announce))
      .thenAppends(told);
    given(keyDecider, issued(), told)
      .when(mark(at(11 * DAY), announce))
      .thenAppends();
  });
});

describe('extending a grace', () => {
  const extend = (secretId: string, now: Instant, length = 'P7D', maxGrace = 'P365D'): KeyCommand => {
    return { type: 'ExtendGrace', secretId, length, maxGrace, now };
  };
  const overlapping = [issued(), rotated(1, START, at(DAY))] as const;
  const old = secretOf(1).secretId;

  it('moves its end on, but never past the key', () => {
    const extended = (after: Instant): KeyEvent => ({
      type: 'KeyGraceExtended',
      data: { keyId: 'key1', secretId: old, before: at(DAY), after, extendedAt: at(HOUR) },
    });
    given(keyDecider, ...overlapping)
      .when(extend(old, at(HOUR)))
      .thenAppends(extended(at(HOUR + 7 * DAY)));
    given(keyDecider, ...overlapping)
      .when(extend(old, at(HOUR), 'P200D'))
      .thenAppends(extended(at(90 * DAY)));
  });

  it('keeps within the longest grace of the policy, counted from the rotation', () => {
    given(keyDecider, ...overlapping)
      .when(extend(old, at(HOUR), 'P7D', 'P2D'))
      .thenAppends({
        type: 'KeyGraceExtended',
        data: { keyId: 'key1', secretId: old, before: at(DAY), after: at(2 * DAY), extendedAt: at(HOUR) },
      });
    given(keyDecider, ...overlapping)
      .when(extend(old, at(HOUR), 'P7D', 'P1D'))
      .thenAppends();
  });

  it.each([1, 2])('does nothing where secret %i of the key was found', (found) => {
    const { secretId } = secretOf(found);
    const data = {
      keyId: 'key1',
      secretId,
      leakId: 'leak1',
      source: 'report',
      action: 'alerted',
      reportedAt: START,
    } as const;
    given(keyDecider, ...overlapping, { type: 'KeyLeakReported', data })
      .when(extend(old, at(HOUR)))
      .thenAppends();
  });

  it('does nothing for a grace that is over, a current secret, or a shorter end', () => {
    for (const command of [
      extend(old, at(DAY)),
      extend(secretOf(2).secretId, at(HOUR)),
      extend(old, at(HOUR), 'PT1H'),
      extend('another', at(HOUR)),
    ]) {
      given(keyDecider, ...overlapping)
        .when(command)
        .thenAppends();
    }
  });
});
