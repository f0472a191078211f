import { classifyKey } from '@keyledger/domain/key-format';

/** How long the last part of a key is: secret and checksum. */
export const TAIL = 49;
const SECRET_ID = 12;
const UNDERSCORE = 0x5f;

const BASE62 = 1;
const LOWER_OR_DIGIT = 2;
const LOWER = 4;
const CLASSES = new Uint8Array(256);
for (const byte of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ')) CLASSES[byte] = BASE62;
for (const byte of Buffer.from('0123456789')) CLASSES[byte] = BASE62 | LOWER_OR_DIGIT;
for (const byte of Buffer.from('abcdefghijklmnopqrstuvwxyz')) CLASSES[byte] = BASE62 | LOWER_OR_DIGIT | LOWER;

/**
 * Tells every key of our format whose secret part stands behind a `_` at or behind `from`, by format and checksum, in
 * its order.
 *
 * A key ends in 49 characters of base62 behind a `_`. `_` is rare in most texts, and found at the speed of memory. Behind
 * one, the 49 characters are looked at from the last to the first: where one of them is none of base62 no key can end in
 * between, so that the search goes on from there. That reads a small part also of a text that is full of `_`.
 */
export function findKeys(bytes: Buffer, from: number, found: (start: number, end: number) => void): void {
  const last = bytes.length - 1 - TAIL;
  for (let at = bytes.indexOf(UNDERSCORE, from); at >= 0 && at <= last;) {
    let other = at + TAIL;
    while (other > at && is(bytes, other, BASE62)) other--;
    if (other === at) {
      keyBefore(bytes, at + 1, found);
      other = at + TAIL;
    }
    at = bytes[other] === UNDERSCORE ? other : bytes.indexOf(UNDERSCORE, other + 1);
  }
}

/** The key whose secret part begins here, if what stands before and the checksum say that there is one. */
function keyBefore(bytes: Buffer, secret: number, found: (start: number, end: number) => void): void {
  const idStart = secret - 1 - SECRET_ID;
  if (bytes[idStart - 1] !== UNDERSCORE || runBack(bytes, secret - 2, SECRET_ID, BASE62) !== idStart) return;
  const envStart = runBack(bytes, idStart - 2, 12, LOWER_OR_DIGIT);
  if (idStart - 1 - envStart < 2 || !is(bytes, envStart, LOWER) || bytes[envStart - 1] !== UNDERSCORE) return;
  const prefixEnd = envStart - 1;
  const longest = runBack(bytes, prefixEnd - 1, 14, LOWER_OR_DIGIT);
  const end = secret + TAIL;
  // Anything may stand before the key: the checksum tells where it begins.
  for (let start = longest; start <= prefixEnd - 2; start++) {
    if (is(bytes, start, LOWER) && typeof classifyKey(bytes.toString('latin1', start, end)) === 'object')
      return found(start, end);
  }
}

/** Where the run of a class that ends at `last` begins, of `most` bytes at most; behind `last` if there is none. */
function runBack(bytes: Buffer, last: number, most: number, kind: number): number {
  let start = last + 1;
  while (start > 0 && last + 1 - start < most && is(bytes, start - 1, kind)) start--;
  return start;
}

function is(bytes: Buffer, at: number, kind: number): boolean {
  return ((CLASSES[bytes[at] as number] as number) & kind) !== 0;
}
