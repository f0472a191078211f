/** AppendReq, BatchAppendReq, DeleteReq and TombstoneReq with their responses: three encodings of the same verdicts. */
import { NIL_UUID, readStreamName, readUuid, streamIdentifierField } from './identifiers.js';
import {
  bytesField,
  EMPTY,
  FieldReader,
  int64Field,
  MalformedMessage,
  readTimeMs,
  textField,
  uintField,
} from './protobuf.js';
import { positionField } from './read-messages.js';

/** The revision that a writer expects the stream to be at; a bigint is beyond any that there is. */
export type Expected = number | bigint | 'no-stream' | 'any' | 'exists';

export interface ProposedEvent {
  readonly id: string;
  readonly type: string;
  readonly json: boolean;
  readonly customMetadata: Buffer;
  readonly data: Buffer;
}

export interface StreamTarget {
  readonly stream: string;
  readonly expected: Expected;
}

/** UTF-8 bytes of an event type; filters read its length from two bytes. */
const MAX_EVENT_TYPE_BYTES = 1024;

/** Reads the options that Append, Delete and Tombstone share; BatchAppend adds its deadline. */
function readTarget(reader: FieldReader): StreamTarget & { deadlineMs: number | undefined } {
  let stream: string | undefined;
  let expected: Expected = 'any';
  let deadlineMs: number | undefined;
  while (reader.next()) {
    if (reader.field === 1) stream = readStreamName(reader.message());
    else if (reader.field === 2) expected = reader.revision();
    else if (reader.field === 3) expected = 'no-stream';
    else if (reader.field === 4) expected = 'any';
    else if (reader.field === 5) expected = 'exists';
    else if (reader.field === 6) deadlineMs = readTimeMs(reader.message());
    else if (reader.field === 7) deadlineMs = Date.now() + readTimeMs(reader.message());
  }
  if (stream === undefined) throw new MalformedMessage('the stream name is missing');
  // `$all` is a view, and metadata has no metadata of its own.
  if (stream === '$all' || stream === '$$' || stream.startsWith('$$$$')) {
    throw new MalformedMessage(`${stream} is not a stream that can be written`);
  }
  return { stream, expected, deadlineMs };
}

/** ProposedMessage {id = 1, metadata = 2 map, custom_metadata = 3, data = 4}. The bytes are views into the message. */
function readProposed(reader: FieldReader): ProposedEvent {
  let id = NIL_UUID;
  let customMetadata: Buffer = EMPTY;
  let data: Buffer = EMPTY;
  const metadata = new Map<string, string>();
  while (reader.next()) {
    if (reader.field === 1) id = readUuid(reader.message());
    else if (reader.field === 2) readMapEntry(reader.message(), metadata);
    else if (reader.field === 3) customMetadata = reader.buffer();
    else if (reader.field === 4) data = reader.buffer();
  }
  if (id === NIL_UUID) throw new MalformedMessage('an event has no id');
  const type = metadata.get('type') ?? '';
  const typeBytes = Buffer.byteLength(type);
  if (typeBytes === 0 || typeBytes > MAX_EVENT_TYPE_BYTES) {
    throw new MalformedMessage(`an event's type has ${typeBytes} bytes; 1 to ${MAX_EVENT_TYPE_BYTES} are allowed`);
  }
  return { id, type, json: metadata.get('content-type') === 'application/json', customMetadata, data };
}

function readMapEntry(reader: FieldReader, into: Map<string, string>): void {
  let key = '';
  let value = '';
  while (reader.next()) {
    if (reader.field === 1) key = reader.text();
    else if (reader.field === 2) value = reader.text();
  }
  into.set(key, value);
}

/** What the size limit counts: what a client chose to send, without our own framing. */
export function sizeOf(event: ProposedEvent): number {
  return event.data.length + event.customMetadata.length + event.type.length;
}

/** One message of the Append call: first the options, then an event each. */
export function decodeAppend(message: Buffer): StreamTarget | ProposedEvent {
  const reader = new FieldReader(message);
  while (reader.next()) {
    if (reader.field === 1) return readTarget(reader.message());
    if (reader.field === 2) return readProposed(reader.message());
  }
  throw new MalformedMessage('an append message holds neither options nor an event');
}

/** DeleteReq and TombstoneReq. */
export function decodeDelete(message: Buffer): StreamTarget {
  const reader = new FieldReader(message);
  while (reader.next()) if (reader.field === 1) return readTarget(reader.message());
  throw new MalformedMessage('the options are missing');
}

export interface BatchFragment {
  /** The encoded UUID as it came: echoed in the answer, and good as a key. */
  readonly correlationId: Buffer;
  readonly isFinal: boolean;
  /** Decodes the rest, which may be malformed while the correlation id is good enough to say so. */
  readonly decode: () => {
    readonly target: (StreamTarget & { deadlineMs: number | undefined }) | undefined;
    readonly events: readonly ProposedEvent[];
  };
}

