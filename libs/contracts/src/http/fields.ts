import { Transform } from 'class-transformer';
import { ValidateBy, ValidateIf } from 'class-validator';
import { durationSeconds, parseInstant } from '../time.js';

/** Bounds of what callers may write, so that no event grows without one. */
export const LIMITS = {
  name: 200,
  ownerId: 200,
  email: 254,
  externalId: 200,
  comment: 1024,
  reason: 200,
  justification: 1024,
  scopes: 100,
  scopeLength: 128,
  environments: 20,
  restrictions: 100,
  metadataEntries: 50,
  metadataKey: 64,
  metadataValue: 1024,
  path: 1024,
  bulk: 1000,
  page: 1000,
} as const;

/** May be left out. Unlike class-validator's `IsOptional` it does not let `null` pass for a value. */
export const Optional = (): PropertyDecorator => ValidateIf((_object, value) => value !== undefined);

/** May be left out, or be `null` where `null` has a meaning of its own. */
export const OptionalOrNull = (): PropertyDecorator =>
  ValidateIf((_object, value) => value !== undefined && value !== null);

/** What an enumeration check of class-validator says: that the value is none of these, and which there are. */
export const oneOf = (values: readonly string[]) => ({
  message: 'is none of the values that are possible here',
  context: { fix: `one of ${values.join(', ')}` },
});

/** What a check means as JSON Schema, for the OpenAPI document. */
export type SchemaFacet = Readonly<Record<string, unknown>>;

const facets = new WeakMap<object, Record<string, SchemaFacet>>();

/** The facets of a class's fields, its parents' included. */
export function facetsOf(type: { prototype: object }): Record<string, SchemaFacet> {
  const found: Record<string, SchemaFacet> = {};
  for (let owner: object | null = type.prototype; owner; owner = Object.getPrototypeOf(owner) as object | null) {
    Object.assign(found, { ...facets.get(owner), ...found });
  }
  return found;
}

/** One check with its own words: what is wrong, and what would be right (`context.fix` of the validation error). */
export function check(
  name: string,
  right: (value: unknown) => boolean,
  message: string,
  fix: string,
  facet: SchemaFacet,
): PropertyDecorator {
  const validate = ValidateBy({ name, validator: { validate: right } }, { message, context: { fix } });
  return (target, property) => {
    facets.set(target, { ...facets.get(target), [String(property)]: facet });
    validate(target, property);
  };
}

export function both(...decorators: PropertyDecorator[]): PropertyDecorator {
  return (target, property) => decorators.forEach((decorate) => decorate(target, property));
}

// No control characters, and no lone half of a surrogate pair, which would not survive UTF-8.
const TEXT = /^[^\p{Cc}\p{Cs}]+$/u;

// What can be seen of a line: no breaks, and of the format characters (Cf) those only that are part of how a name is
// written: signs that stand before Arabic or Kaithi digits, and the (non-)joiners inside a word or an emoji. The others
// show nothing, or show the rest in another order than it is in.
const JOINED = '[\\p{L}\\p{M}\\p{N}\\p{Extended_Pictographic}\\p{Emoji_Modifier}]';
const SIGNS = '\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u{110bd}\\u{110cd}';
const SHOWN = new RegExp(`^(?:[^\\p{Cf}\\p{Zl}\\p{Zp}]|[${SIGNS}]|(?<=${JOINED})[\\u200c\\u200d](?=${JOINED}))+$`, 'u');
// Letters and signs that show nothing: the fillers of Hangul and the empty Braille cell.
const BLANK = '\\s\\u115f\\u1160\\u2800\\u3164\\uffa0';
const VISIBLE_ENDS = new RegExp(`^(?![${BLANK}\\p{M}])[^]*(?<![${BLANK}])$`, 'u');

/** One line of 1 to `max` characters that begins and ends with a visible one, and shows all that is in it. */
export const Line = (max: number): PropertyDecorator =>
  check(
    'line',
    (value) =>
      typeof value === 'string' &&
      value.length <= max &&
      TEXT.test(value) &&
      SHOWN.test(value) &&
      VISIBLE_ENDS.test(value),
    `is not a line of visible text of 1 to ${max} characters`,
    `a string of 1 to ${max} characters without line breaks, without spaces around it, and without characters that are ` +
      'invisible or change the direction of text (U+200B, U+202E and their like)',
    { minLength: 1, maxLength: max },
  );

/**
 * A number of a query, where everything is text: in decimal digits and nothing else. The checks of numbers then refuse
 * what stayed a text. Bodies need nothing of the kind, since JSON has numbers.
 */
export const Digits = (): PropertyDecorator =>
  Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value,
  );

const EMAIL = /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)*$/;

/** An e-mail address. Whether anybody reads it, only a message to it can tell. */
export const Email = (): PropertyDecorator =>
  check(
    'email',
    (value) =>
      typeof value === 'string' &&
      value.length <= LIMITS.email &&
      TEXT.test(value) &&
      SHOWN.test(value) &&
      EMAIL.test(value),
    'is not an e-mail address',
    `one address of at most ${LIMITS.email} characters, e.g. "keys@example.com"`,
    { format: 'email', maxLength: LIMITS.email },
  );

