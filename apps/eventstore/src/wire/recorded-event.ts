/**
 * The encoded ReadResp.ReadEvent.RecordedEvent is what the log stores, once, so that a read only puts a dozen bytes
 * before it. The fields that reading looks at come first and at known places: protobuf leaves the order to the writer.
 *
 *     id=1 {string=2} (40 bytes) · stream_identifier=2 {stream_name=3} · metadata=6 {"type": …}
 *     stream_revision=3 · prepare_position=4 · commit_position=5 · metadata=6 {"content-type", "created"} · custom_metadata=7 · data=8
 */
import { bytesField, FieldReader, int64Field, textField, uintField, varintLength, writeVarint } from './protobuf.js';

export interface NewRecord {
  readonly id: string;
  readonly stream: string;
  readonly type: string;
  readonly revision: number;
  readonly position: number;
  readonly json: boolean;
  readonly createdMs: number;
  readonly customMetadata: Buffer;
  readonly data: Buffer;
}

/** The revision of a stream's last event, `$streamDeleted`: int64's greatest, which as a JavaScript number is 2^63. */
export const TOMBSTONE_REVISION = 2 ** 63;
const TOMBSTONE_FIELD = int64Field(3, 2n ** 63n - 1n);

const ID_FIELD_BYTES = 40;
const TYPE_KEY = textField(1, 'type');
const CONTENT_TYPE_JSON = mapEntry('content-type', 'application/json');
const CONTENT_TYPE_BYTES = mapEntry('content-type', 'application/octet-stream');

function mapEntry(key: string, value: string): Buffer {
  return bytesField(6, textField(1, key), textField(2, value));
}

export function encodeRecord(record: NewRecord): Buffer {
  return Buffer.concat([
    bytesField(1, textField(2, record.id)),
    bytesField(2, textField(3, record.stream)),
    bytesField(6, TYPE_KEY, textField(2, record.type)),
    record.revision >= TOMBSTONE_REVISION ? TOMBSTONE_FIELD : uintField(3, record.revision),
    uintField(4, record.position),
    uintField(5, record.position),
    record.json ? CONTENT_TYPE_JSON : CONTENT_TYPE_BYTES,
    // .NET ticks of 100 ns since the Unix epoch, as the protocol has them.
    mapEntry('created', `${record.createdMs}0000`),
    bytesField(7, record.customMetadata),
    bytesField(8, record.data),
  ]);
}

export function recordId(record: Buffer): string {
  return record.toString('latin1', 4, ID_FIELD_BYTES);
}

/** `[start, end)` of the stream name and of the event type within a stored record, for filters. */
export interface NameSpans {
  streamStart: number;
  streamEnd: number;
  typeStart: number;
  typeEnd: number;
}

/** Fills `spans` in place: this runs for every event that a filter looks at. */
export function locateNames(record: Buffer, spans: NameSpans): void {
  const outer = smallVarint(record, ID_FIELD_BYTES + 1);
  const name = smallVarint(record, outer.next + 1);
  spans.streamStart = name.next;
  spans.streamEnd = name.next + name.value;
  const entry = smallVarint(record, spans.streamEnd + 1);
  const type = smallVarint(record, entry.next + TYPE_KEY.length + 1);
  spans.typeStart = type.next;
  spans.typeEnd = type.next + type.value;
}

/** Names and types are short (`MAX_STREAM_NAME_BYTES`), so their lengths take one or two bytes. */
function smallVarint(bytes: Buffer, at: number): { value: number; next: number } {
  const low = bytes[at] ?? 0;
  if (low < 0x80) return { value: low, next: at + 1 };
  return { value: (low & 0x7f) | ((bytes[at + 1] ?? 0) << 7), next: at + 2 };
}

/** What the server itself reads back: for idempotent answers, and for a stream's `$maxCount` and `$tb`. */
export function readRecord(record: Buffer): { stream: string; revision: number; data: Buffer } {
  const fields = new FieldReader(record);
  const found = { stream: '', revision: 0, data: Buffer.alloc(0) };
  while (fields.next()) {
    if (fields.field === 2) {
      const identifier = fields.message();
      while (identifier.next()) if (identifier.field === 3) found.stream = identifier.text();
    } else if (fields.field === 3) found.revision = fields.uint();
    else if (fields.field === 8) found.data = Buffer.from(fields.buffer());
  }
  return found;
}

/** ReadResp {event = 1 ReadEvent {commit_position = 3, event = 1 RecordedEvent}}. The record is copied. */
export function encodeEventMessage(record: Buffer, position: number): Buffer {
  const inner = 1 + varintLength(position) + 1 + varintLength(record.length) + record.length;
  const message = Buffer.allocUnsafe(1 + varintLength(inner) + inner);
  message[0] = 0x0a;
  let at = writeVarint(message, inner, 1);
  message[at++] = 0x18;
  at = writeVarint(message, position, at);
  message[at++] = 0x0a;
  at = writeVarint(message, record.length, at);
  record.copy(message, at);
  return message;
}

/** The same record with its id as two 64-bit halves, for readers that ask for structured UUIDs. */
export function withStructuredId(record: Buffer): Buffer {
  const hex = recordId(record).replaceAll('-', '');
  const half = (text: string): bigint => BigInt.asIntN(64, BigInt(`0x${text}`));
  const structured = bytesField(1, int64Field(1, half(hex.slice(0, 16))), int64Field(2, half(hex.slice(16))));
  return Buffer.concat([bytesField(1, structured), record.subarray(ID_FIELD_BYTES)]);
}
