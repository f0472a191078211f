import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson, lendCanonical, MAX_JSON_DEPTH, NotJson } from './canonical.js';
import { plainCanonicalJson } from './canonical.spec-support.js';

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

  it('is what the plain reading of RFC 8785 gives, for every value with every name and text', () => {
    fc.assert(fc.property(anything(fc.constantFrom(null, true, -0, 1e21)), isPlain), { numRuns: 500 });
  });

  it('is refused as the plain reading refuses: the same path and the same words', () => {
    const refused = fc.constantFrom<unknown>(undefined, NaN, 1n, Symbol('a'), new Date(0), { [Symbol('b')]: 1 });
    fc.assert(fc.property(anything(refused), isPlain), { numRuns: 500 });
  });

  it('stays the same when more kinds of objects were seen than are remembered, and for names too long to be', () => {
    for (let round = 0; round < 3; round += 1) {
      for (let kind = 0; kind < 3000; kind += 1) isPlain({ b: 1, [`n${kind}`]: 2, a: { [`m${kind}`]: kind, 0: 3 } });
      isPlain(Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`name ${at % 7}/${at}`, at])));
      isPlain({ ['long'.repeat(1000)]: 1, b: 2, ['é'.repeat(1000)]: 3 });
    }
  });

  it('has room for values of any size, ASCII or not, and for small ones after them', () => {
    for (const size of [0, 1, 65_530, 65_535, 65_536, 300_000, 3]) {
      for (const letter of ['a', '"', '€', '😀', '\0']) isPlain({ text: letter.repeat(size), last: [letter] });
    }
  });

  it('is lent as bytes behind those that were asked for, also while other bytes are on loan', () => {
    const value = { b: '€', a: [1, 2] };
    const seen = lendCanonical(value, (bytes) => {
      lendCanonical({ other: 'x'.repeat(100) }, () => undefined);
      return bytes.toString('utf8');
    });
    expect(seen).toBe('{"a":[1,2],"b":"€"}');
    const behind = lendCanonical(value, (bytes) => Buffer.from(bytes), Buffer.of(0, 7));
    expect(behind).toEqual(Buffer.concat([Buffer.of(0, 7), Buffer.from(seen)]));
  });

  it('is right after a value that was refused in its middle', () => {
    expect(refusalOf({ a: ['x'.repeat(500), { b: undefined }] })).toMatchObject({ path: '/a/1/b' });
    expect(canonicalJson({ a: 1 })).toBe('{"a":1}');
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

/** Values of any shape, whose texts and names are whatever UTF-16 can be: controls, halves of pairs, numbers, `__proto__`. */
function anything(special: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const units = fc.constantFrom('a', 'Z', '0', '~', '/', '"', '\\', '\n', '\0', '\u007f', 'é', '€', '\ufb33', 'ud8');
  const text = fc.string({ unit: fc.oneof({ weight: 5, arbitrary: units }, fc.constant('😀')), maxLength: 12 });
  const broken = fc.string({ unit: fc.constantFrom('a', '\ud83d', '\ude00', '\\'), maxLength: 4 });
  const name = fc.oneof(
    { weight: 6, arbitrary: text },
    fc.constantFrom('__proto__', 'constructor', 'toJSON', 'length', '', '0', '1', '10', '9', '-1', '4294967295'),
    { weight: 1, arbitrary: broken },
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      { weight: 3, arbitrary: fc.oneof(text, fc.double(), fc.integer(), fc.boolean()) },
      { weight: 1, arbitrary: fc.oneof(special, broken) },
      { weight: 2, arbitrary: fc.array(tie('value'), { maxLength: 4 }) },
      { weight: 4, arbitrary: fc.array(fc.tuple(name, tie('value')), { maxLength: 6 }).map(objectOf) },
    ),
  }));
  return value;
}

/** With these members of its own, `__proto__` too, in this order. */
function objectOf(members: readonly (readonly [string, unknown])[]): unknown {
  return Object.fromEntries(members);
}

function isPlain(value: unknown): void {
  expect(outcomeOf(canonicalJson, value)).toEqual(outcomeOf(plainCanonicalJson, value));
}

function outcomeOf(write: (value: unknown) => string, value: unknown): object {
  try {
    return { text: write(value) };
  } catch (error) {
    if (!(error instanceof NotJson)) throw error;
    return { path: error.path, message: error.message };
  }
}

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
