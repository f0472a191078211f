import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { repeatedMember } from './json-body.js';

describe('a member that comes twice', () => {
  it.each([
    ['{"a":1,"a":1}', 'a'],
    ['{"a":1, "b":{"c":[{},{"d":1 ,"d" : null}]}}', 'b.c[1].d'],
    ['[[1,2],[{"x":"","y":0,"x":[]}]]', '[1][0].x'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['{"":1,"":2}', ''],
    ['{"a\\"b":1,"c":"\\\\","a\\"b":2}', 'a"b'],
    ['{"keys":[{"name":"a"},{"name":"b","name":"c"}]}', 'keys[1].name'],
  ])('is found in %s', (text, path) => {
    expect(repeatedMember(text)).toBe(path);
  });

  it.each([
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    '{"a":"a","b":"a"}',
    '{"a":"{\\"x\\":1,\\"x\\":2}"}',
    '["a","a","a"]',
    '{"a":"\\\\","b":"\\\\\\"","c":""}',
    '"a"',
    '12',
    '\ufeff{"a":1}',
  ])('is not seen in %s', (text) => {
    expect(repeatedMember(text)).toBeUndefined();
  });

  it('is found exactly where it was put, in whatever JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.string(), fc.boolean(), (value, name, spaced) => {
        const plain = JSON.stringify(value, null, spaced ? 2 : 0);
        expect(repeatedMember(plain)).toBeUndefined();
        const twice = `{"before":${plain},"list":[${plain},{${JSON.stringify(name)}:${plain},"x${'y'.repeat(name.length)}":1,${JSON.stringify(name)}:0}]}`;
        expect(repeatedMember(twice)).toBe(name === '' ? 'list[1].' : `list[1].${name}`);
      }),
    );
  });

  it('costs a hostile text no more than its length', () => {
    const half = 500_000;
    for (const text of [
      `${'['.repeat(half)}${']'.repeat(half)}`,
      JSON.stringify('\\'.repeat(half)),
      JSON.stringify('"'.repeat(half)),
      JSON.stringify(Object.fromEntries(Array.from({ length: half / 10 }, (_, index) => [`n${index}`, 0]))),
    ]) {
      const begun = performance.now();
      expect(repeatedMember(text)).toBeUndefined();
      expect(performance.now() - begun).toBeLessThan(1000);
    }
  });
});
