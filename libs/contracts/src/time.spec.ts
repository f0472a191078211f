import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { durationSeconds, instantOf, MAX_DURATION_SECONDS, parseInstant, plusSeconds } from './time.js';

const FIRST = Date.parse('0000-01-01T00:00:00.000Z');
const LAST = Date.parse('9999-12-31T23:59:59.999Z');
const CANONICAL = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const millis = fc.integer({ min: FIRST, max: LAST });

describe('durationSeconds', () => {
  it.each([
    ['PT0S', 0],
    ['P0D', 0],
    ['PT1S', 1],
    ['PT1M', 60],
    ['PT24H', 86_400],
    ['P1D', 86_400],
    ['P2W', 1_209_600],
    ['P90D', 7_776_000],
    ['P1DT12H', 129_600],
    ['P1W1DT1H1M1S', 694_861],
    ['PT007S', 7],
  ])('reads %s as %d seconds', (text, seconds) => {
    expect(durationSeconds(text)).toBe(seconds);
  });

  it.each([
    ['nothing', ''],
    ['no part', 'P'],
    ['no time part', 'PT'],
    ['a T without time', 'P1DT'],
    ['years, which have no fixed length', 'P1Y'],
    ['months, which have no fixed length', 'P1M'],
    ['"1mo"', '1mo'],
    ['a bare number', '90'],
    ['a number without unit', 'PT90'],
    ['a fraction', 'P1.5D'],
    ['a fraction with a comma', 'PT0,5S'],
    ['a sign before', '-P1D'],
    ['a sign within', 'P-1D'],
    ['lower case', 'p90d'],
    ['time units before the T', 'P1H'],
    ['units out of order', 'PT1S1H'],
    ['a unit twice', 'P1D1D'],
    ['blanks around', ' P1D'],
    ['a line end behind', 'P1D\n'],
    ['digits of another script', 'P٣D'],
    ['an exponent', 'P1e3D'],
    ['more than a hundred years', 'P36601D'],
    ['a number beyond its digits', 'PT9999999999S'],
  ])('refuses %s', (_, text) => {
    expect(durationSeconds(text)).toBeUndefined();
  });

  it('accepts a hundred years and not a second more', () => {
    expect(durationSeconds('P36600D')).toBe(MAX_DURATION_SECONDS);
    expect(durationSeconds('P36600DT1S')).toBeUndefined();
  });

  it('adds up its parts, whichever are there', () => {
    const part = fc.option(fc.integer({ min: 0, max: 999 }), { nil: undefined });
    fc.assert(
      fc.property(fc.tuple(part, part, part, part, part), ([w, d, h, m, s]) => {
        const show = (amount: number | undefined, unit: string) => (amount === undefined ? '' : `${amount}${unit}`);
        const time = show(h, 'H') + show(m, 'M') + show(s, 'S');
        const text = `P${show(w, 'W')}${show(d, 'D')}${time && `T${time}`}`;
        const sum = (w ?? 0) * 604_800 + (d ?? 0) * 86_400 + (h ?? 0) * 3_600 + (m ?? 0) * 60 + (s ?? 0);
        expect(durationSeconds(text)).toBe(text === 'P' ? undefined : sum);
      }),
    );
  });

  it('gives whole seconds within its bound, or nothing, for any text at all', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'PTWDHMSY0123456789.-') })), (text) => {
        const seconds = durationSeconds(text);
        if (seconds === undefined) return;
        expect(Number.isInteger(seconds)).toBe(true);
        expect(seconds).toBeGreaterThanOrEqual(0);
        expect(seconds).toBeLessThanOrEqual(MAX_DURATION_SECONDS);
      }),
    );
  });
});

