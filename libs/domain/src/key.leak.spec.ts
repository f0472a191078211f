import { describe, expect, it } from '@jest/globals';
import type { KeyEvent, KeyLeakReported, LeakRule } from '@keyledger/contracts';
import fc from 'fast-check';
import {
  at,
  DAY,
  given,
  HOUR,
  issued,
  revoked,
  rotated,
  rotateKey,
  secretOf,
  suspended,
} from './decider.spec-support.js';
import { keyDecider } from './key.decider.js';
import { leakResponse, type ReportLeak } from './key.leak.js';

const NOW = at(2 * HOUR);
const first = secretOf(1).secretId;
const second = secretOf(2).secretId;

const report = (changes: Partial<ReportLeak> = {}): ReportLeak => ({
  type: 'ReportLeak',
  leakId: 'leak1',
  secretId: first,
  source: 'github',
  url: 'https://a.example',
  response: 'revoke',
  now: NOW,
  ...changes,
});

const reported = (data: Partial<KeyLeakReported['data']>): KeyEvent => ({
  type: 'KeyLeakReported',
  data: {
    keyId: 'key1',
    secretId: first,
    leakId: 'leak1',
    source: 'github',
    url: 'https://a.example',
    action: 'alerted',
    reportedAt: NOW,
    ...data,
  },
});

describe('a report about a key', () => {
  it('revokes it, where the response says so', () => {
    given(keyDecider, issued())
      .when(report())
      .thenAppends(reported({ action: 'revoked' }), {
        type: 'KeyRevoked',
        data: { keyId: 'key1', reason: 'leaked', comment: 'leak leak1', requestedAt: NOW, revokedAt: NOW },
      });
  });

  it('suspends it; one that is suspended already stays so', () => {
    const action = reported({ action: 'suspended' });
    given(keyDecider, issued())
      .when(report({ response: 'suspend' }))
      .thenAppends(action, {
        type: 'KeySuspended',
        data: { keyId: 'key1', reason: 'leak leak1', suspendedAt: NOW },
      });
    given(keyDecider, issued(), suspended(at(HOUR)))
      .when(report({ response: 'suspend' }))
      .thenAppends(action);
  });

  it('only stands there, where the response is to alert', () => {
    given(keyDecider, issued())
      .when(report({ response: 'alert' }))
      .thenAppends(reported({ action: 'alerted' }));
  });

  it('gives the found secret an end, where the response is to rotate, but never a later one than it has', () => {
    given(keyDecider, issued())
      .when(report({ response: 'rotate:PT1H' }))
      .thenAppends(reported({ action: 'ends-soon', secretEndsAt: at(3 * HOUR) }));
    given(keyDecider, issued({ expiresAt: at(2 * HOUR + 60) }))
      .when(report({ response: 'rotate:PT1H' }))
      .thenAppends(reported({ action: 'ends-soon', secretEndsAt: at(2 * HOUR + 60) }));
    const before = reported({ leakId: 'leak0', action: 'ends-soon', secretEndsAt: at(2 * HOUR + 60) });
    given(keyDecider, issued(), before)
      .when(report({ response: 'rotate:P1D' }))
      .thenAppends(reported({ action: 'ends-soon', secretEndsAt: at(2 * HOUR + 60) }));
  });

  it('ends a secret at once that another has replaced already', () => {
    given(keyDecider, issued(), rotated(1, at(HOUR), at(DAY)))
      .when(report({ response: 'rotate:PT1H' }))
      .thenAppends(reported({ action: 'grace-ended' }), {
        type: 'KeyGraceEnded',
        data: { keyId: 'key1', secretId: first, cause: 'leak', graceEndsAt: at(DAY), endedAt: NOW, evidence: [] },
      });
  });

  it('does nothing to a key or a secret that is over, and says why', () => {
    const none = (because: KeyLeakReported['data']['because']) =>
      reported({ action: 'none', ...(because && { because }) });
    given(keyDecider, issued(), revoked(at(HOUR)))
      .when(report())
      .thenAppends(none('revoked'));
    given(keyDecider, issued({ expiresAt: at(HOUR) }))
      .when(report())
      .thenAppends(none('expired'));
    given(keyDecider, issued(), rotated(1, at(HOUR), at(HOUR + 60)))
      .when(report())
      .thenAppends(none('secret-over'));
    given(keyDecider, issued(), rotated(1, at(60), at(HOUR)), rotated(2, at(HOUR), at(DAY)))
      .when(report())
      .thenAppends(none('secret-over'));
  });

  it('happens once', () => {
    given(keyDecider, issued(), reported({}))
      .when(report({ now: at(DAY) }))
      .thenAppends();
  });

  it('never revokes a publishable key, whatever the response says', () => {
    given(keyDecider, issued({ kind: 'publishable' }))
      .when(report())
      .thenAppends(reported({ action: 'alerted' }));
  });

  it('leaves a secret that ends soon to be rotated by its owner, whose rotation keeps that end', () => {
    const endsSoon = reported({ action: 'ends-soon', secretEndsAt: at(3 * HOUR) });
    given(keyDecider, issued(), endsSoon)
      .when(rotateKey({ graceSeconds: DAY, now: NOW }))
      .thenAppends(rotated(1, NOW, at(3 * HOUR)));
  });

  it('is remembered over one about a secret that was rotated out, as long as its own is the current one', () => {
    const current = reported({ leakId: 'leak2', secretId: second });
    const old = reported({ leakId: 'leak3', secretId: first });
    const events = [issued(), rotated(1, at(HOUR), at(DAY))];
    expect(given(keyDecider, ...events, current, old).state?.leak?.leakId).toBe('leak2');
    expect(given(keyDecider, ...events, old, current).state?.leak?.leakId).toBe('leak2');
  });
});