// Of the format characters those are refused that make a text read otherwise than it is: overrides, embeddings, isolates.
const PARAGRAPH = /^(?:[^\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]|[\n\t])+$/u;

/** 1 to `max` characters in the order in which they show; the only control characters are line feeds and tabs. */
export const Paragraph = (max: number): PropertyDecorator =>
  check(
    'paragraph',
    (value) => typeof value === 'string' && value.length <= max && PARAGRAPH.test(value),
    `is not a text of 1 to ${max} characters`,
    `a string of 1 to ${max} characters without control characters and without those that change the direction of text`,
    { minLength: 1, maxLength: max },
  );

/** A list of at most `max` lines of at most `length` characters. */
export const Lines = (max: number, length: number): PropertyDecorator =>
  check(
    'lines',
    (value) =>
      Array.isArray(value) &&
      value.length <= max &&
      value.every((item) => typeof item === 'string' && item.length <= length && TEXT.test(item)),
    `is not a list of at most ${max} strings of 1 to ${length} characters`,
    `an array of at most ${max} strings of 1 to ${length} characters`,
    { maxItems: max, items: { type: 'string', minLength: 1, maxLength: length } },
  );

/** An ISO-8601 duration without years and months. */
export const IsDuration = (): PropertyDecorator =>
  check(
    'duration',
    (value) => typeof value === 'string' && durationSeconds(value) !== undefined,
    'is not a usable duration',
    'an ISO-8601 duration of weeks, days, hours, minutes or seconds, e.g. "P90D" or "PT24H"',
    { format: 'duration' },
  );

/** One of a few words, or another word with `:` and an ISO-8601 duration behind it. */
export const IsRule = (words: readonly string[], withDuration: string): PropertyDecorator =>
  check(
    'rule',
    (value) =>
      typeof value === 'string' &&
      (words.includes(value) ||
        (value.startsWith(`${withDuration}:`) && durationSeconds(value.slice(withDuration.length + 1)) !== undefined)),
    'is none of the rules that are possible here',
    `one of ${words.join(', ')}, or "${withDuration}:" and an ISO-8601 duration, e.g. "${withDuration}:PT1H"`,
    { pattern: `^(${words.join('|')}|${withDuration}:P.+)$` },
  );

/** An ISO-8601 instant with its zone; what arrives is its one stored form. */
export const IsInstant = (): PropertyDecorator =>
  both(
    Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? (parseInstant(value) ?? value) : value)),
    check(
      'instant',
      (value) => typeof value === 'string' && parseInstant(value) !== undefined,
      'is not an instant',
      'an ISO-8601 date and time with its zone, e.g. "2030-01-31T12:00:00Z"',
      { format: 'date-time' },
    ),
  );

/** Names that JavaScript objects would take for something else. */
const UNSAFE_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

function isMetadata(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return (
    entries.length <= LIMITS.metadataEntries &&
    entries.every(
      ([name, text]) =>
        !UNSAFE_NAMES.has(name) &&
        name.length <= LIMITS.metadataKey &&
        TEXT.test(name) &&
        typeof text === 'string' &&
        text.length <= LIMITS.metadataValue &&
        !/\p{Cs}|\0/u.test(text),
    )
  );
}

/** Free text by name. Taken from the body as it was written: class-transformer would drop some names in silence. */
export const IsMetadata = (): PropertyDecorator =>
  both(
    Transform(({ obj, key }: { obj: Record<string, unknown>; key: string }) => obj[key]),
    check(
      'metadata',
      isMetadata,
      'is not an object of at most ' +
        `${LIMITS.metadataEntries} strings, with names of 1 to ${LIMITS.metadataKey} and values of at most ${LIMITS.metadataValue} characters`,
      'e.g. {"team": "payments"}; numbers and booleans as strings, nothing nested',
      {
        maxProperties: LIMITS.metadataEntries,
        propertyNames: { minLength: 1, maxLength: LIMITS.metadataKey },
        additionalProperties: { type: 'string', maxLength: LIMITS.metadataValue },
      },
    ),
  );

const HEX = /^[0-9a-fA-F]{64}$/;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;

/** A SHA-256 as hex (64 characters) or as base64 or base64url of its 32 bytes; what arrives is base64url. */
export const IsSha256 = (): PropertyDecorator =>
  both(
    Transform(({ value }: { value: unknown }) => canonicalSha256(value) ?? value),
    check(
      'sha256',
      (value) => canonicalSha256(value) !== undefined,
      'is not a SHA-256',
      'the SHA-256 of the whole key as 64 hex digits, or as base64 or base64url of its 32 bytes',
      { pattern: '^([0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?)$' },
    ),
  );

function canonicalSha256(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const base64 = HEX.test(value) ? base64OfHex(value) : BASE64.test(value) ? value : undefined;
  if (base64 === undefined) return undefined;
  const text = base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=$/, '');
  // 43 characters carry 258 bits; one that sets the last two names the same bytes twice and is refused.
  return 'AEIMQUYcgkosw048'.includes(text.charAt(42)) ? text : undefined;
}

function base64OfHex(hex: string): string {
  const bytes = hex.match(/../g)?.map((pair) => String.fromCharCode(parseInt(pair, 16))) ?? [];
  return btoa(bytes.join(''));
}
