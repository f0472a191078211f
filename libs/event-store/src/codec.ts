import {
  EVENT_CATALOG,
  instantOf,
  isEventType,
  upcast,
  type EventMetadata,
  type EventType,
  type Instant,
  type LedgerEvent,
  type RecordedEvent,
} from '@keyledger/contracts';
import type { ResolvedEvent } from '@kurrent/kurrentdb-client';
import { CorruptEvent, EventStoreRefused } from './errors.js';
import type { RawResolved } from './read-wire.js';

/** An event to append. */
export interface NewEvent<E extends LedgerEvent = LedgerEvent> {
  /** A UUID that names this very event: the same on every repetition of its append. */
  id: string;
  type: E['type'];
  data: E['data'];
  metadata: EventMetadata;
  /** Both as JSON, where somebody has needed that already. */
  json?: { data: string; metadata: string };
}

/** What one append may hold, as JSON. Below what every server takes, and far above what an event of ours needs. */
export const MAX_APPEND_BYTES = 1_000_000;

/** An event as it travels: JSON, with our metadata beside it as JSON. */
export interface EncodedEvent {
  id: string;
  type: string;
  data: Buffer;
  metadata: Buffer;
}

const UUID_CHARACTERS = 36;

/** @throws EventStoreRefused for what no append could store */
export function encode(events: readonly NewEvent[]): EncodedEvent[] {
  let bytes = 0;
  const encoded = events.map(({ id, type, data, metadata, json }): EncodedEvent => {
    if (id.length !== UUID_CHARACTERS) throw new EventStoreRefused(`the id of a ${type} is no UUID`, 'invalid');
    const one = {
      id,
      type,
      data: json ? Buffer.from(json.data, 'utf8') : jsonOf(type, data),
      metadata: json ? Buffer.from(json.metadata, 'utf8') : jsonOf(type, metadata),
    };
    bytes += one.data.length + one.metadata.length;
    return one;
  });
  if (bytes > MAX_APPEND_BYTES) {
    const problem = `the events take ${bytes} bytes; an append holds at most ${MAX_APPEND_BYTES}`;
    throw new EventStoreRefused(problem, 'too-large');
  }
  return encoded;
}

function jsonOf(type: string, value: unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(value), 'utf8');
  } catch (error) {
    throw new EventStoreRefused(`a ${type} cannot be stored as JSON: ${(error as Error).message}`, 'invalid');
  }
}

/** What a read gives about one place in the log: an event, or a link to one. */
export type Resolved = Pick<ResolvedEvent, 'event' | 'link' | 'commitPosition'> | RawResolved;

/** What a reader makes of one place in the log; `undefined`: nothing of ours stands there. */
export type Decoder<T> = (resolved: Resolved) => T | undefined;

/**
 * An event exactly as it is stored: of any type, of any schema version, before every upcaster. What a proof is made of,
 * because no later build may read it otherwise.
 */
export interface StoredEvent {
  id: string;
  stream: string;
  revision: number;
  type: string;
  position: bigint;
  recordedAt: Instant;
  /** The JSON value; bytes where it is stored as none. */
  data: unknown;
  /** The JSON value; bytes where it is none, `undefined` where there is none. */
  metadata: unknown;
}

/**
 * An event of ours in its newest shape; `undefined` for what is none of ours: the store's own events, and links.
 * @throws CorruptEvent for what stands in a stream of ours and cannot be read
 */
export function decode(resolved: Resolved): RecordedEvent | undefined {
  const { event: recorded, link } = resolved;
  if (link || !recorded || recorded.type.startsWith('$') || recorded.streamId.startsWith('$')) return undefined;
  const { streamId, type, isJson, data, metadata } = recorded;
  const revision = Number(recorded.revision);
  const corrupt = (problem: string): CorruptEvent => new CorruptEvent(streamId, revision, type, problem);
  if (!isEventType(type)) throw corrupt('its type is not in the catalog of this build');
  if (!streamId.startsWith(`${EVENT_CATALOG[type].stream}-`)) throw corrupt('it belongs into another kind of stream');
  if (!isJson || !isObject(data)) throw corrupt('its data are no JSON object');
  if (!isMetadata(metadata)) throw corrupt('its metadata lack what every event of ours has');
  return {
    id: recorded.id,
    stream: streamId,
    revision,
    position: positionOf(resolved),
    recordedAt: instantOf(recorded.created.getTime()),
    event: { type, data: newest(type, metadata.schemaVersion, data, corrupt) } as LedgerEvent,
    metadata,
  };
}

/** An event as it is stored, whatever it holds; `undefined` for the store's own events, and for links. */
export function decodeStored(resolved: Resolved): StoredEvent | undefined {
  const { event: recorded, link } = resolved;
  if (link || !recorded || recorded.type.startsWith('$') || recorded.streamId.startsWith('$')) return undefined;
  const { id, streamId, type, data, metadata } = recorded;
  return {
    id,
    stream: streamId,
    revision: Number(recorded.revision),
    type,
    position: positionOf(resolved),
    recordedAt: instantOf(recorded.created.getTime()),
    data,
    metadata,
  };
}

/** Where in the whole log it stands. */
export function positionOf({ commitPosition, event, link }: Resolved): bigint {
  return commitPosition ?? (link ?? event)?.position?.commit ?? 0n;
}

function newest(
  type: EventType,
  schemaVersion: number,
  data: Record<string, unknown>,
  corrupt: (problem: string) => CorruptEvent,
): Record<string, unknown> {
  try {
    return upcast(type, schemaVersion, data);
  } catch (error) {
    throw corrupt((error as Error).message);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function isMetadata(value: unknown): value is EventMetadata {
  return (
    isObject(value) &&
    typeof value['schemaVersion'] === 'number' &&
    isObject(value['actor']) &&
    ['commandId', 'reason', 'requestId', '$correlationId', '$causationId'].every(
      (name) => typeof value[name] === 'string',
    )
  );
}
