/** Protobuf's wire format, as far as the messages of the event store that we read and write ourselves need it. */

/** Walks the fields of one message of protobuf's wire format. */
export class Fields {
  field = 0;
  /** Of a varint. Positions and revisions stay far below 2^53. */
  value = 0;
  private from = 0;
  private to = 0;

  constructor(
    private readonly source: Buffer,
    private at: number,
    private readonly end: number,
  ) {}

  next(): boolean {
    if (this.at >= this.end) return false;
    const tag = this.varint();
    this.field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        this.value = this.varint();
        return true;
      case 1:
        this.at += 8;
        return true;
      case 5:
        this.at += 4;
        return true;
      case 2: {
        const length = this.varint();
        this.from = this.at;
        this.to = this.at + length;
        this.at = this.to;
        if (this.to > this.end) throw new RangeError('a message of the event store ends too early');
        return true;
      }
      default:
        throw new RangeError(`a message of the event store has the unknown wire type ${tag % 8}`);
    }
  }

  inside(): Fields {
    return new Fields(this.source, this.from, this.to);
  }

  text(): string {
    return this.source.toString('utf8', this.from, this.to);
  }

  bytes(): Buffer {
    return this.source.subarray(this.from, this.to);
  }

  /** Whether the field holds exactly these bytes. */
  is(expected: Buffer): boolean {
    if (this.to - this.from !== expected.length) return false;
    for (let index = 0; index < expected.length; index += 1) {
      if (this.source[this.from + index] !== expected[index]) return false;
    }
    return true;
  }

  private varint(): number {
    let value = 0;
    for (let scale = 1; this.at < this.end; scale *= 128) {
      const byte = this.source[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a message of the event store ends within a number');
  }
}

export function uint(field: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(BigInt(field * 8)), varint(BigInt(value))]);
}

export function bytes(field: number, ...parts: Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([varint(BigInt(field * 8 + 2)), varint(BigInt(length)), ...parts]);
}

export const text = (value: string): Buffer => Buffer.from(value, 'utf8');

function varint(value: bigint): Buffer {
  const out: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...out, Number(rest)]);
    out.push(Number(rest & 0x7fn) | 0x80);
  }
}
