/** UUID and StreamIdentifier of the protocol's shared messages. */
import { isUtf8 } from 'node:buffer';
import { bytesField, type FieldReader, MalformedMessage } from './protobuf.js';

/** UTF-8 bytes. LMDB takes keys of up to 1,978 bytes; half of that leaves room for `$$` and for other page sizes. */
export const MAX_STREAM_NAME_BYTES = 1024;

const CANONICAL = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/** UUID {structured = 1 {most = 1, least = 2}, string = 2} in its canonical lower-case form. */
export function readUuid(reader: FieldReader): string {
  let uuid = NIL_UUID;
  while (reader.next()) {
    if (reader.field === 2) uuid = reader.text().toLowerCase();
    else if (reader.field === 1) uuid = fromHalves(reader.message());
  }
  if (!CANONICAL.test(uuid)) throw new MalformedMessage(`"${uuid.slice(0, 64)}" is not a UUID`);
  return uuid;
}

function fromHalves(reader: FieldReader): string {
  let most = 0n;
  let least = 0n;
  while (reader.next()) {
    if (reader.field === 1) most = reader.int64();
    else if (reader.field === 2) least = reader.int64();
  }
  const hex = [most, least].map((half) => BigInt.asUintN(64, half).toString(16).padStart(16, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** StreamIdentifier {stream_name = 3 bytes}. */
export function readStreamName(reader: FieldReader): string {
  let bytes: Buffer | undefined;
  while (reader.next()) if (reader.field === 3) bytes = reader.buffer();
  if (bytes === undefined || bytes.length === 0) throw new MalformedMessage('the stream name is empty');
  if (bytes.length > MAX_STREAM_NAME_BYTES) {
    throw new MalformedMessage(`the stream name has ${bytes.length} bytes; ${MAX_STREAM_NAME_BYTES} are allowed`);
  }
  // Two names that decode to the same replacement characters would otherwise share a stream.
  if (!isUtf8(bytes)) throw new MalformedMessage('the stream name is not UTF-8');
  return bytes.toString('utf8');
}

export function streamIdentifierField(field: number, name: string): Buffer {
  return bytesField(field, bytesField(3, Buffer.from(name, 'utf8')));
}
