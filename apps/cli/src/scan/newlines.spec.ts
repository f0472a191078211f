import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { lineRoom } from './newlines.js';

it('counts every newline up to a place, and none behind it', () => {
  const room = lineRoom(200);
  const bytes = fc.array(fc.constantFrom(0x0a, 0x0b, 0x00, 0x8a, 0x09, 0xff, 0x20), { maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.nat(200), (values, count) => {
      room.bytes.fill('\n').set(values);
      const expected = [...room.bytes.subarray(0, count)].filter((byte) => byte === 0x0a).length;
      expect(room.newlinesIn(count)).toBe(expected);
    }),
  );
});
