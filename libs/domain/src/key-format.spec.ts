import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { base62, checksum, classifyKey, maskOf, mintKey, type RandomBytes } from './key-format.js';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Bytes that look random and are the same in every run: SHA-256 of a seed and a counter. */
function seededBytes(seed: string): RandomBytes {
  let counter = 0;
  let pool = Buffer.alloc(0);
  return (count) => {
    while (pool.length < count) {
      pool = Buffer.concat([pool, createHash('sha256').update(`${seed}:${counter++}`).digest()]);
    }
    const taken = pool.subarray(0, count);
    pool = pool.subarray(count);
    return taken;
  };
}

const name = fc.stringMatching(/^[a-z][a-z0-9]{1,11}$/);
const minted = fc
  .tuple(name, name, fc.string({ minLength: 1 }))
  .map(([prefix, environment, seed]) => mintKey(prefix, environment, seededBytes(seed)));

describe('checksum', () => {
  it.each([
    ['A'.repeat(30), '0uCPlr'],
    ['0'.repeat(30), '2C8GjS'],
    ['0123456789ABCDEFGHIJKLMNOPQRST', '4PMbyp'],
  ])('of %s is %s, as GitHub reckons it', (text, expected) => {
    expect(checksum(text)).toBe(expected);
  });

  it('is CRC-32 as zlib has it, in six base62 characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        const digits = [...checksum(text)].map((digit) => BASE62.indexOf(digit));
        expect(digits).toHaveLength(6);
        expect(digits.reduce((sum, digit) => sum * 62 + digit, 0)).toBe(crc32(text));
      }),
    );
  });

  it('notices every swap and every same change of two characters of a body of 90', () => {
    // CRC is linear: two texts share a CRC exactly if their bitwise difference has the CRC of nothing. A swap changes
    // two places by the same bits, and how far the difference stands from the end is of no account.
    const nothing = crc32(Buffer.alloc(90));
    const unnoticed: string[] = [];
    for (let apart = 1; apart < 90; apart++) {
      for (let bits = 1; bits < 128; bits++) {
        const difference = Buffer.alloc(90);
        difference[89] = bits;
        difference[89 - apart] = bits;
        if (crc32(difference) === nothing) unnoticed.push(`${bits} at a distance of ${apart}`);
      }
    }
    expect(unnoticed).toEqual([]);
  });
});

describe('mintKey', () => {
  it('gives a key that is classified as ours, with the parts it was made of', () => {
    fc.assert(
      fc.property(name, name, fc.string(), (prefix, environment, seed) => {
        const { key, secretId } = mintKey(prefix, environment, seededBytes(seed));
        expect(classifyKey(key)).toEqual({ prefix, environment, secretId });
      }),
    );
  });

  it('gives the parts in their lengths, joined by underscores only', () => {
    const { key } = mintKey('acme', 'live', seededBytes('lengths'));
    expect(key).toMatch(/^acme_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/);
  });

  it('takes the prefix of a publishable key of the longest keyspace', () => {
    const { key } = mintKey('a23456789012pk', 'live', seededBytes('pk'));
    expect(classifyKey(key)).toMatchObject({ prefix: 'a23456789012pk' });
  });

  it('uses fresh bytes for every key', () => {
    const bytes = seededBytes('fresh');
    const keys = Array.from({ length: 500 }, () => mintKey('acme', 'live', bytes).key);
    expect(new Set(keys).size).toBe(500);
    expect(new Set(keys.map((key) => key.split('_')[2])).size).toBe(500);
  });

  it('draws every character equally often', () => {
    const bytes = seededBytes('chi-square');
    const counts = new Map<string, number>([...BASE62].map((digit) => [digit, 0]));
    const draws = 2_000 * 55;
    for (let i = 0; i < 2_000; i++) {
      const [, , secretId = '', secret = ''] = mintKey('kl', 'live', bytes).key.split('_');
      for (const digit of secretId + secret.slice(0, 43)) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    }
    const expected = draws / 62;
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(counts.size).toBe(62);
    // 61 degrees of freedom: 100.9 is exceeded once in a thousand. `byte % 62` without rejection gives over 700 here.
    expect(chiSquare).toBeLessThan(100.9);
  });

  it('gives each of the first 248 bytes its character, four to one, and throws the other eight away', () => {
    const thrownAway = [248, 249, 250, 251, 252, 253, 254, 255];
    for (let byte = 0; byte < 248; byte++) {
      const queue = [...thrownAway, byte, ...Array.from({ length: 200 }, () => 0)];
      const { secretId } = mintKey('kl', 'live', (count) => Uint8Array.from(queue.splice(0, count)));
      expect(secretId).toBe(`${BASE62[byte % 62]}00000000000`);
    }
  });

  it.each([
    ['gives nothing', () => new Uint8Array(0)],
    ['gives only bytes that are thrown away', (count: number) => new Uint8Array(count).fill(255)],
  ])('fails, and does not turn for ever, where the source of randomness %s', (_, source) => {
    expect(() => mintKey('acme', 'live', source)).toThrow(/random/);
  });
});