describe('the response to a leak', () => {
  const secret = { environment: 'live', kind: 'secret' } as const;

  it('is that of the first rule that names the key, else revoke, and alert for a publishable one', () => {
    const leaks: LeakRule[] = [
      { environment: 'test', response: 'alert' },
      { kind: 'secret', environment: 'live', response: 'suspend' },
      { response: 'rotate:PT1H' },
    ];
    expect(leakResponse({ leaks }, { environment: 'test', kind: 'secret' })).toBe('alert');
    expect(leakResponse({ leaks }, secret)).toBe('suspend');
    expect(leakResponse({ leaks }, { environment: 'dev', kind: 'publishable' })).toBe('rotate:PT1H');
    expect(leakResponse({ leaks: [] }, secret)).toBe('revoke');
    expect(leakResponse({ leaks: [] }, { environment: 'live', kind: 'publishable' })).toBe('alert');
  });

  const rules = fc.array(
    fc.record(
      {
        environment: fc.constantFrom('live', 'test'),
        kind: fc.constantFrom('secret' as const, 'publishable' as const),
        response: fc.constantFrom('revoke' as const, 'suspend' as const, 'alert' as const, 'rotate:PT1H' as const),
      },
      { requiredKeys: ['response'] },
    ),
    { maxLength: 6 },
  );
  const environment = fc.constantFrom('live', 'test');

  it('never is to revoke a publishable key, and never anything but an alert for a decoy', () => {
    fc.assert(
      fc.property(rules, environment, (leaks, of) => {
        expect(leakResponse({ leaks }, { environment: of, kind: 'publishable' })).not.toBe('revoke');
        expect(leakResponse({ leaks }, { environment: of, kind: 'secret', decoy: true })).toBe('alert');
      }),
    );
  });

  it('depends on no rule behind the first that names the key', () => {
    fc.assert(
      fc.property(rules, rules, environment, (leaks, more, of) => {
        const key = { environment: of, kind: 'secret' as const };
        const named = leaks.some((rule) => (rule.environment ?? of) === of && (rule.kind ?? 'secret') === 'secret');
        if (named) expect(leakResponse({ leaks: [...leaks, ...more] }, key)).toBe(leakResponse({ leaks }, key));
      }),
    );
  });
});
