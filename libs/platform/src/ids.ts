import { createHash, randomBytes as cryptoBytes } from 'node:crypto';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 22 base62 characters carry 130 bits: as unlikely to meet as a UUID, and selected whole by a double click. */
const ID_LENGTH = 22;

/** Bytes from the system's cryptographic source. */
export const randomBytes = (count: number): Uint8Array => cryptoBytes(count);

/** A fresh id of 22 base62 characters. */
export function newId(): string {
  return base62(cryptoBytes(20));
}

/**
 * The id that a seed always gives, so that a repeated request names the same thing again.
 * @param seed what identifies the intent, e.g. caller and Idempotency-Key; it cannot be read back from the id.
 */
export function idFrom(seed: string): string {
  return base62(createHash('sha256').update(seed).digest());
}

/**
 * The id of a delivery: that of the nth try (from 0) to replace a secret of a key by policy. So whoever goes on with a
 * rotation that another process began finds what was made for it.
 */
export const deliveryIdOf = (keyId: string, previousSecretId: string, nth: number): string =>
  idFrom(`delivery ${keyId} ${previousSecretId} ${nth}`);

/** So often, at most, it is tried to replace one secret. Whoever makes deliveries and whoever lists them go by it. */
export const DELIVERIES_PER_SECRET = 20;

/** A UUID (version 8, RFC 9562 section 5.8) that a seed always gives. */
export function uuidFrom(seed: string): string {
  const bytes = createHash('sha256').update(seed).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** libs/domain has the same digits for keys; platform stands beside the domain and may not lean on it. */
function base62(bytes: Uint8Array): string {
  let value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  let digits = '';
  for (; digits.length < ID_LENGTH; value /= 62n) digits = BASE62.charAt(Number(value % 62n)) + digits;
  return digits;
}
