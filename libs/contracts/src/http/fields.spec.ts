import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { plainToInstance, Type } from 'class-transformer';
import { IsObject, validateSync, ValidateNested } from 'class-validator';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import {
  IsDuration,
  IsInstant,
  IsMetadata,
  IsSha256,
  LIMITS,
  Line,
  Lines,
  Optional,
  OptionalOrNull,
  Paragraph,
} from './fields.js';

class Inner {
  @Line(3)
  text: string;
}

class Probe {
  @Optional()
  @Line(10)
  line?: string;
  @Optional()
  @Paragraph(10)
  paragraph?: string;
  @Optional()
  @Lines(2, 3)
  lines?: string[];
  @Optional()
  @IsDuration()
  duration?: string;
  @OptionalOrNull()
  @IsInstant()
  instant?: string | null;
  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;
  @Optional()
  @IsSha256()
  sha256?: string;
  @Optional()
  @IsObject()
  @ValidateNested()
  @Type(() => Inner)
  inner?: Inner;
}

function read(body: object): { value: Probe; wrong: string[] } {
  const value = plainToInstance(Probe, body);
  return { value, wrong: validateSync(value).map(({ property }) => property) };
}

describe('fields that are left out', () => {
  it('are not looked at, while null is a value and mostly a wrong one', () => {
    expect(read({}).wrong).toEqual([]);
    expect(read({ instant: null }).wrong).toEqual([]);
    for (const name of ['line', 'paragraph', 'lines', 'duration', 'metadata', 'sha256', 'inner']) {
      expect(read({ [name]: null }).wrong).toEqual([name]);
    }
  });
});

it.each([
  ['line', ['', ' a', 'a ', 'a\nb', 'a\u0000', 'x'.repeat(11), 7, {}, [], '\ud800']],
  ['paragraph', ['', 'a\r', 'a\u0007', 'a\u202eb', 'a\u2067b\u2069', 'x'.repeat(11), true]],
  ['lines', ['a', ['a', 'b', 'c'], ['abcd'], [1], [''], { 0: 'a' }]],
  ['duration', ['P1Y', 'P1M', '90 days', 90, 'P', 'PT', '-P1D']],
  ['instant', ['2030-01-01', '2030-01-01T00:00:00', 'tomorrow', 0, '2030-13-01T00:00:00Z']],
  ['sha256', ['', 'ab', 'g'.repeat(64), 'A'.repeat(44), `${'A'.repeat(42)}B`, 5]],
  ['inner', ['a', 1, [], [{ text: 'a' }], { text: 'long' }, {}]],
])('%s refuses what is not usable', (name, values) => {
  for (const value of values) expect({ value, wrong: read({ [name]: value }).wrong }).toEqual({ value, wrong: [name] });
});

describe('a line shows all that is in it', () => {
  it.each([
    ['nothing but a zero-width space', '\u200b'],
    ['nothing but joiners', '\u200d\u200c'],
    ['nothing but a filler of Hangul', '\u3164'],
    ['nothing but an empty Braille cell', '\u2800'],
    ['nothing but a mark', '\u0301'],
    ['nothing but a variation selector', '\ufe0f'],
    ['nothing but an ideographic space', '\u3000'],
    ['a zero-width space within', 'ac\u200bme'],
    ['a soft hyphen', 'ac\u00adme'],
    ['a byte order mark', '\ufeffacme'],
    ['a word joiner', 'ac\u2060me'],
    ['an override of direction', 'a\u202egpj.x'],
    ['an isolate', 'a\u2067b\u2069'],
    ['a mark of direction', 'acme\u200f'],
    ['letters of tags', 'a\u{e0061}'],
    ['a line separator', 'a\u2028b'],
    ['a paragraph separator', 'a\u2029b'],
    ['a joiner at its end', 'acme\u200d'],
    ['a joiner at its beginning', '\u200cacme'],
    ['a joiner beside a space', 'a \u200db'],
    ['two joiners', 'a\u200d\u200db'],
  ])('and is refused with %s', (_, line) => {
    expect(read({ line }).wrong).toEqual(['line']);
  });

  it.each([
    ['Persian with a non-joiner', 'می\u200cخواهم'],
    ['Sinhala with a joiner', 'ශ්\u200dරී'],
    ['an emoji of two', '👩🏽\u200d💻 a'],
    ['an emoji with a selector', '❤\ufe0f\u200d🔥'],
    ['an Arabic number sign', '\u0600١٢'],
    ['Hangul', '한글 이름'],
    ['marks on letters', 'e\u0308 नमस्ते'],
    ['right to left', 'שלום'],
  ])('and is taken in %s', (_, line) => {
    expect(read({ line }).wrong).toEqual([]);
  });
});

it('an instant arrives in its one stored form', () => {
  expect(read({ instant: '2030-01-01T02:00+02:00' })).toEqual({
    value: expect.objectContaining({ instant: '2030-01-01T00:00:00.000Z' }),
    wrong: [],
  });
});

it('a SHA-256 is the same in hex, base64 and base64url', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 64 }), (bytes) => {
      const digest = createHash('sha256').update(bytes).digest();
      const forms = [digest.toString('hex'), digest.toString('base64'), digest.toString('base64url')];
      for (const form of [...forms, forms[0]?.toUpperCase()]) {
        expect(read({ sha256: form })).toEqual({
          value: expect.objectContaining({ sha256: digest.toString('base64url') }),
          wrong: [],
        });
      }
    }),
  );
});

describe('metadata', () => {
  const of = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, '']));

  it('holds at most 50 strings under short names', () => {
    expect(read({ metadata: of(LIMITS.metadataEntries) }).wrong).toEqual([]);
    expect(read({ metadata: { ['n'.repeat(64)]: 'v'.repeat(1024) } }).wrong).toEqual([]);
    for (const metadata of [
      of(51),
      { ['n'.repeat(65)]: '' },
      { a: 'v'.repeat(1025) },
      { a: 1 },
      { a: {} },
      [],
      'x',
      { '': 'a' },
    ]) {
      expect({ metadata, wrong: read({ metadata }).wrong }).toEqual({ metadata, wrong: ['metadata'] });
    }
  });

  it('arrives as it was written, under whatever name', () => {
    const metadata = { toString: 'x', 'a b': 'ü', length: '0' };
    expect(read({ metadata }).value.metadata).toEqual(metadata);
  });

  it('refuses names that JavaScript would take for something else', () => {
    expect(read({ metadata: JSON.parse('{"__proto__": "x"}') as object }).wrong).toEqual(['metadata']);
  });
});