describe('classifyKey', () => {
  it('does not take a minted key for ours once any one character is another', () => {
    fc.assert(
      fc.property(minted, fc.nat(), fc.integer({ min: 0, max: 127 }), ({ key }, place, code) => {
        const at = place % key.length;
        const other = String.fromCharCode(code);
        fc.pre(other !== key[at]);
        const text = key.slice(0, at) + other + key.slice(at + 1);
        expect(typeof classifyKey(text)).toBe('string');
      }),
      { numRuns: 2_000 },
    );
  });

  it('does not take a minted key for ours once any two characters have changed places', () => {
    fc.assert(
      fc.property(minted, fc.nat(), fc.nat(), ({ key }, one, other) => {
        const [first, last] = [one % key.length, other % key.length].sort((a, b) => a - b) as [number, number];
        fc.pre(key[first] !== key[last]);
        const text = `${key.slice(0, first)}${key[last]}${key.slice(first + 1, last)}${key[first]}${key.slice(last + 1)}`;
        expect(typeof classifyKey(text)).toBe('string');
      }),
      { numRuns: 2_000 },
    );
  });

  it('does not take a minted key for ours with anything cut off, doubled or around it', () => {
    fc.assert(
      fc.property(minted, fc.nat(), ({ key }, place) => {
        const at = place % key.length;
        const texts = [
          key.slice(0, at),
          key.slice(at + 1),
          key.slice(0, at) + key.charAt(at) + key.slice(at),
          `${key}\n`,
          ` ${key}`,
          `${key} `,
          `${key}\0`,
          `Bearer ${key}`,
          `"${key}"`,
          key + key,
        ];
        expect(texts.filter((text) => typeof classifyKey(text) === 'object')).toEqual([]);
      }),
    );
  });

  const { key } = mintKey('acme', 'live', seededBytes('examples'));

  it.each([
    ['with the environment changed', key.replace('_live_', '_test_')],
    ['with the prefix changed', key.replace('acme_', 'beta_')],
    ['made publishable', key.replace('acme_', 'acmepk_')],
    ['with a checksum beyond any CRC', `${key.slice(0, -6)}zzzzzz`],
  ])('calls a key %s broken', (_, text) => {
    expect(classifyKey(text)).toBe('broken');
  });

  it.each([
    ['no text', ''],
    ['fifteen characters', 'a'.repeat(15)],
    ['more than 512 characters', 'a'.repeat(513)],
    ['a blank within', 'sk_abcdefgh ijklmnop'],
    ['a control character', 'sk_abcdefgh\u0007ijklmnop'],
    ['a letter that only looks like ASCII', key.replace('a', '\u0430')],
    ['an emoji', `sk_abcdefghijklmnop\u{1f511}`],
    ['a delete character', 'sk_abcdefghijklmnop\x7f'],
  ])('calls %s junk', (_, text) => {
    expect(classifyKey(text)).toBe('junk');
  });

  it.each([
    ['sixteen visible characters', '!'.repeat(16)],
    ['512 visible characters', '~'.repeat(512)],
    ['a key of ours in capitals', key.toUpperCase()],
    ['a prefix of fifteen characters', key.replace('acme', 'a23456789012345')],
  ])('calls %s foreign', (_, text) => {
    expect(classifyKey(text)).toBe('foreign');
  });
});

describe('maskOf', () => {
  it('shows all but the secret, and of the secret and its checksum the last four characters only', () => {
    fc.assert(
      fc.property(name, name, fc.string(), (prefix, environment, seed) => {
        const made = mintKey(prefix, environment, seededBytes(seed));
        const hidden = made.key.slice(made.key.lastIndexOf('_') + 1);
        expect(made.mask).toBe(`${prefix}_${environment}_${made.secretId}_…${hidden.slice(-4)}`);
        expect(maskOf(made.key)).toBe(made.mask);
        // Four characters of 49, and those are the checksum's: none of the 43 that are the secret.
        expect(hidden).toHaveLength(49);
      }),
    );
  });
});

describe('base62', () => {
  it('gives the same text of the asked length for the same bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 40 }), (bytes, length) => {
        const text = base62(bytes, length);
        expect(text).toHaveLength(length);
        expect([...text].every((digit) => BASE62.includes(digit))).toBe(true);
        expect(base62(bytes, length)).toBe(text);
      }),
    );
  });

  it('keeps different bytes apart where the length can hold them', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(bytes, bytes, (one, other) => {
        expect(base62(one, 22) === base62(other, 22)).toBe(Buffer.from(one).equals(Buffer.from(other)));
      }),
    );
  });
});
