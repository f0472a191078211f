import { classifyKey } from '@keyledger/domain';

/** The longest key there can be: prefix, environment, secret id, secret and checksum with `_` between. */
export const LONGEST_KEY = 14 + 1 + 12 + 1 + 12 + 1 + 49;

const TAIL = 49;
const SECRET_ID = 12;
const UNDERSCORE = 0x5f;

const BASE62 = 1;
const LOWER_OR_DIGIT = 2;
const LOWER = 4;
const CLASSES = Uint8Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return (
    (/[0-9A-Za-z]/.test(char) ? BASE62 : 0) |
    (/[a-z0-9]/.test(char) ? LOWER_OR_DIGIT : 0) |
    (/[a-z]/.test(char) ? LOWER : 0)
  );
});

/**
 * Tells every key of our format whose secret part begins at or behind `from`, by format and checksum, in its order.
 *
 * A key ends in 49 characters of base62 behind a `_`. So of the text only every 49th byte has to be looked at, and more
 * only where one of them is base62: that reads a small part of most files.
 */
export function findKeys(bytes: Uint8Array, from: number, found: (start: number, end: number) => void): void {
  const end = bytes.length;
  /** Where the next run of base62 may begin, and up to where it is known to be one. */
  let begin = from;
  let known = from - 1;
  for (let at = begin + TAIL - 1; at < end; at = begin + TAIL - 1) {
    let back = at;
    while (back > known && ((CLASSES[bytes[back] as number] as number) & BASE62) !== 0) back--;
    if (back > known) {
      begin = back + 1;
      known = at;
      continue;
    }
    if (bytes[begin - 1] === UNDERSCORE) keyBefore(bytes, begin, found);
    let next = at + 1;
    while (next < end && ((CLASSES[bytes[next] as number] as number) & BASE62) !== 0) next++;
    begin = next + 1;
    known = next;
  }
}

/** The key whose secret part begins here, if what stands before and the checksum say that there is one. */
function keyBefore(bytes: Uint8Array, secret: number, found: (start: number, end: number) => void): void {
  const idStart = secret - 1 - SECRET_ID;
  if (bytes[idStart - 1] !== UNDERSCORE || runBack(bytes, secret - 2, SECRET_ID, BASE62) !== idStart) return;
  const envStart = runBack(bytes, idStart - 2, 12, LOWER_OR_DIGIT);
  if (idStart - 1 - envStart < 2 || !is(bytes, envStart, LOWER) || bytes[envStart - 1] !== UNDERSCORE) return;
  const prefixEnd = envStart - 1;
  const longest = runBack(bytes, prefixEnd - 1, 14, LOWER_OR_DIGIT);
  const end = secret + TAIL;
  // Anything may stand before the key: the checksum tells where it begins.
  for (let start = longest; start <= prefixEnd - 2; start++) {
    if (is(bytes, start, LOWER) && typeof classifyKey(latin1(bytes, start, end)) === 'object') return found(start, end);
  }
}

/** Where the run of a class that ends at `last` begins, of `most` bytes at most; behind `last` if there is none. */
function runBack(bytes: Uint8Array, last: number, most: number, kind: number): number {
  let start = last + 1;
  while (start > 0 && last + 1 - start < most && is(bytes, start - 1, kind)) start--;
  return start;
}

function is(bytes: Uint8Array, at: number, kind: number): boolean {
  return ((CLASSES[bytes[at] as number] as number) & kind) !== 0;
}

/** Text in which every byte is one character, so that places in it are places in the bytes. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
