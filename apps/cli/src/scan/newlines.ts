const NEWLINE = 0x0a;
const FOUR_NEWLINES = 0x0a0a0a0a;
const LOW_BITS = 0x7f7f7f7f;
const HIGH_BITS = ~LOW_BITS;
const NONE = new Int32Array(0);

/** How many newlines stand in the first `count` bytes. Four bytes are looked at in one step: most have none. */
export function newlinesIn(bytes: Uint8Array, count: number): number {
  let at = 0;
  let lines = 0;
  for (; at < count && (bytes.byteOffset + at) % 4 !== 0; at++) if (bytes[at] === NEWLINE) lines++;
  const words = at < count ? new Int32Array(bytes.buffer, bytes.byteOffset + at, (count - at) >> 2) : NONE;
  for (let i = 0; i < words.length; i++) {
    const word = (words[i] as number) ^ FOUR_NEWLINES;
    // The high bit of a byte stays unset where the byte is zero, which is where a newline was.
    let others = (((word & LOW_BITS) + LOW_BITS) | word) & HIGH_BITS;
    if (others === HIGH_BITS) continue;
    for (others = ~others & HIGH_BITS; others !== 0; others &= others - 1) lines++;
  }
  for (at += words.length * 4; at < count; at++) if (bytes[at] === NEWLINE) lines++;
  return lines;
}
