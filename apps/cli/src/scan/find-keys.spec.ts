import { describe, expect, it } from '@jest/globals';
import { maskOf, mintKey } from '@keyledger/domain';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { TextScan, type Match, type ScanRules } from './text-scan.js';

const mint = (prefix = 'acme', environment = 'live') => mintKey(prefix, environment, (count) => randomBytes(count)).key;

function scan(pieces: readonly (string | Buffer)[], rules: Partial<ScanRules> = {}): Match[] {
  const matches: Match[] = [];
  const text = new TextScan({ patterns: [], ...rules }, (match) => matches.push(match));
  for (const piece of pieces) text.feed(Buffer.from(piece as string));
  text.end();
  return matches;
}

/** Cuts a text at places of its own. */
function cut(text: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((start, index) => text.subarray(start, ends[index] ?? text.length));
}

const word = (least: number, most: number) =>
  fc
    .tuple(
      fc.constantFrom(...'abcxyz'),
      fc.string({ unit: fc.constantFrom(...'abc019'), minLength: least, maxLength: most }),
    )
    .map(([first, rest]) => first + rest);
const noise = fc.string({
  unit: fc.constantFrom(
    ...'aZ09_ .-="\n\u00e9{}',
    'abcdefghijklmnopqrstuvwxyz',
    '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  ),
  maxLength: 60,
});
const filling = fc.oneof(
  noise,
  noise.map((text) => text.repeat(400)),
  fc.constant('x'.repeat(10_000)),
);

describe('finding keys in a text', () => {
  it('finds every minted key, whatever stands around it and wherever the pieces are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(word(1, 13), word(1, 11), filling), { minLength: 1, maxLength: 4 }),
        filling,
        fc.array(fc.nat(), { maxLength: 8 }),
        (parts, head, places) => {
          const keys = parts.map(([prefix, environment]) => mint(prefix, environment));
          const text = head + keys.map((key, index) => `${key}${parts[index]?.[2] ?? ''}`).join(' ');
          const found = scan(cut(Buffer.from(text), places)).map(({ key }) => key);
          expect(found).toEqual(keys);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('finds none whose checksum is wrong in any character', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(...'0Aaz9Z'), (place, char) => {
        const key = mint();
        const at = 'acme_live_'.length + (place % (key.length - 'acme_live_'.length));
        const broken = key.slice(0, at) + char + key.slice(at + 1);
        fc.pre(broken !== key && key[at] !== '_');
        expect(scan([`"${broken}"`])).toEqual([]);
      }),
    );
  });

  it('tells line and column as an editor does, and shows a mask only', () => {
    const key = mint();
    const [match] = scan(['first\nüber = "', key, '"\nlast']);
    expect(match).toEqual({ rule: 'keyledger-key', mask: maskOf(key), line: 2, column: 9, key });
  });

  it('counts lines across pieces that are long gone', () => {
    const key = mint();
    const [match] = scan([...Array.from({ length: 50 }, () => 'x\n'.repeat(10_000)), `  ${key}`]);
    expect(match).toMatchObject({ line: 500_001, column: 3 });
  });

  it('leaves out what its line allows, and nothing on the lines around it', () => {
    const [allowed, other] = [mint(), mint()];
    const found = scan([`a = ${allowed} # keyledger:allow (test)\nb = ${other}\n# keyledger:allow\n`]);
    expect(found.map(({ key }) => key)).toEqual([other]);
  });

  it('keeps to the prefixes that are asked for, with their publishable ones', () => {
    const keys = [mint('acme'), mint('acmepk'), mint('other')];
    expect(scan([keys.join('\n')], { prefixes: ['acme'] }).map(({ key }) => key)).toEqual(keys.slice(0, 2));
  });

  it('finds further patterns once each, also across pieces, and shows next to nothing of them', () => {
    const secret = `tok_${'5'.repeat(36)}`;
    const text = Buffer.from(`${'y'.repeat(6000)} ${secret} ${'y'.repeat(6000)}`);
    const patterns = [{ name: 'token', expression: /tok_[0-9]{36}/g }];
    for (const place of [6000, 6010, 6041, 10_000]) {
      const found = scan(cut(text, [place]), { patterns });
      expect(found).toEqual([{ rule: 'token', mask: 'tok_…', line: 1, column: 6002 }]);
    }
  });
});
