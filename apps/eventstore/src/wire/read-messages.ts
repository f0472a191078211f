/** ReadReq and ReadResp of event_store.client.streams: reads and subscriptions, of one stream or of `$all`. */
import { readStreamName, streamIdentifierField } from './identifiers.js';
import { bytesField, FieldReader, MalformedMessage, textField, timestampField, uintField } from './protobuf.js';

/** Where to begin: a revision of the stream or a position of `$all`, or one of its ends. */
export type Start = number | 'start' | 'end';

export interface FilterSpec {
  readonly on: 'stream' | 'type';
  /** Wins over the prefixes where it is not empty. */
  readonly regex: string;
  readonly prefixes: readonly string[];
  /** Considered events, matching or not, from one checkpoint of a subscription to the next. */
  readonly checkpointInterval: number;
}

export interface ReadRequest {
  /** Undefined for `$all`. */
  readonly stream: string | undefined;
  readonly from: Start;
  readonly backwards: boolean;
  /** How many events at most; undefined makes it a subscription. */
  readonly count: number | undefined;
  readonly filter: FilterSpec | undefined;
  readonly structuredIds: boolean;
  /** From 1 on, the client understands the first and last stream position. */
  readonly compatibility: number;
}

const DEFAULT_SEARCH_WINDOW = 32;

export function decodeRead(message: Buffer): ReadRequest {
  const request = {
    stream: undefined as string | undefined,
    all: false,
    from: 'start' as Start,
    backwards: false,
    count: undefined as number | undefined,
    subscription: false,
    filter: undefined as FilterSpec | undefined,
    structuredIds: false,
    compatibility: 0,
  };
  const outer = new FieldReader(message);
  while (outer.next()) {
    if (outer.field !== 1) continue;
    const options = outer.message();
    while (options.next()) {
      switch (options.field) {
        case 1:
          Object.assign(request, decodeStreamOptions(options.message()));
          break;
        case 2:
          request.all = true;
          request.from = decodeAllOptions(options.message());
          break;
        case 3:
          request.backwards = options.uint() === 1;
          break;
        case 5:
          request.count = options.uint();
          break;
        case 6:
          request.subscription = true;
          break;
        case 7:
          request.filter = decodeFilter(options.message());
          break;
        case 9:
          request.structuredIds = hasField(options.message(), 1);
          break;
        case 10:
          request.compatibility = firstUint(options.message());
          break;
      }
    }
  }
  return validated(request);
}

function validated(request: ReadRequest & { all: boolean; subscription: boolean }): ReadRequest {
  if (request.all === (request.stream !== undefined)) throw new MalformedMessage('read one stream or $all');
  if (request.subscription === (request.count !== undefined))
    throw new MalformedMessage('ask for a count or subscribe');
  if (request.subscription && request.backwards) throw new MalformedMessage('a subscription reads forwards');
  if (request.filter !== undefined && !request.all) throw new MalformedMessage('only $all can be filtered');
  if (request.subscription && request.filter?.checkpointInterval === 0)
    throw new MalformedMessage("the filter's checkpoint interval multiplier must be above 0");
  return request;
}

function decodeStreamOptions(reader: FieldReader): { stream: string; from: Start } {
  let stream: string | undefined;
  let from: Start = 'start';
  while (reader.next()) {
    if (reader.field === 1) stream = readStreamName(reader.message());
    else if (reader.field === 2) from = reader.uint();
    else if (reader.field === 4) from = 'end';
  }
  if (stream === undefined) throw new MalformedMessage('the stream name is missing');
  return { stream, from };
}

function decodeAllOptions(reader: FieldReader): Start {
  let from: Start = 'start';
  while (reader.next()) {
    if (reader.field === 1) from = firstUint(reader.message());
    else if (reader.field === 3) from = 'end';
  }
  return from;
}

function decodeFilter(reader: FieldReader): FilterSpec {
  let on: FilterSpec['on'] = 'stream';
  let expression = { regex: '', prefixes: [] as string[] };
  let window = DEFAULT_SEARCH_WINDOW;
  let multiplier = 0;
  while (reader.next()) {
    if (reader.field === 1 || reader.field === 2) {
      on = reader.field === 1 ? 'stream' : 'type';
      expression = decodeExpression(reader.message());
    } else if (reader.field === 3) window = reader.uint();
    else if (reader.field === 5) multiplier = reader.uint();
  }
  if (window === 0) throw new MalformedMessage("the filter's search window must be above 0");
  return { on, ...expression, checkpointInterval: multiplier * window };
}

function decodeExpression(reader: FieldReader): { regex: string; prefixes: string[] } {
  const expression = { regex: '', prefixes: [] as string[] };
  while (reader.next()) {
    if (reader.field === 1) expression.regex = reader.text();
    else if (reader.field === 2) expression.prefixes.push(reader.text());
  }
  return expression;
}

/** The first field of a small message: of a position its commit half, which equals the other half here. */
function firstUint(reader: FieldReader): number {
  let value = 0;
  while (reader.next()) if (reader.field === 1) value = reader.uint();
  return value;
}

function hasField(reader: FieldReader, field: number): boolean {
  let found = false;
  while (reader.next()) found ||= reader.field === field;
  return found;
}

export function confirmationMessage(subscriptionId: string): Buffer {
  return bytesField(2, textField(1, subscriptionId));
}

export function checkpointMessage(position: number, nowMs: number): Buffer {
  return bytesField(3, uintField(1, position), uintField(2, position), timestampField(3, nowMs));
}

export function streamNotFoundMessage(stream: string): Buffer {
  return bytesField(4, streamIdentifierField(1, stream));
}

export function firstStreamPositionMessage(revision: number): Buffer {
  return uintField(5, revision);
}

export function lastStreamPositionMessage(revision: number): Buffer {
  return uintField(6, revision);
}

export type CaughtUpAt = { readonly revision: number } | { readonly position: number };

/** CaughtUp {timestamp = 1, stream_revision = 2, position = 3}; a stream without events has no revision. */
export function caughtUpMessage(at: CaughtUpAt, nowMs: number): Buffer {
  const timestamp = timestampField(1, nowMs);
  if ('position' in at) return bytesField(8, timestamp, positionField(3, at.position));
  return at.revision < 0 ? bytesField(8, timestamp) : bytesField(8, timestamp, uintField(2, at.revision));
}

/** Position {commit_position = 1, prepare_position = 2}: one number here, never 0. */
export function positionField(field: number, position: number): Buffer {
  return bytesField(field, uintField(1, position), uintField(2, position));
}
