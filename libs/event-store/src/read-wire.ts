/** The two messages of a read, `event_store.client.streams.ReadReq` and `ReadResp`, as far as this reads them. */

export type ReadDirection = 'forwards' | 'backwards';

/** Where a read begins and how much it brings at most. */
export interface ReadSpec {
  direction: ReadDirection;
  /** `$all` by positions with name prefixes, or one stream by revisions. */
  of: { streamPrefixes: readonly string[] } | { stream: string };
  /** `$all`: inclusive forwards, exclusive backwards; a stream: inclusive. */
  from: bigint | 'start' | 'end';
  limit?: number;
}

/** As the official client gives an event, so that one codec reads both. */
export interface RawResolved {
  event?: RawRecorded;
  link?: RawRecorded;
  commitPosition?: bigint;
}

export interface RawRecorded {
  id: string;
  streamId: string;
  revision: bigint;
  type: string;
  isJson: boolean;
  data: unknown;
  metadata: unknown;
  created: Date;
  position: { commit: bigint; prepare: bigint };
}

const EVERYTHING = 2 ** 53 - 1;
/** How many events a filtered read looks at before it says something. */
const SEARCH_WINDOW = 1000;

export function encodeReadRequest({ direction, of, from, limit = EVERYTHING }: ReadSpec): Buffer {
  const inStream = 'stream' in of;
  const place =
    from === 'start'
      ? bytes(inStream ? 3 : 2)
      : from === 'end'
        ? bytes(inStream ? 4 : 3)
        : inStream
          ? uint(2, from)
          : bytes(1, uint(1, from), uint(2, from));
  const what = inStream ? bytes(1, bytes(1, bytes(3, text(of.stream))), place) : bytes(2, place);
  const filter = inStream
    ? bytes(8)
    : bytes(
        7,
        bytes(1, ...of.streamPrefixes.map((prefix) => bytes(2, text(prefix)))),
        uint(3, SEARCH_WINDOW),
        uint(5, 1),
      );
  const parts = [what, uint(3, direction === 'backwards' ? 1 : 0), uint(5, limit), filter, bytes(9, bytes(2))];
  return bytes(1, ...parts);
}

/** An event, or news that there is none; `undefined` for other news. */
export function decodeReadResponse(message: Buffer): RawResolved | 'stream-not-found' | undefined {
  const fields = new Fields(message, 0, message.length);
  while (fields.next()) {
    if (fields.field === 4) return 'stream-not-found';
    if (fields.field === 1) return resolved(fields.inside());
  }
  return undefined;
}

function resolved(fields: Fields): RawResolved {
  const found: RawResolved = {};
  while (fields.next()) {
    if (fields.field === 1) found.event = recorded(fields.inside());
    else if (fields.field === 2) found.link = recorded(fields.inside());
    else if (fields.field === 3) found.commitPosition = BigInt(fields.value);
  }
  return found;
}

function recorded(fields: Fields): RawRecorded {
  let [id, streamId, type, contentType, created] = ['', '', '', '', ''];
  let [revision, prepare, commit] = [0, 0, 0];
  let data: Buffer = EMPTY;
  let metadata: Buffer = EMPTY;
  while (fields.next()) {
    switch (fields.field) {
      case 1:
        id = inner(fields, 2);
        break;
      case 2:
        streamId = inner(fields, 3);
        break;
      case 3:
        revision = fields.value;
        break;
      case 4:
        prepare = fields.value;
        break;
      case 5:
        commit = fields.value;
        break;
      case 6: {
        const name = inner(fields, 1);
        if (name === 'type') type = inner(fields, 2);
        else if (name === 'created') created = inner(fields, 2);
        else if (name === 'content-type') contentType = inner(fields, 2);
        break;
      }
      case 7:
        metadata = fields.bytes();
        break;
      case 8:
        data = fields.bytes();
    }
  }
  const isJson = contentType === 'application/json';
  return {
    id,
    streamId,
    revision: BigInt(revision),
    type,
    isJson,
    data: isJson ? jsonIn(data, () => data.toString('utf8')) : Uint8Array.from(data),
    metadata: metadata.length === 0 ? undefined : jsonIn(metadata, () => Uint8Array.from(metadata)),
    created: new Date(Math.floor(Number(created) / TICKS_PER_MILLISECOND)),
    position: { commit: BigInt(commit), prepare: BigInt(prepare) },
  };
}

const EMPTY = Buffer.alloc(0);
/** .NET ticks of 100 ns. 16 digits: a double holds them with room to spare until the year 2255. */
const TICKS_PER_MILLISECOND = 10_000;

function inner(fields: Fields, wanted: number): string {
  const nested = fields.inside();
  while (nested.next()) if (nested.field === wanted) return nested.text();
  return '';
}

function jsonIn(value: Buffer, otherwise: () => unknown): unknown {
  try {
    return JSON.parse(value.toString('utf8')) as unknown;
  } catch {
    return otherwise();
  }
}

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

  private varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.source[this.at++];
      if (byte === undefined) throw new RangeError('a message of the event store ends within a number');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }
}

function uint(field: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(BigInt(field * 8)), varint(BigInt(value))]);
}

function bytes(field: number, ...parts: Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([varint(BigInt(field * 8 + 2)), varint(BigInt(length)), ...parts]);
}

const text = (value: string): Buffer => Buffer.from(value, 'utf8');

function varint(value: bigint): Buffer {
  const out: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...out, Number(rest)]);
    out.push(Number(rest & 0x7fn) | 0x80);
  }
}
