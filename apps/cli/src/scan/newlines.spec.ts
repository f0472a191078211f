import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { newlinesIn } from './newlines.js';

it('counts every newline, however the bytes lie in memory', () => {
  const bytes = fc.array(fc.constantFrom(0x0a, 0x0b, 0x00, 0x8a, 0x09, 0xff, 0x20), { maxLength: 40 });
  fc.assert(
    fc.property(bytes, fc.nat(7), fc.nat(40), (values, offset, most) => {
      const text = Buffer.alloc(offset + values.length).subarray(offset);
      text.set(values);
      const count = Math.min(most, values.length);
      expect(newlinesIn(text, count)).toBe(values.slice(0, count).filter((byte) => byte === 0x0a).length);
    }),
  );
});
