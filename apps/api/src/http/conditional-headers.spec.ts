import { describe, expect, it } from '@jest/globals';
import { RefusalError } from '@keyledger/platform';
import { parseIdempotencyKey, parseIfMatch } from './conditional-headers.js';

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error instanceof RefusalError ? error.refusal.code : String(error);
  }
}

describe('Idempotency-Key', () => {
  it('is the same key, quoted as the draft has it or bare', () => {
    expect(parseIdempotencyKey('"8e03978e-40d5-43dd"')).toBe('8e03978e-40d5-43dd');
    expect(parseIdempotencyKey('8e03978e-40d5-43dd')).toBe('8e03978e-40d5-43dd');
    expect(parseIdempotencyKey('"a\\"b\\\\c"')).toBe('a"b\\c');
    expect(parseIdempotencyKey(undefined)).toBeUndefined();
  });

  it.each(['', '""', ' ', '"open', 'two words', 'a, b', '"a"; q=1', 'x'.repeat(256), `"${'x'.repeat(256)}"`, 'ä'])(
    'refuses %j, naming the header',
    (header) => {
      expect(codeOf(() => parseIdempotencyKey(header))).toBe('INVALID');
    },
  );

  it('takes 255 characters, and not two headers', () => {
    expect(parseIdempotencyKey('x'.repeat(255))).toHaveLength(255);
    expect(codeOf(() => parseIdempotencyKey(['a', 'b']))).toBe('INVALID');
  });
});

describe('If-Match', () => {
  it('names a revision by its strong tag; * and no header name none', () => {
    expect(parseIfMatch('"0"')).toBe(0);
    expect(parseIfMatch(' "17" ')).toBe(17);
    expect(parseIfMatch('*')).toBeUndefined();
    expect(parseIfMatch(undefined)).toBeUndefined();
  });

  it.each(['17', '"x"', '"1", "2"', '"-1"', '""'])('refuses %j as unreadable', (header) => {
    expect(codeOf(() => parseIfMatch(header))).toBe('INVALID');
  });

  it('never matches by a weak tag', () => {
    expect(codeOf(() => parseIfMatch('W/"17"'))).toBe('PRECONDITION_FAILED');
  });
});
