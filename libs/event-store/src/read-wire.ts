/** The two messages of reads and subscriptions, `event_store.client.streams.ReadReq` and `ReadResp`, as far as we use them. */
import { bytes, Fields, text, uint } from './protobuf.js';

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

/** A place in the whole log. */
export interface Position {
  commit: bigint;
  prepare: bigint;
}

/** A subscription to `$all`. */
export interface SubscriptionSpec {
  /** Exclusive. */
  from: Position | 'start';
  streamPrefixes: readonly string[];
  /** The server tells how far it has looked each time it has looked at this many windows of 32 events. */
  checkpointWindows: number;
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
  position: Position;
}

/** How far the server has looked, where it has found nothing that was asked for. */
export class Checkpoint {
  constructor(readonly position: Position) {}
}

/** What one message says; `undefined`: nothing that we ask for, as newer servers may say. */
export type ReadNews =
  RawResolved | Checkpoint | 'confirmed' | 'caught-up' | 'fell-behind' | 'stream-not-found' | undefined;

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
          : positionField(from, from);
  const what = inStream ? bytes(1, bytes(1, bytes(3, text(of.stream))), place) : bytes(2, place);
  const filter = inStream ? bytes(8) : bytes(7, prefixesField(of.streamPrefixes), uint(3, SEARCH_WINDOW), uint(5, 1));
  const parts = [what, uint(3, direction === 'backwards' ? 1 : 0), uint(5, limit), filter, IDS_AS_TEXT];
  return bytes(1, ...parts);
}

/** The same bytes as the official client's `subscribeToAll`. */
export function encodeSubscriptionRequest({ from, streamPrefixes, checkpointWindows }: SubscriptionSpec): Buffer {
  const place = from === 'start' ? bytes(2) : positionField(from.commit, from.prepare);
  const filter = bytes(7, prefixesField(streamPrefixes), bytes(4), uint(5, checkpointWindows));
  return bytes(1, bytes(2, place), bytes(6), filter, IDS_AS_TEXT);
}

const IDS_AS_TEXT = bytes(9, bytes(2));

const positionField = (commit: bigint, prepare: bigint): Buffer => bytes(1, uint(1, commit), uint(2, prepare));

const prefixesField = (prefixes: readonly string[]): Buffer =>
  bytes(1, ...prefixes.map((prefix) => bytes(2, text(prefix))));

/** @throws RangeError for what is no such message */
export function decodeReadResponse(message: Buffer): ReadNews {
  const fields = new Fields(message, 0, message.length);
  while (fields.next()) {
    switch (fields.field) {
      case 1:
        return resolved(fields.inside());
      case 2:
        return 'confirmed';
      case 3:
        return new Checkpoint(positionIn(fields.inside()));
      case 4:
        return 'stream-not-found';
      case 8:
        return 'caught-up';
      case 9:
        return 'fell-behind';
    }
  }
  return undefined;
}

function positionIn(fields: Fields): Position {
  const position = { commit: 0n, prepare: 0n };
  while (fields.next()) {
    if (fields.field === 1) position.commit = BigInt(fields.value);
    else if (fields.field === 2) position.prepare = BigInt(fields.value);
  }
  return position;
}

function resolved(fields: Fields): RawResolved {
  const found: RawResolved = {};
  while (fields.next()) {
    if (fields.field === 1) found.event = new Recorded(fields.inside());
    else if (fields.field === 2) found.link = new Recorded(fields.inside());
    else if (fields.field === 3) found.commitPosition = BigInt(fields.value);
  }
  if (!found.event && !found.link) throw new RangeError('an event is said to be there and is not');
  return found;
}

/** An event whose JSON is parsed when somebody first asks for it, once for all who do. */
class Recorded implements RawRecorded {
  id = '';
  streamId = '';
  type = '';
  isJson = false;
  readonly revision: bigint;
  readonly created: Date;
  readonly position: Position;
  private dataRead = false;
  private metadataRead = false;
  /** Bytes until it is read. */
  private dataOf: unknown = EMPTY;
  private metadataOf: unknown = EMPTY;

  constructor(fields: Fields) {
    let [revision, prepare, commit, created] = [0, 0, 0, 0];
    while (fields.next()) {
      switch (fields.field) {
        case 1:
          this.id = inner(fields, 2);
          break;
        case 2:
          this.streamId = inner(fields, 3);
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
        case 6:
          created = this.describe(fields.inside()) ?? created;
          break;
        case 7:
          this.metadataOf = fields.bytes();
          break;
        case 8:
          this.dataOf = fields.bytes();
      }
    }
    if (!this.id || !this.streamId || !this.type) throw new RangeError('an event lacks its id, its stream or its type');
    this.revision = BigInt(revision);
    this.created = new Date(created);
    this.position = { commit: BigInt(commit), prepare: BigInt(prepare) };
  }

  /** The JSON value, text where it is broken; bytes where it is none. */
  get data(): unknown {
    if (this.dataRead) return this.dataOf;
    const bytes = this.dataOf as Buffer;
    this.dataRead = true;
    this.dataOf = this.isJson ? jsonIn(bytes, (broken) => broken) : Uint8Array.from(bytes);
    return this.dataOf;
  }

  /** The JSON value, bytes where it is none, `undefined` where there is none. */
  get metadata(): unknown {
    if (this.metadataRead) return this.metadataOf;
    const bytes = this.metadataOf as Buffer;
    this.metadataRead = true;
    this.metadataOf = bytes.length === 0 ? undefined : jsonIn(bytes, () => Uint8Array.from(bytes));
    return this.metadataOf;
  }

  /** One entry of what the server knows of an event. Gives when it was recorded, if that is what the entry says. */
  private describe(entry: Fields): number | undefined {
    let name: Buffer | undefined;
    while (entry.next()) {
      if (entry.field === 1) name = NAMES.find((one) => entry.is(one));
      else if (entry.field !== 2) continue;
      else if (name === TYPE) this.type = entry.text();
      else if (name === CONTENT_TYPE) this.isJson = entry.is(JSON_CONTENT);
      else if (name === CREATED) return Number(entry.text().slice(0, -DIGITS_BELOW_MILLISECOND)) || 0;
    }
    return undefined;
  }
}

const EMPTY = Buffer.alloc(0);
const TYPE = text('type');
const CONTENT_TYPE = text('content-type');
const CREATED = text('created');
const NAMES = [TYPE, CREATED, CONTENT_TYPE];
const JSON_CONTENT = text('application/json');
/** It comes in .NET ticks of 100 ns, and as a number has more digits than a double. */
const DIGITS_BELOW_MILLISECOND = 4;

function inner(fields: Fields, wanted: number): string {
  const nested = fields.inside();
  while (nested.next()) if (nested.field === wanted) return nested.text();
  return '';
}

function jsonIn(value: Buffer, otherwise: (broken: string) => unknown): unknown {
  const json = value.toString('utf8');
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return otherwise(json);
  }
}