export function decodeBatchFragment(message: Buffer): BatchFragment {
  const outer = new FieldReader(message);
  let correlationId: Buffer | undefined;
  let options: Buffer | undefined;
  let isFinal = false;
  const proposed: Buffer[] = [];
  while (outer.next()) {
    if (outer.field === 1) correlationId = outer.buffer();
    else if (outer.field === 2) options = outer.buffer();
    else if (outer.field === 3) proposed.push(outer.buffer());
    else if (outer.field === 4) isFinal = outer.boolean();
  }
  if (correlationId === undefined) throw new MalformedMessage('the correlation id is missing');
  return {
    correlationId,
    isFinal,
    decode: () => ({
      target: options === undefined ? undefined : readTarget(new FieldReader(options)),
      events: proposed.map((bytes) => readProposed(new FieldReader(bytes))),
    }),
  };
}

/** Where an accepted append left the stream. `revision` is -1 for a stream that still has no events. */
export interface Written {
  readonly revision: number;
  readonly position: number | undefined;
}

/** AppendResp.Success and BatchAppendResp.Success have the same four fields. */
function successFields(written: Written): Buffer[] {
  return [
    written.revision < 0 ? bytesField(2) : uintField(1, written.revision),
    written.position === undefined ? bytesField(4) : positionField(3, written.position),
  ];
}

export function appendSuccess(written: Written): Buffer {
  return bytesField(1, ...successFields(written));
}

/** AppendResp.WrongExpectedVersion, with status OK. */
export function appendConflict(expected: Expected, current: number): Buffer {
  return bytesField(
    2,
    current < 0 ? bytesField(7) : uintField(6, current),
    typeof expected === 'number' || typeof expected === 'bigint'
      ? int64Field(8, BigInt(expected))
      : bytesField(expected === 'any' ? 9 : expected === 'exists' ? 10 : 11),
  );
}

/** DeleteResp and TombstoneResp. */
export function deleteSuccess(position: number | undefined): Buffer {
  return position === undefined ? bytesField(2) : positionField(1, position);
}

export function batchSuccess(correlationId: Buffer, stream: string, written: Written): Buffer {
  return Buffer.concat([
    bytesField(1, correlationId),
    bytesField(3, ...successFields(written)),
    streamIdentifierField(4, stream),
  ]);
}

/** Why one append of a batch stream failed; the stream itself goes on. */
export type BatchProblem =
  | { readonly kind: 'conflict'; readonly expected: Expected; readonly current: number }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'too-large'; readonly maxBytes: number }
  | { readonly kind: 'expired' }
  | { readonly kind: 'malformed'; readonly message: string };

/** The client reads the stream identifier of every error, so it is always there, empty where it could not be read. */
export function batchError(correlationId: Buffer, stream: string, problem: BatchProblem): Buffer {
  const { code, message, detail } = describe(stream, problem);
  return Buffer.concat([
    bytesField(1, correlationId),
    bytesField(2, uintField(1, code), textField(2, message), bytesField(3, ...detail)),
    streamIdentifierField(4, stream),
  ]);
}

// google.rpc.Code
const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const FAILED_PRECONDITION = 9;

function any(type: string, ...fields: Buffer[]): Buffer[] {
  return [textField(1, `type.googleapis.com/event_store.client.${type}`), bytesField(2, ...fields)];
}

function describe(stream: string, problem: BatchProblem): { code: number; message: string; detail: Buffer[] } {
  switch (problem.kind) {
    case 'conflict':
      return {
        code: FAILED_PRECONDITION,
        message: `${stream} is not at the expected revision`,
        detail: any('WrongExpectedVersion', ...conflictFields(problem.expected, problem.current)),
      };
    case 'deleted':
      return {
        code: FAILED_PRECONDITION,
        message: `${stream} is deleted`,
        detail: any('StreamDeleted', streamIdentifierField(1, stream)),
      };
    case 'too-large':
      return {
        code: INVALID_ARGUMENT,
        message: `the append is larger than ${problem.maxBytes} bytes`,
        detail: any('MaximumAppendSizeExceeded', uintField(1, problem.maxBytes)),
      };
    case 'expired':
      return {
        code: DEADLINE_EXCEEDED,
        message: 'the deadline passed before the append began',
        detail: any('Timeout'),
      };
    case 'malformed':
      return {
        code: INVALID_ARGUMENT,
        message: problem.message,
        detail: any('BadRequest', textField(1, problem.message)),
      };
  }
}

function conflictFields(expected: Expected, current: number): Buffer[] {
  return [
    current < 0 ? bytesField(2) : uintField(1, current),
    typeof expected === 'number' || typeof expected === 'bigint'
      ? int64Field(3, BigInt(expected))
      : bytesField(expected === 'any' ? 4 : expected === 'exists' ? 5 : 6),
  ];
}
