import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { Sealing, SealingUnavailable, type SealingKey } from './sealing.js';

const key = (id: string): SealingKey => ({ id, key: randomBytes(32) });

describe('a sealed text', () => {
  it('is opened for its place under any key that is still configured', () => {
    const [old, current] = [key('k1'), key('k2')];
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (text, place) => {
        const sealed = new Sealing([old]).seal(place, text);
        expect(new Sealing([current, old]).open(place, sealed)).toBe(text);
      }),
    );
  });

  it('is refused for another place, with any character changed, and without its key', () => {
    const sealing = new Sealing([key('k1')]);
    const sealed = sealing.seal('channel a', 'whsec_of_a_channel');
    expect(() => sealing.open('channel b', sealed)).toThrow(SealingUnavailable);
    expect(() => new Sealing([key('k1')]).open('channel a', sealed)).toThrow(SealingUnavailable);
    expect(() => new Sealing([key('k2')]).open('channel a', sealed)).toThrow('"k1" is not configured');
    for (let at = 3; at < sealed.length - 1; at++) {
      const other = sealed.charAt(at) === 'A' ? 'B' : 'A';
      expect(() => sealing.open('channel a', sealed.slice(0, at) + other + sealed.slice(at + 1))).toThrow();
    }
  });

  it('cannot be made without a key, and the error names the variable', () => {
    expect(() => new Sealing([]).seal('channel a', 'x')).toThrow('KEYLEDGER_SEALING_KEYS');
  });
});
