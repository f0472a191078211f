import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { sameJson } from './equality.js';

const parsed = (text: string): unknown => JSON.parse(text);

describe('sameJson', () => {
  it('holds for a value and its copy through JSON, in any order of members', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(sameJson(value, parsed(JSON.stringify(value)))).toBe(true);
        if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
        expect(sameJson(value, Object.fromEntries(Object.entries(value).reverse()))).toBe(true);
      }),
    );
  });

  it('holds for no two values that JSON writes differently, members sorted', () => {
    const small = fc.jsonValue({ maxDepth: 1 });
    const sorted = (value: unknown): string => {
      if (typeof value !== 'object' || value === null) return JSON.stringify(value);
      if (Array.isArray(value)) return `[${value.map(sorted).join()}]`;
      const members = Object.entries(value).map(([name, part]) => `${JSON.stringify(name)}:${sorted(part)}`);
      return `{${members.sort().join()}}`;
    };
    fc.assert(
      fc.property(small, small, (one, other) => {
        expect(sameJson(one, other)).toBe(sorted(one) === sorted(other));
      }),
      { numRuns: 500 },
    );
  });

  it.each<[unknown, unknown, boolean]>([
    [[], {}, false],
    [null, {}, false],
    [[1, 2], [2, 1], false],
    [['a'], ['a', 'b'], false],
    [{ a: 1 }, { a: 1, b: 2 }, false],
    [{ a: 1 }, { b: 1 }, false],
    [0, '0', false],
    [parsed('{"__proto__":"x"}'), {}, false],
    [parsed('{"__proto__":"x"}'), parsed('{"__proto__":"x"}'), true],
    [parsed('{"__proto__":"x"}'), parsed('{"__proto__":"y"}'), false],
    [parsed('{"toString":"x"}'), {}, false],
    [{}, parsed('{"hasOwnProperty":"x"}'), false],
    // What JSON would not write is not there.
    [{ a: undefined }, {}, true],
    [{}, { a: undefined }, true],
    [{ a: undefined, b: 1 }, { b: 1 }, true],
    [{ a: undefined }, { b: 1 }, false],
    [{ a: undefined, b: 1 }, { a: 1, b: undefined }, false],
  ])('%j and %j: %s', (one, other, same) => {
    expect(sameJson(one, other)).toBe(same);
  });
});
