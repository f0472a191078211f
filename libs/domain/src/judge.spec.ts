import { describe, expect, it } from '@jest/globals';
import { VERDICT_CODES, type KeyEvent } from '@keyledger/contracts';
import {
  at,
  DAY,
  given,
  HOUR,
  issued,
  issuedForEver,
  reinstated,
  revoked,
  rotated,
  secretOf,
  suspended,
} from './decider.spec-support.js';
import { judge, type JudgeRequest } from './judge.js';
import { keyDecider } from './key.decider.js';
import { stateAt, type KeyState } from './key.state.js';

const keyOf = (...events: KeyEvent[]) => given(keyDecider, ...events).state as KeyState;
const hash = (n: number) => [secretOf(n).hash];
const code = (key: KeyState, now: string, n = 1, request: JudgeRequest = {}) => judge(key, hash(n), request, now).code;

describe('judge', () => {
  const restricted = issued({
    scopes: ['payments:*', 'audit:read'],
    restrictions: { addresses: ['203.0.113.0/24', '2001:db8::/32'], origins: ['https://*.example.com'] },
    notBefore: at(HOUR),
  });
  const good: JudgeRequest = {
    keyspaceId: 'acme',
    environment: 'live',
    clientIp: '203.0.113.9',
    origin: 'https://app.example.com',
    scopes: ['payments:read', 'audit:read'],
  };

  it('says VALID where nothing is against it, and names the secret', () => {
    expect(judge(keyOf(restricted), hash(1), good, at(DAY))).toStrictEqual({
      code: 'VALID',
      secret: { secretId: secretOf(1).secretId },
    });
  });

  it('answers with the first thing that is wrong, in the order of the codes', () => {
    // Each step takes away the fault that decided the step before; all that come after it are still there.
    const wrong = {
      keyspaceId: 'beta',
      environment: 'test',
      clientIp: '198.51.100.1',
      origin: 'https://evil.test',
      scopes: ['x'],
    };
    const inKeyspace = { ...wrong, keyspaceId: 'acme' };
    const fromHere = { ...good, scopes: ['x'] };
    const pendingForEver = { ...restricted, data: { ...restricted.data, notBefore: at(100 * DAY) } } as KeyEvent;
    const steps: [KeyEvent[], JudgeRequest][] = [
      [[pendingForEver, suspended(at(1)), revoked(at(2))], wrong],
      [[pendingForEver, suspended(at(1)), revoked(at(2))], inKeyspace],
      [[pendingForEver, suspended(at(1))], inKeyspace],
      [[pendingForEver], inKeyspace],
      [[restricted], inKeyspace],
    ];
    const now = at(95 * DAY);
    expect(steps.map(([events, request]) => judge(keyOf(...events), hash(1), request, now).code)).toEqual([
      'NOT_FOUND',
      'REVOKED',
      'SUSPENDED',
      'NOT_YET_VALID',
      'EXPIRED',
    ]);
    const inTime = at(DAY);
    const key = keyOf(restricted);
    expect(judge(key, hash(1), inKeyspace, inTime).code).toBe('FORBIDDEN');
    expect(judge(key, hash(1), fromHere, inTime).code).toBe('INSUFFICIENT_SCOPE');
    expect(judge(key, hash(1), good, inTime).code).toBe('VALID');
    expect(VERDICT_CODES.filter((name) => name !== 'RATE_LIMITED' && name !== 'QUOTA_EXCEEDED')).toEqual([
      ...['NOT_FOUND', 'REVOKED', 'SUSPENDED', 'NOT_YET_VALID', 'EXPIRED'],
      ...['FORBIDDEN', 'INSUFFICIENT_SCOPE', 'VALID'],
    ]);
  });

  it('gives away nothing of a key that is not there, not asked for, or not presented', () => {
    const nothing = { code: 'NOT_FOUND' };
    expect(judge(undefined, hash(1), {}, at(1))).toStrictEqual(nothing);
    expect(judge(keyOf(issued()), hash(1), { keyspaceId: 'beta' }, at(1))).toStrictEqual(nothing);
    expect(judge(keyOf(issued(), revoked(at(0))), hash(1), { keyspaceId: 'beta' }, at(1))).toStrictEqual(nothing);
    expect(judge(keyOf(issued()), hash(2), {}, at(1))).toStrictEqual(nothing);
    expect(judge(keyOf(issued()), [], {}, at(1))).toStrictEqual(nothing);
    expect(judge(keyOf(issued()), ['', 'undefined'], {}, at(1))).toStrictEqual(nothing);
    expect(judge(keyOf(issued(), revoked(at(0))), hash(2), {}, at(1))).toStrictEqual(nothing);
  });

  it('takes any one of the hashes that the peppers give', () => {
    expect(judge(keyOf(issued()), ['under another pepper', ...hash(1)], {}, at(1)).code).toBe('VALID');
  });

  it('ends at the instant of expiry itself and begins at that of notBefore itself', () => {
    const key = keyOf(issued({ notBefore: at(HOUR) }));
    expect(code(key, at(HOUR - 0.001))).toBe('NOT_YET_VALID');
    expect(code(key, at(HOUR))).toBe('VALID');
    expect(code(key, at(90 * DAY - 0.001))).toBe('VALID');
    expect(code(key, at(90 * DAY))).toBe('EXPIRED');
    expect(code(keyOf(issuedForEver()), '9999-12-31T23:59:59.999Z')).toBe('VALID');
  });

  it('lets a rotated secret work up to the end of its grace, and says when that is', () => {
    const key = keyOf(issued(), rotated(1, at(HOUR), at(DAY)));
    const { secretId } = secretOf(1);
    expect(judge(key, hash(1), {}, at(DAY - 0.001))).toStrictEqual({
      code: 'VALID',
      secret: { secretId, graceEndsAt: at(DAY) },
    });
    expect(judge(key, hash(1), {}, at(DAY))).toStrictEqual({
      code: 'EXPIRED',
      secret: { secretId, graceEndsAt: at(DAY) },
    });
    expect(code(key, at(DAY), 2)).toBe('VALID');
  });

  it('ends the old secret at once where the grace is nothing', () => {
    const key = keyOf(issued(), rotated(1, at(HOUR), at(HOUR)));
    expect(code(key, at(HOUR), 1)).toBe('EXPIRED');
    expect(code(key, at(HOUR), 2)).toBe('VALID');
  });

  it('ends every secret with the key, however long its grace', () => {
    // An event that no decider of today gives: what happened has happened, and the judge holds all the same.
    const key = keyOf(issued({ expiresAt: at(2 * DAY) }), rotated(1, at(HOUR), at(30 * DAY)));
    expect(code(key, at(2 * DAY - 0.001), 1)).toBe('VALID');
    expect(code(key, at(2 * DAY), 1)).toBe('EXPIRED');
  });

  it('shows no grace beyond an expiry that was brought forward', () => {
    const changes = { expiresAt: { before: at(90 * DAY), after: at(2 * DAY) } };
    const key = keyOf(issued(), rotated(1, at(HOUR), at(10 * DAY)), {
      type: 'KeyDetailsChanged',
      data: { keyId: 'key1', changes, changedAt: at(2 * HOUR) },
    });
    expect(judge(key, hash(1), {}, at(DAY)).secret?.graceEndsAt).toBe(at(2 * DAY));
    expect(code(key, at(2 * DAY), 1)).toBe('EXPIRED');
  });

  it('says EXPIRED to a secret that is over, and what befell the key before that', () => {
    const twice = [rotated(1, at(1), at(DAY)), rotated(2, at(2), at(DAY), secretOf(1).secretId)];
    const { secretId } = secretOf(1);
    expect(judge(keyOf(issued(), ...twice), hash(1), {}, at(3))).toStrictEqual({
      code: 'EXPIRED',
      secret: { secretId },
    });
    expect(code(keyOf(issued(), ...twice, suspended(at(3))), at(4))).toBe('SUSPENDED');
    expect(code(keyOf(issued(), ...twice, revoked(at(3))), at(4))).toBe('REVOKED');
    expect(code(keyOf(issued({ notBefore: at(DAY) }), ...twice), at(4))).toBe('NOT_YET_VALID');
    expect(code(keyOf(issued({ notBefore: at(DAY) }), ...twice), at(DAY))).toBe('EXPIRED');
  });

  it('suspends every secret and brings all back', () => {
    const events = [issued(), rotated(1, at(1), at(DAY)), suspended(at(2))];
    expect([code(keyOf(...events), at(3), 1), code(keyOf(...events), at(3), 2)]).toEqual(['SUSPENDED', 'SUSPENDED']);
    const back = keyOf(...events, reinstated(at(4)));
    expect([code(back, at(5), 1), code(back, at(5), 2)]).toEqual(['VALID', 'VALID']);
  });

  it.each<[string, JudgeRequest, string]>([
    ['another environment', { ...good, environment: 'test' }, 'FORBIDDEN'],
    ['another address', { ...good, clientIp: '203.0.114.1' }, 'FORBIDDEN'],
    ['no address', { environment: 'live', origin: 'https://app.example.com' }, 'FORBIDDEN'],
    ['an unreadable address', { ...good, clientIp: 'localhost' }, 'FORBIDDEN'],
    ['the address mapped into IPv6', { ...good, clientIp: '::ffff:203.0.113.9' }, 'VALID'],
    ['an IPv6 address', { ...good, clientIp: '2001:db8::9' }, 'VALID'],
    ['another origin', { ...good, origin: 'https://example.org' }, 'FORBIDDEN'],
    ['no origin', { environment: 'live', clientIp: '203.0.113.9' }, 'FORBIDDEN'],
    ['a referrer in place of an origin', { ...good, origin: 'https://app.example.com/page?x=1' }, 'VALID'],
    ['no question but where from', { clientIp: '203.0.113.9', origin: 'https://app.example.com' }, 'VALID'],
    ['no scopes asked for', { ...good, scopes: [] }, 'VALID'],
    ['one scope too many', { ...good, scopes: ['payments:read', 'audit:export'] }, 'INSUFFICIENT_SCOPE'],
    ['a wildcard that is held', { ...good, scopes: ['payments:*'] }, 'VALID'],
    ['a wildcard that is not held', { ...good, scopes: ['audit:*'] }, 'INSUFFICIENT_SCOPE'],
  ])('with %s', (_, request, expected) => {
    expect(judge(keyOf(restricted), hash(1), request, at(DAY)).code).toBe(expected);
  });

  it('grants no scope to a key that has none', () => {
    const key = keyOf(issued({ scopes: [] }));
    expect(code(key, at(1), 1, {})).toBe('VALID');
    expect(code(key, at(1), 1, { scopes: ['payments:read'] })).toBe('INSUFFICIENT_SCOPE');
  });
});

describe('stateAt', () => {
  it.each<[string, KeyEvent[], number, string]>([
    ['before notBefore', [issued({ notBefore: at(HOUR) })], HOUR - 1, 'pending'],
    ['at notBefore', [issued({ notBefore: at(HOUR) })], HOUR, 'active'],
    ['before the expiry', [issued()], 90 * DAY - 1, 'active'],
    ['at the expiry', [issued()], 90 * DAY, 'expired'],
    ['suspended before notBefore', [issued({ notBefore: at(HOUR) }), suspended(at(1))], 2, 'suspended'],
    ['suspended beyond the expiry', [issued(), suspended(at(1))], 99 * DAY, 'suspended'],
    ['revoked beyond the expiry', [issued(), revoked(at(1))], 99 * DAY, 'revoked'],
  ])('%s', (_, events, seconds, expected) => {
    expect(stateAt(keyOf(...events), at(seconds))).toBe(expected);
  });
});
