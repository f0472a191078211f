const NEWLINE = 0x0a;
const STEP_BYTES = 16;
const PAGE_BYTES = 1 << 16;

/** A buffer whose newlines can be counted fast. */
export interface LineRoom {
  readonly bytes: Buffer;
  /** How many newlines stand in the first `count` bytes. */
  newlinesIn(count: number): number;
}

/** A room of at least so many bytes, in WebAssembly memory: there, sixteen bytes are looked at in one step. */
export function lineRoom(size: number): LineRoom {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / PAGE_BYTES) });
  const newlinesBefore = new WebAssembly.Instance(COUNTING, { room: { memory } }).exports['newlines'] as (
    count: number,
  ) => number;
  const bytes = Buffer.from(memory.buffer, 0, size);
  return {
    bytes,
    newlinesIn: (count) => {
      const steps = count - (count % STEP_BYTES);
      let lines = steps > 0 ? newlinesBefore(steps) : 0;
      for (let at = steps; at < count; at++) if (bytes[at] === NEWLINE) lines++;
      return lines;
    },
  };
}

/**
 * ```wat
 * (module
 *   (import "room" "memory" (memory 1))
 *   (func (export "newlines") (param $count i32) (result i32) (local $lines i32)
 *     (loop $again
 *       (local.set $count (i32.sub (local.get $count) (i32.const 16)))
 *       (local.set $lines (i32.add (local.get $lines)
 *         (i32.popcnt (i8x16.bitmask (i8x16.eq
 *           (v128.load (local.get $count))
 *           (i8x16.splat (i32.const 10)))))))
 *       (br_if $again (local.get $count)))
 *     (local.get $lines)))
 * ```
 * `$count` is a multiple of 16 and not 0: the bytes are looked at from the last to the first.
 */
const COUNTING = new WebAssembly.Module(
  Buffer.from(
    [
      '0061736d 01000000', // magic, version
      '01 06 01 60 01 7f 01 7f', // types: (i32) -> i32
      '02 10 01 04 726f6f6d 06 6d656d6f7279 02 00 01', // imports: "room" "memory", at least a page
      '03 02 01 00', // functions: one, of that type
      '07 0c 01 08 6e65776c696e6573 00 00', // exports: "newlines"
      '0a 2a 01 28 01 01 7f', // code: one body, one local i32
      '03 40', // loop
      '20 00 41 10 6b 21 00', // $count -= 16
      '20 01', // $lines
      '20 00 fd 00 04 00', // v128.load
      '41 0a fd 0f', // i8x16.splat of a newline
      'fd 23 fd 64 69', // i8x16.eq, i8x16.bitmask, i32.popcnt
      '6a 21 01', // $lines +=
      '20 00 0d 00', // br_if
      '0b 20 01 0b', // end, $lines, end
    ]
      .join('')
      .replaceAll(' ', ''),
    'hex',
  ),
);
