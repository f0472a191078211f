/** The two messages of an append, `event_store.client.streams.BatchAppendReq` and `BatchAppendResp`. */
import type { EncodedEvent } from './codec.js';
import { Fields } from './protobuf.js';

export interface AppendSpec {
  stream: string;
  /** -1: there is no such stream yet. */
  expectedRevision: number;
  events: readonly EncodedEvent[];
  /** When the server is to give up, in milliseconds since the Unix epoch. */
  deadlineMs: number;
}

export type AppendVerdict =
  /** Without a position where the server does not say it. */
  | { kind: 'done'; position: bigint | undefined }
  | { kind: 'conflict'; actualRevision: number }
  /** By the name of its message; `message` is what the server says beside it. */
  | { kind: 'failed'; type: string; code: number; message: string };

export interface AppendAnswer {
  /** As it was given to `encodeAppend`. */
  correlation: number;
  verdict: AppendVerdict;
}

const JSON_CONTENT = 'application/json';
const UUID_CHARACTERS = 36;

/** A whole append in one message. @param correlation names it among those of its call; from 1 on */
export function encodeAppend(
  correlation: number,
  { stream, expectedRevision, events, deadlineMs }: AppendSpec,
): Buffer {
  const streamBytes = Buffer.byteLength(stream);
  const identifier = 1 + lengthOf(streamBytes) + streamBytes;
  const expected = expectedRevision < 0 ? 2 : 1 + lengthOf(expectedRevision);
  const seconds = Math.floor(deadlineMs / 1000);
  const nanos = Math.floor(deadlineMs % 1000) * 1_000_000;
  const deadline = 2 + lengthOf(seconds) + lengthOf(nanos);
  const options = 1 + lengthOf(identifier) + identifier + expected + 1 + lengthOf(deadline) + deadline;
  // A UUID {structured = 1 {most = 1, least = 2}}, of which the second half is enough for us.
  const structured = 1 + lengthOf(correlation);
  const sizes = events.map(sizeOf);
  let size = 4 + structured + 1 + lengthOf(options) + options + 2;
  for (const one of sizes) size += 1 + lengthOf(one) + one;

  const out = new Message(size);
  out
    .head(1, 2 + structured)
    .head(1, structured)
    .uint(2, correlation);
  out.head(2, options).head(1, identifier).text(3, stream, streamBytes);
  if (expectedRevision < 0) out.head(3, 0);
  else out.uint(2, expectedRevision);
  out.head(6, deadline).uint(1, seconds).uint(2, nanos);
  for (const [index, event] of events.entries()) {
    out.head(3, sizes[index] as number);
    out.head(1, 2 + UUID_CHARACTERS).text(2, event.id, UUID_CHARACTERS);
    out.raw(kindOf(event.type));
    out.bytes(3, event.metadata).bytes(4, event.data);
  }
  return out.uint(4, 1).done();
}

/** @throws RangeError for what is no such message */
export function decodeAppendAnswer(message: Buffer): AppendAnswer {
  const fields = new Fields(message, 0, message.length);
  let correlation = 0;
  let verdict: AppendVerdict | undefined;
  while (fields.next()) {
    if (fields.field === 1) correlation = correlationIn(fields.inside());
    else if (fields.field === 2) verdict = failureIn(fields.inside());
    else if (fields.field === 3) verdict = successIn(fields.inside());
  }
  if (!verdict) throw new RangeError('an answer to an append says nothing');
  return { correlation, verdict };
}

/** Servers give a UUID back in either of its two forms. */
function correlationIn(fields: Fields): number {
  while (fields.next()) {
    if (fields.field === 2) return Number.parseInt(fields.text().replaceAll('-', '').slice(16), 16);
    if (fields.field !== 1) continue;
    const halves = fields.inside();
    while (halves.next()) if (halves.field === 2) return halves.value;
  }
  return 0;
}

function successIn(fields: Fields): AppendVerdict {
  let position: bigint | undefined;
  while (fields.next()) {
    if (fields.field !== 3) continue;
    const place = fields.inside();
    while (place.next()) if (place.field === 1) position = BigInt(place.value);
  }
  return { kind: 'done', position };
}

const CONFLICT = 'WrongExpectedVersion';

/** A status {code = 1, message = 2, details = 3 {type_url = 1, value = 2}}: the details say which failure it is. */
function failureIn(fields: Fields): AppendVerdict {
  let [code, message, type] = [0, '', ''];
  let actualRevision = -1;
  while (fields.next()) {
    if (fields.field === 1) code = fields.value;
    else if (fields.field === 2) message = fields.text();
    else if (fields.field === 3) {
      const details = fields.inside();
      while (details.next()) {
        if (details.field === 1) type = details.text().replace(/^.*[./]/s, '');
        else if (details.field === 2 && type === CONFLICT) actualRevision = currentRevisionIn(details.inside());
      }
    }
  }
  return type === CONFLICT ? { kind: 'conflict', actualRevision } : { kind: 'failed', type, code, message };
}

function currentRevisionIn(fields: Fields): number {
  while (fields.next()) if (fields.field === 1) return fields.value;
  return -1;
}

const kinds = new Map<string, Buffer>();

/** The entries `type` and `content-type` of an event's metadata: the same bytes for every event of a type. */
function kindOf(type: string): Buffer {
  const known = kinds.get(type);
  if (known) return known;
  const entry = (name: string, value: string): Buffer => {
    const [nameBytes, valueBytes] = [Buffer.byteLength(name), Buffer.byteLength(value)];
    const inside = 2 + lengthOf(nameBytes) + lengthOf(valueBytes) + nameBytes + valueBytes;
    const out = new Message(1 + lengthOf(inside) + inside);
    return out.head(2, inside).text(1, name, nameBytes).text(2, value, valueBytes).done();
  };
  const bytes = Buffer.concat([entry('type', type), entry('content-type', JSON_CONTENT)]);
  kinds.set(type, bytes);
  return bytes;
}

function sizeOf({ type, data, metadata }: EncodedEvent): number {
  const contents = 2 + lengthOf(metadata.length) + metadata.length + lengthOf(data.length) + data.length;
  return 4 + UUID_CHARACTERS + kindOf(type).length + contents;
}

/** How many bytes a varint takes. */
function lengthOf(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length += 1;
  return length;
}

/** Writes protobuf's wire format into a buffer of the right size. Fields below 16: their tags take one byte. */
class Message {
  private readonly buffer: Buffer;
  private at = 0;

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafe(size);
  }

  uint(field: number, value: number): this {
    this.buffer[this.at++] = field * 8;
    return this.varint(value);
  }

  /** Begins a field that has its length before it; what is in it is written next. */
  head(field: number, length: number): this {
    this.buffer[this.at++] = field * 8 + 2;
    return this.varint(length);
  }

  text(field: number, value: string, byteLength: number): this {
    this.head(field, byteLength);
    this.at += this.buffer.write(value, this.at, 'utf8');
    return this;
  }

  bytes(field: number, value: Buffer): this {
    return this.head(field, value.length).raw(value);
  }

  raw(value: Buffer): this {
    this.at += value.copy(this.buffer, this.at);
    return this;
  }

  /** @throws RangeError if the size was another */
  done(): Buffer {
    if (this.at !== this.buffer.length) throw new RangeError(`${this.at} bytes instead of ${this.buffer.length}`);
    return this.buffer;
  }

  private varint(value: number): this {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.buffer[this.at++] = (rest % 128) | 0x80;
    this.buffer[this.at++] = rest;
    return this;
  }
}
