/**
 * An instant in UTC, always `YYYY-MM-DDTHH:mm:ss.sssZ`. The fixed width makes text order the order of time, so instants
 * are compared with `<` and stored as they are shown.
 */
export type Instant = string;

/** An ISO-8601 duration of weeks, days, hours, minutes and seconds, e.g. `P90D`, `PT24H`, `P1DT12H`. */
export type Duration = string;

const DURATION = /^P(?!$)(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?$/;

/** The longest duration that is accepted: a hundred years. */
export const MAX_DURATION_SECONDS = 100 * 366 * 86_400;

/**
 * Seconds in an ISO-8601 duration, or `undefined` if the text is none. Years and months are refused: they have no fixed
 * length, and a policy must mean the same on every day.
 */
export function durationSeconds(text: Duration): number | undefined {
  const match = DURATION.exec(text);
  if (!match) return undefined;
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part ?? 0));
  const total = weeks * 604_800 + days * 86_400 + hours * 3_600 + minutes * 60 + seconds;
  return total <= MAX_DURATION_SECONDS ? total : undefined;
}

const INSTANT =
  /^(\d{4})-(\d{2})-(\d{2})T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** The ends of the four-digit years. Beyond them a text would be longer, and no longer in the order of time. */
const FIRST_MILLIS = Date.parse('0000-01-01T00:00:00.000Z');
const LAST_MILLIS = Date.parse('9999-12-31T23:59:59.999Z');

/**
 * The instant that an ISO-8601 date-time with a zone names, in its one stored form, or `undefined` if it names none: a
 * day that its month does not have is refused, not rolled into the next month.
 */
export function parseInstant(text: string): Instant | undefined {
  const match = INSTANT.exec(text);
  if (!match) return undefined;
  const [year, month, day] = match.slice(1).map(Number) as [number, number, number];
  if (day > daysIn(year, month)) return undefined;
  const millis = Date.parse(text);
  return millis >= FIRST_MILLIS && millis <= LAST_MILLIS ? instantOf(millis) : undefined;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/**
 * The instant at a number of milliseconds since the Unix epoch.
 * @throws RangeError outside the years 0000 to 9999
 */
export function instantOf(millis: number): Instant {
  if (!(millis >= FIRST_MILLIS && millis <= LAST_MILLIS)) {
    throw new RangeError(`${millis} ms lies outside the years 0000 to 9999`);
  }
  if (millis !== last.millis) {
    last.instant = new Date(millis).toISOString();
    last.millis = millis;
  }
  return last.instant;
}

/** Of many events in a row that are of the same millisecond each is written once. */
const last = { millis: NaN, instant: '' };

/** The instant `seconds` after (or, negative, before) another, and no further than the years 0000 to 9999 go. */
export function plusSeconds(instant: Instant, seconds: number): Instant {
  const millis = Date.parse(instant) + seconds * 1000;
  if (millis > LAST_MILLIS) return instantOf(LAST_MILLIS);
  return instantOf(millis < FIRST_MILLIS ? FIRST_MILLIS : millis);
}
