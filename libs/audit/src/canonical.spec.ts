import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson, MAX_JSON_DEPTH, NotJson } from './canonical.js';

describe('canonical JSON', () => {
  it('is the example of RFC 8785 section 3.2.2', () => {
    const value = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    );
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts members by UTF-16 code units, as in RFC 8785 section 3.2.3', () => {
    const value = { '€': 1, '\r': 2, '\ufb33': 3, '1': 4, '😀': 5, '\u0080': 6, ö: 7 };
    expect(Object.values(JSON.parse(canonicalJson(value)) as object)).toHaveLength(7);
    expect(canonicalJson(value)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}');
  });

  it.each([
    [-0, '0'],
    [5e-324, '5e-324'],
    [1.7976931348623157e308, '1.7976931348623157e+308'],
    [9007199254740992, '9007199254740992'],
    [295147905179352830000, '295147905179352830000'],
    [1e21, '1e+21'],
    [9.999999999999997e22, '9.999999999999997e+22'],
    [0.000001, '0.000001'],
    [1e-7, '1e-7'],
  ])('writes the number %p as RFC 8785 appendix B does', (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  it('says the same value, and is the same whatever the order of members was', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4, noUnicodeString: false }), (value) => {
        fc.pre(!/\p{Surrogate}/u.test(JSON.stringify(value)) && !JSON.stringify(value).includes('\\ud'));
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(reversed(value))).toBe(text);
      }),
    );
  });

  it.each<[string, unknown, string]>([
    ['undefined', undefined, ''],
    ['an undefined member', { a: { 'b/~': undefined } }, '/a/b~1~0'],
    ['a hole', Object.assign([1], { 2: 3 }), '/1'],
    ['NaN', { a: [NaN] }, '/a/0'],
    ['Infinity', -Infinity, ''],
    ['a bigint', [1n], '/0'],
    ['a function', () => 1, ''],
    ['a symbol', Symbol('a'), ''],
    ['a Date', { at: new Date(0) }, '/at'],
    ['a Map', new Map(), ''],
    ['bytes', Buffer.from('a'), ''],
    ['a lone surrogate', { a: 'x\ud800' }, '/a'],
    ['a lone surrogate in a name', { '\udc00': 1 }, '/\udc00'],
  ])('is refused for %s, by its path', (_, value, path) => {
    expect(refusalOf(value)).toMatchObject({ name: 'NotJson', path });
  });

  it('is refused for a cycle and for absurd depth, without taking the stack', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    let deep: unknown = 1;
    for (let depth = 0; depth <= MAX_JSON_DEPTH; depth += 1) deep = [deep];
    for (const value of [cycle, deep]) expect(refusalOf(value)).toBeInstanceOf(NotJson);
  });
});

function refusalOf(value: unknown): unknown {
  try {
    return canonicalJson(value);
  } catch (error) {
    return error;
  }
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, member]) => [name, reversed(member)]),
  );
}
