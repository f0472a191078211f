/**
 * `@keyledger/domain/key-format` is this file alone, for a program that is short beside the loading of all of domain.
 *
 * The text of a key: `{prefix}_{environment}_{secretId}_{secret}{checksum}`. Base62 has no `_`, so a key splits in one
 * way only and is selected whole by a double click.
 */
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_ID_LENGTH = 12;
/** 43 base62 characters carry 256 bits. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;

export const PUBLISHABLE_SUFFIX = 'pk';
export const PREFIX_PATTERN = /^[a-z][a-z0-9]{1,11}$/;
export const ENVIRONMENT_PATTERN = /^[a-z][a-z0-9]{1,11}$/;

const KEY_SHAPE = /^([a-z][a-z0-9]{1,13})_([a-z][a-z0-9]{1,11})_([0-9A-Za-z]{12})_[0-9A-Za-z]{49}$/;
/** An expression (RE2 and JavaScript alike) that matches the secret keys of a keyspace and little else. */
export function secretKeyPattern(prefix: string, environments: readonly string[]): string {
  const tail = `[0-9A-Za-z]{${SECRET_ID_LENGTH}}_[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}`;
  return `${prefix}_(?:${environments.join('|')})_${tail}`;
}

/** What a key made elsewhere may look like: visible ASCII, long enough to be a secret. */
const FOREIGN_SHAPE = /^[\x21-\x7e]{16,512}$/;

/** Bytes from a cryptographic source, as many as asked for. */
export type RandomBytes = (count: number) => Uint8Array;

export interface MintedKey {
  key: string;
  secretId: string;
  mask: string;
}

export interface ParsedKey {
  prefix: string;
  environment: string;
  secretId: string;
}

/** A new key from fresh random bytes. The caller hands `key` to its owner and forgets it. */
export function mintKey(prefix: string, environment: string, randomBytes: RandomBytes): MintedKey {
  const secretId = randomBase62(SECRET_ID_LENGTH, randomBytes);
  const body = `${prefix}_${environment}_${secretId}_${randomBase62(SECRET_LENGTH, randomBytes)}`;
  const key = body + checksum(body);
  return { key, secretId, mask: maskOf(key) };
}

/**
 * What a presented text is, with no look-up: a key of our format with its parts; `broken`, which has the format but not
 * the checksum; `foreign`, which could be a key made elsewhere; or `junk`.
 */
export function classifyKey(text: string): ParsedKey | 'broken' | 'foreign' | 'junk' {
  const match = KEY_SHAPE.exec(text);
  if (!match) return FOREIGN_SHAPE.test(text) ? 'foreign' : 'junk';
  const at = text.length - CHECKSUM_LENGTH;
  if (checksum(text.slice(0, at)) !== text.slice(at)) return 'broken';
  return { prefix: match[1] as string, environment: match[2] as string, secretId: match[3] as string };
}

/** What may be shown of a key of our format for ever after: all but the secret, and the last four characters. */
export function maskOf(key: string): string {
  return `${key.slice(0, key.lastIndexOf('_') + 1)}…${key.slice(-4)}`;
}

/** CRC-32 (IEEE) of the text's ASCII bytes in base62, left-padded with `0` to six characters. */
export function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = BASE62.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** The last `length` base62 digits of the number that the bytes make; for ids that are derived and carry no secret. */
export function base62(bytes: Uint8Array, length: number): string {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  let digits = '';
  while (digits.length < length) {
    digits = BASE62.charAt(Number(value % 62n)) + digits;
    value /= 62n;
  }
  return digits;
}

/** Draws in which a sound source gives enough usable bytes: one nearly always, never in earnest more than a few. */
const MOST_DRAWS = 16;

/** Each byte below 248 = 4 × 62 gives one character; the others are thrown away, so that no character is likelier. */
function randomBase62(length: number, randomBytes: RandomBytes): string {
  let text = '';
  for (let draw = 0; draw < MOST_DRAWS; draw++) {
    for (const byte of randomBytes(length + 8)) {
      if (byte < 248) text += BASE62.charAt(byte % 62);
      if (text.length === length) return text;
    }
  }
  throw new Error('the source of random bytes is broken: it gives too few that can be used');
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let i = 0; i < text.length; i++) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ text.charCodeAt(i)) & 0xff] as number);
  return (crc ^ 0xffffffff) >>> 0;
}