describe('parseInstant', () => {
  it.each([
    ['2026-03-01T10:20:30Z', '2026-03-01T10:20:30.000Z'],
    ['2026-03-01T10:20Z', '2026-03-01T10:20:00.000Z'],
    ['2026-03-01T10:20:30.5Z', '2026-03-01T10:20:30.500Z'],
    ['2026-03-01T10:20:30.123456789Z', '2026-03-01T10:20:30.123Z'],
    ['2026-03-01T10:20:30+05:30', '2026-03-01T04:50:30.000Z'],
    ['2026-03-01T00:00:00-23:59', '2026-03-01T23:59:00.000Z'],
    ['2026-03-01T00:00:00-00:00', '2026-03-01T00:00:00.000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('stores %s as %s', (text, instant) => {
    expect(parseInstant(text)).toBe(instant);
  });

  it.each([
    ['nothing', ''],
    ['a date alone', '2026-03-01'],
    ['a time without a zone', '2026-03-01T10:20:30'],
    ['a day that its month does not have', '2026-02-30T00:00:00Z'],
    ['the 31st of a month of thirty', '2026-04-31T00:00:00Z'],
    ['29 February of a common year', '2026-02-29T00:00:00Z'],
    ['29 February of 1900', '1900-02-29T00:00:00Z'],
    ['day zero', '2026-01-00T00:00:00Z'],
    ['month thirteen', '2026-13-01T00:00:00Z'],
    ['hour 24', '2026-03-01T24:00:00Z'],
    ['a leap second', '2026-06-30T23:59:60Z'],
    ['a zone of a day', '2026-03-01T00:00:00+24:00'],
    ['a zone of sixty minutes', '2026-03-01T00:00:00+01:60'],
    ['what lies in the year 10000 in UTC', '9999-12-31T23:59:59-00:01'],
    ['what lies before the year 0 in UTC', '0000-01-01T00:00:00+00:01'],
    ['a six-digit year', '+010000-01-01T00:00:00Z'],
    ['milliseconds since the epoch', '1772360430000'],
    ['a blank for the T', '2026-03-01 10:20:30Z'],
    ['lower case', '2026-03-01t10:20:30z'],
    ['a line end behind', '2026-03-01T10:20:30Z\n'],
    ['words', 'tomorrow'],
  ])('refuses %s', (_, text) => {
    expect(parseInstant(text)).toBeUndefined();
  });

  it('leaves a stored instant as it is', () => {
    fc.assert(
      fc.property(millis, (at) => {
        expect(parseInstant(instantOf(at))).toBe(instantOf(at));
      }),
    );
  });

  it('gives the canonical form or nothing, whatever the zone', () => {
    const zone = fc
      .tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
      .map(([sign, h, m]) => `${sign}${String(h).padStart(2, '0')}:${String(m).padStart(2, '0')}`);
    const edge = fc.constantFrom(FIRST, LAST, FIRST + 3_600_000, LAST - 3_600_000);
    fc.assert(
      fc.property(fc.oneof(millis, edge), zone, (at, offset) => {
        const instant = parseInstant(instantOf(at).replace('Z', offset));
        if (instant !== undefined) expect(instant).toMatch(CANONICAL);
      }),
    );
  });
});

describe('instants', () => {
  it('stand in text in the order of time', () => {
    fc.assert(
      fc.property(millis, millis, (one, other) => {
        expect(instantOf(one) < instantOf(other)).toBe(one < other);
      }),
    );
  });

  it('have no form outside the years 0 to 9999, where text would leave the order of time', () => {
    expect(() => instantOf(FIRST - 1)).toThrow(RangeError);
    expect(() => instantOf(LAST + 1)).toThrow(RangeError);
    expect(() => instantOf(Number.NaN)).toThrow(RangeError);
    expect(instantOf(FIRST)).toMatch(CANONICAL);
    expect(instantOf(LAST)).toMatch(CANONICAL);
  });

  it('move by seconds, and back', () => {
    expect(plusSeconds('2026-02-28T23:59:59.500Z', 1)).toBe('2026-03-01T00:00:00.500Z');
    expect(plusSeconds('2026-03-01T00:00:00.500Z', -1)).toBe('2026-02-28T23:59:59.500Z');
  });

  it('never move out of their order: a later end than the last instant is the last instant', () => {
    expect(plusSeconds('9999-12-31T00:00:00.000Z', MAX_DURATION_SECONDS)).toBe('9999-12-31T23:59:59.999Z');
    expect(plusSeconds('0000-01-01T00:00:00.000Z', -1)).toBe('0000-01-01T00:00:00.000Z');
    fc.assert(
      fc.property(millis, fc.integer({ min: 0, max: MAX_DURATION_SECONDS }), (at, seconds) => {
        const start = instantOf(at);
        const end = plusSeconds(start, seconds);
        expect(end).toMatch(CANONICAL);
        expect(end >= start).toBe(true);
      }),
    );
  });

  it('do not move by what is no number', () => {
    expect(() => plusSeconds('2026-03-01T00:00:00.000Z', Number.NaN)).toThrow(RangeError);
  });
});
