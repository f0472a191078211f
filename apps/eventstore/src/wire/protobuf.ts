/**
 * The little of protobuf's wire format that the dozen messages of this server need. A 64-bit integer is read as a
 * JavaScript number: revisions and positions stay far below 2^53, and anything above is only ever compared as "huge".
 */

/** The bytes are not what the message's definition allows. Callers answer INVALID_ARGUMENT. */
export class MalformedMessage extends Error {
  override name = 'MalformedMessage';
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** Walks the fields of one message: `while (reader.next()) switch (reader.field) …`. A field not taken is skipped. */
export class FieldReader {
  field = 0;
  #wireType = 0;
  #at = 0;
  #taken = true;

  constructor(private readonly bytes: Buffer) {}

  next(): boolean {
    if (!this.#taken) this.#skip();
    if (this.#at >= this.bytes.length) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.#wireType = tag % 8;
    this.#taken = false;
    return true;
  }

  uint(): number {
    this.#expect(VARINT);
    return this.#varint();
  }

  /** Exact, also where no revision can be. */
  revision(): number | bigint {
    const exact = BigInt.asUintN(64, this.int64());
    return exact > Number.MAX_SAFE_INTEGER ? exact : Number(exact);
  }

  /** The same field as a signed 64-bit integer, exact. */
  int64(): bigint {
    this.#expect(VARINT);
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw new MalformedMessage('a varint is longer than ten bytes');
  }

  boolean(): boolean {
    return this.uint() !== 0;
  }

  /** A view into the message, not a copy. */
  buffer(): Buffer {
    this.#expect(LENGTH_DELIMITED);
    return this.#take(this.#varint());
  }

  text(): string {
    return this.buffer().toString('utf8');
  }

  message(): FieldReader {
    return new FieldReader(this.buffer());
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType) throw new MalformedMessage(`field ${this.field} has wire type ${this.#wireType}`);
    this.#taken = true;
  }

  #skip(): void {
    this.#taken = true;
    switch (this.#wireType) {
      case VARINT:
        this.#varint();
        return;
      case FIXED64:
        this.#take(8);
        return;
      case LENGTH_DELIMITED:
        this.#take(this.#varint());
        return;
      case FIXED32:
        this.#take(4);
        return;
      default:
        throw new MalformedMessage(`field ${this.field} has the unknown wire type ${this.#wireType}`);
    }
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.bytes.length) throw new MalformedMessage(`field ${this.field} ends after the message`);
    const part = this.bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  #byte(): number {
    const byte = this.bytes[this.#at++];
    if (byte === undefined) throw new MalformedMessage('the message ends within a number');
    return byte;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new MalformedMessage('a varint is longer than ten bytes');
  }
}

export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Writes `value` at `at` and returns the offset behind it. */
export function writeVarint(target: Buffer, value: number, at: number): number {
  let rest = value;
  while (rest >= 128) {
    target[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[at++] = rest;
  return at;
}

export const EMPTY = Buffer.alloc(0);

/** One field with an unsigned integer of up to 2^63. */
export function uintField(field: number, value: number): Buffer {
  const tag = field * 8 + VARINT;
  const bytes = Buffer.allocUnsafe(varintLength(tag) + varintLength(value));
  writeVarint(bytes, value, writeVarint(bytes, tag, 0));
  return bytes;
}

/** One field with a signed 64-bit integer (ten bytes where it is negative). */
export function int64Field(field: number, value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  const tag = field * 8 + VARINT;
  const head = Buffer.allocUnsafe(varintLength(tag));
  writeVarint(head, tag, 0);
  return Buffer.concat([head, Buffer.from(bytes)]);
}

/** One length-delimited field: bytes, or a message made of its already encoded fields. */
export function bytesField(field: number, ...parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const tag = field * 8 + LENGTH_DELIMITED;
  const bytes = Buffer.allocUnsafe(varintLength(tag) + varintLength(length) + length);
  let at = writeVarint(bytes, length, writeVarint(bytes, tag, 0));
  for (const part of parts) at += part.copy(bytes, at);
  return bytes;
}

export function textField(field: number, text: string): Buffer {
  return bytesField(field, Buffer.from(text, 'utf8'));
}

/** google.protobuf.Timestamp: seconds and nanoseconds. */
export function timestampField(field: number, epochMs: number): Buffer {
  const seconds = Math.floor(epochMs / 1000);
  return bytesField(field, uintField(1, seconds), uintField(2, (epochMs - seconds * 1000) * 1_000_000));
}

/** A Timestamp or a Duration as milliseconds. */
export function readTimeMs(reader: FieldReader): number {
  let ms = 0;
  while (reader.next()) {
    if (reader.field === 1) ms += Number(reader.int64()) * 1000;
    else if (reader.field === 2) ms += reader.uint() / 1_000_000;
  }
  return ms;
}
