import { describe, expect, it } from '@jest/globals';
import { classifyKey, maskOf, mintKey } from '@keyledger/domain';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { REACH, TextScan, type Match, type ScanRules } from './text-scan.js';

const mint = (prefix = 'acme', environment = 'live') => mintKey(prefix, environment, (count) => randomBytes(count)).key;

function scan(pieces: readonly (string | Buffer)[], rules: Partial<ScanRules> = {}): Match[] {
  const matches: Match[] = [];
  const text = new TextScan({ patterns: [], ...rules }, (match) => matches.push(match));
  for (const piece of pieces) text.feed(Buffer.from(piece as string));
  text.end();
  return matches;
}

/** What is to be found, by the plain reading: the expression at every place, and the checksum. */
function plainly(text: string): { key: string; line: number; column: number }[] {
  const expression = /(?=([a-z][a-z0-9]{1,13}_[a-z][a-z0-9]{1,11}_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}))/g;
  const keys: { key: string; line: number; column: number }[] = [];
  for (const { 1: key = '', index: at } of text.matchAll(expression)) {
    if (typeof classifyKey(key) !== 'object') continue;
    const before = text.slice(0, at);
    const lineStart = before.lastIndexOf('\n') + 1;
    keys.push({ key, line: before.split('\n').length, column: at - lineStart + 1 });
  }
  return keys;
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

/** Keys, what nearly is one, and what misleads a search: runs of every length, `_` beside `_`, parts of keys. */
const part = fc.oneof(
  word(1, 13).map((prefix) => mint(prefix)),
  fc.tuple(word(1, 13), fc.nat(80)).map(([prefix, length]) => mint(prefix).slice(0, length)),
  fc.tuple(word(1, 13), fc.nat(80)).map(([prefix, start]) => mint(prefix).slice(start)),
  fc.constantFrom('_', '__', '\n', ' ', '-', 'a', 'acme_live_', 'x'.repeat(12), 'x'.repeat(48), 'x'.repeat(49)),
  fc.constantFrom(
    '_'.repeat(100),
    '_x'.repeat(60),
    `${'_'.padEnd(13, 'x')}`.repeat(9),
    `${'_'.padEnd(50, 'x')}`.repeat(4),
  ),
  noise,
  fc.tuple(noise, fc.nat(5000)).map(([text, times]) => text.repeat(times / Math.max(1, text.length))),
);

describe('finding keys in a text', () => {
  it('finds exactly what the expression and the checksum find, wherever the pieces are cut', () => {
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 12 }),
        fc.nat(3),
        // More than is looked at in one go.
        fc.nat(300_000),
        fc.array(fc.tuple(fc.boolean(), fc.nat()), { maxLength: 8 }),
        (parts, lines, before, places) => {
          const [head, middle] = [' '.repeat(before) + '\n'.repeat(lines), parts.join('')];
          const text = Buffer.from(head + middle + ' '.repeat(2 * REACH), 'latin1');
          // Anywhere, or so that what is looked at ends among the parts.
          const ends = places.map(([near, place]) =>
            near ? head.length + (place % (middle.length + 1)) + REACH : place % text.length,
          );
          const pieces = cut(text, ends);
          const found = scan(pieces).map(({ key, line, column }) => ({ key, line, column }));
          expect(found).toEqual(plainly(text.toString('latin1')));
        },
      ),
      { numRuns: 300 },
    );
  });

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
