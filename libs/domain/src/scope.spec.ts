import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { coveredByAny, covers, isScope, MAX_SCOPE_LENGTH } from './scope.js';

const word = fc.constantFrom('a', 'ab', 'b', 'read', 'Read', 'x-1');
const scope = fc
  .tuple(fc.array(word, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([words, wild]) => words.join(':') + (wild ? ':*' : ''));

describe('isScope', () => {
  it.each(['read', 'payments:read', 'payments:*', 'a:b:c:*', 'v1.2_x-y:Z', 'a'.repeat(MAX_SCOPE_LENGTH)])(
    'accepts %s',
    (text) => expect(isScope(text)).toBe(true),
  );

  it.each([
    '',
    '*',
    ':*',
    '*:read',
    'a:*:b',
    'a*',
    'a:b*',
    'a:',
    ':a',
    'a::b',
    'a b',
    'a:b\n',
    ' a',
    'a@acme',
    'a/b',
    '-a',
    '.a',
    '\u0430:read',
    'a\u200b',
    'a'.repeat(MAX_SCOPE_LENGTH + 1),
  ])('refuses %j', (text) => expect(isScope(text)).toBe(false));

  it('answers at once for long texts that nearly fit', () => {
    expect(isScope(`${'a:'.repeat(1_000_000)}!`)).toBe(false);
    expect(isScope(`${'a:'.repeat(60)}!`)).toBe(false);
  });
});

describe('covers', () => {
  it.each<[string, string, boolean]>([
    ['payments:read', 'payments:read', true],
    ['payments:read', 'payments:write', false],
    ['payments:write', 'payments:read', false],
    ['payments:*', 'payments:read', true],
    ['payments:*', 'payments:refunds:read', true],
    ['payments:*', 'payments:refunds:*', true],
    ['payments:*', 'payments:*', true],
    ['payments:*', 'payments', false],
    ['payments:*', 'paymentsx:read', false],
    ['payments:read', 'payments:*', false],
    ['payments:refunds:*', 'payments:*', false],
    ['payments:read', 'Payments:read', false],
    ['payments', 'payments:read', false],
  ])('%s covers %s: %s', (held, wanted, covered) => {
    expect(covers(held, wanted)).toBe(covered);
  });

  it('is an order: each scope covers itself, and what covers one covers all that one covers', () => {
    fc.assert(
      fc.property(scope, scope, scope, (one, two, three) => {
        expect(covers(one, one)).toBe(true);
        if (covers(one, two) && covers(two, three)) expect(covers(one, three)).toBe(true);
        if (covers(one, two) && covers(two, one)) expect(one).toBe(two);
      }),
      { numRuns: 2_000 },
    );
  });

  it('grants nothing where nothing is held', () => {
    expect(coveredByAny([], 'payments:read')).toBe(false);
    expect(coveredByAny(['audit:*', 'payments:*'], 'payments:read')).toBe(true);
  });
});
