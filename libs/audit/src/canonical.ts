import { orderOf, quoted, type Member } from './canonical-names.js';

/** A value that JSON has. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A value has no canonical JSON; `path` (a JSON Pointer, RFC 6901) says where. */
export class NotJson extends Error {
  override readonly name = 'NotJson';
  constructor(
    readonly path: string,
    problem: string,
  ) {
    super(`${path || 'the value'} ${problem}`);
  }
}

/** Deeper values are refused, long before they would take the stack. */
export const MAX_JSON_DEPTH = 500;

const LONE = 'holds a lone surrogate, which is no Unicode text';
/** What is kept for the next value; room for a larger one is made and forgotten. */
const KEPT_BYTES = 64 * 1024;
/** UTF-8 of a UTF-16 code unit at most. */
const BYTES_PER_UNIT = 3;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const BEGIN_LIST = 0x5b;
const END_LIST = 0x5d;
const BEGIN_MEMBERS = 0x7b;
const END_MEMBERS = 0x7d;

/**
 * The one text of a JSON value (RFC 8785): no white space, members sorted by UTF-16 code units, numbers and strings as
 * ECMAScript writes them.
 * @throws NotJson for what JSON has no word for: undefined (also as a member or a hole), NaN and infinities, bigint,
 * functions, symbols, objects of a class, lone surrogates; and for values deeper than `MAX_JSON_DEPTH`, cycles included
 */
export function canonicalJson(value: unknown): string {
  return lendCanonical(value, (bytes) => bytes.toString('utf8'));
}

/**
 * The UTF-8 of `canonicalJson` until `use` returns: the next value is written over it. Every event goes through here,
 * so nothing is made on the way but bytes: no texts to be joined, no list of places that an error might name.
 * @param first bytes that stand before it
 * @throws NotJson as `canonicalJson`
 */
export function lendCanonical<T>(value: unknown, use: (bytes: Buffer) => T, first?: Uint8Array): T {
  // Taken away while it is in use, should a getter of the value ask for canonical JSON as well.
  const writer = idle ?? new Writer();
  idle = undefined;
  try {
    return use(writer.write(value, first));
  } finally {
    if (writer.capacity <= KEPT_BYTES) idle = writer;
  }
}

let idle: Writer | undefined;

class Writer {
  private bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
  private end = 0;
  /** Names and indices down to the value that is being written. */
  private readonly path: (string | number)[] = [];

  get capacity(): number {
    return this.bytes.length;
  }

  write(value: unknown, first?: Uint8Array): Buffer {
    this.end = 0;
    if (first) this.copy(first);
    this.value(value, 0);
    return this.bytes.subarray(0, this.end);
  }

  private value(value: unknown, depth: number): void {
    switch (typeof value) {
      case 'string':
        this.text(value, depth);
        return;
      case 'number':
        if (!Number.isFinite(value)) throw this.refuse(depth, `is ${value}, which JSON has not`);
        // ECMAScript writes -0 as 0, as section 3.2.2.3 asks.
        this.ascii(String(value));
        return;
      case 'boolean':
        this.ascii(value ? 'true' : 'false');
        return;
      case 'object':
        if (value === null) return this.ascii('null');
        if (depth >= MAX_JSON_DEPTH) throw this.refuse(depth, `is nested deeper than ${MAX_JSON_DEPTH} levels`);
        if (Array.isArray(value)) this.list(value, depth);
        else this.members(value, depth);
        return;
      default: {
        const what = value === undefined ? 'undefined' : `a ${typeof value}`;
        throw this.refuse(depth, `is ${what}, which JSON has not`);
      }
    }
  }

  private list(values: readonly unknown[], depth: number): void {
    this.byte(BEGIN_LIST);
    for (let index = 0; index < values.length; index += 1) {
      this.path[depth] = index;
      if (index > 0) this.byte(COMMA);
      this.value(values[index], depth + 1);
    }
    this.byte(END_LIST);
  }

  private members(value: object, depth: number): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    // JSON.parse of another realm gives objects of another Object.prototype: its own prototype is null all the same.
    const plain = prototype === null || Object.getPrototypeOf(prototype) === null;
    if (!plain || Object.getOwnPropertySymbols(value).length > 0) throw this.refuse(depth, 'is no plain object');
    const members = orderOf(Object.keys(value));
    this.byte(BEGIN_MEMBERS);
    for (let at = 0; at < members.length; at += 1) {
      const { name, opening } = members[at] as Member;
      this.path[depth] = name;
      if (!opening) throw this.refuse(depth + 1, LONE);
      this.copy(opening);
      this.value((value as Record<string, unknown>)[name], depth + 1);
    }
    this.byte(END_MEMBERS);
  }

  /** Printable ASCII without quote and backslash, as most text is, stands as it is. */
  private text(value: string, depth: number): void {
    const { length } = value;
    const bytes = this.room(length + 2);
    let { end } = this;
    bytes[end++] = QUOTE;
    for (let at = 0; at < length; at += 1) {
      const unit = value.charCodeAt(at);
      if (unit < 0x20 || unit > 0x7e || unit === QUOTE || unit === BACKSLASH) return this.escaped(value, depth);
      bytes[end++] = unit;
    }
    bytes[end++] = QUOTE;
    this.end = end;
  }

  private escaped(value: string, depth: number): void {
    const text = quoted(value);
    if (text === undefined) throw this.refuse(depth, LONE);
    this.end += this.room(text.length * BYTES_PER_UNIT).write(text, this.end, 'utf8');
  }

  private ascii(text: string): void {
    const bytes = this.room(text.length);
    for (let at = 0; at < text.length; at += 1) bytes[this.end++] = text.charCodeAt(at);
  }

  private copy(from: Uint8Array): void {
    const bytes = this.room(from.length);
    let { end } = this;
    // They are short: `set` takes longer to begin.
    for (let at = 0; at < from.length; at += 1) bytes[end++] = from[at] as number;
    this.end = end;
  }

  private byte(byte: number): void {
    this.room(1)[this.end++] = byte;
  }

  /** The bytes, with room for so many more. */
  private room(more: number): Buffer {
    if (this.end + more > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (this.end + more));
      larger.set(this.bytes.subarray(0, this.end));
      this.bytes = larger;
    }
    return this.bytes;
  }

  private refuse(depth: number, problem: string): NotJson {
    const names = this.path.slice(0, depth).map((name) => String(name).replaceAll('~', '~0').replaceAll('/', '~1'));
    return new NotJson(names.map((name) => `/${name}`).join(''), problem);
  }
}
