import { streams, type KeyEvent, type KeyspaceEvent, type RecordedEvent } from '@keyledger/contracts';
import { evolveKey, evolveKeyspace, type KeyState, type KeyspaceState } from '@keyledger/domain';
import { refOf, type Projected, type SecretRef } from './records.js';

/**
 * Names what `evolve` makes of the events and how it is laid out in Redis. Raised with every change of either; a worker
 * that finds an older number on the live generation builds a new one.
 */
export const PROJECTION_VERSION = 2;

/** The events of one key or keyspace in a batch, in the order of their stream. */
export interface StreamEvents<E extends KeyEvent | KeyspaceEvent> {
  id: string;
  stream: string;
  events: RecordedEvent<E>[];
}

export interface GroupedEvents {
  keys: StreamEvents<KeyEvent>[];
  keyspaces: StreamEvents<KeyspaceEvent>[];
}

/**
 * Sorts a batch by stream, and empties it: whoever gave it still has it, and by the groups alone its events are let go
 * when they are folded. Events of other streams are not for this read model.
 */
export function groupByStream(events: RecordedEvent[]): GroupedEvents {
  const keys = new Map<string, StreamEvents<KeyEvent>>();
  const keyspaces = new Map<string, StreamEvents<KeyspaceEvent>>();
  for (const event of events.splice(0)) {
    if (event.stream.startsWith(KEY_STREAM)) collect(keys, KEY_STREAM, event as RecordedEvent<KeyEvent>);
    else if (event.stream.startsWith(KEYSPACE_STREAM)) {
      collect(keyspaces, KEYSPACE_STREAM, event as RecordedEvent<KeyspaceEvent>);
    }
  }
  return { keys: [...keys.values()], keyspaces: [...keyspaces.values()] };
}

/** Names of the streams in it. */
export function streamsOf({ keys, keyspaces }: GroupedEvents): string[] {
  return [...keys, ...keyspaces].map(({ stream }) => stream);
}

const KEY_STREAM = streams.key('');
const KEYSPACE_STREAM = streams.keyspace('');

function collect<E extends KeyEvent | KeyspaceEvent>(
  groups: Map<string, StreamEvents<E>>,
  prefix: string,
  event: RecordedEvent<E>,
): void {
  const group = groups.get(event.stream);
  if (group) group.events.push(event);
  else groups.set(event.stream, { id: event.stream.slice(prefix.length), stream: event.stream, events: [event] });
}

/**
 * What to do with events on a record of a revision (-1: there is none): nothing, because it has them all; fold them onto
 * it, the ones that it has left out; or, where one is missing in between, read the whole stream.
 */
export function nextStep<E>(
  recordRevision: number,
  events: readonly RecordedEvent<E & (KeyEvent | KeyspaceEvent)>[],
): 'skip' | 'fold' | 'reload' {
  let next = recordRevision + 1;
  for (const { revision } of events) {
    if (revision <= recordRevision) continue;
    if (revision !== next++) return 'reload';
  }
  return next > recordRevision + 1 ? 'fold' : 'skip';
}

/**
 * Folds the events that the record does not have yet onto it. They must follow it without a gap.
 * @throws RangeError if the stream does not begin as it must.
 */
export function foldKey(
  record: Projected<KeyState> | undefined,
  events: readonly RecordedEvent<KeyEvent>[],
): Projected<KeyState> {
  return foldOnto(record, events, evolveKey);
}

export function foldKeyspace(
  record: Projected<KeyspaceState> | undefined,
  events: readonly RecordedEvent<KeyspaceEvent>[],
): Projected<KeyspaceState> {
  return foldOnto(record, events, evolveKeyspace);
}

function foldOnto<S, E extends KeyEvent | KeyspaceEvent>(
  record: Projected<S> | undefined,
  events: readonly RecordedEvent<E>[],
  evolve: (state: S | undefined, event: E) => S,
): Projected<S> {
  let folded = record;
  for (const { event, revision } of events) {
    if (revision <= (folded?.revision ?? -1)) continue;
    folded = { state: evolve(folded?.state, event), revision };
  }
  if (!folded) throw new RangeError('there is nothing to fold');
  return folded;
}

/** The secrets that these events brought into being. */
export function introducedBy(events: readonly RecordedEvent<KeyEvent>[]): SecretRef[] {
  return events.flatMap(({ event }) => {
    const { type, data } = event;
    return type === 'KeyIssued' || type === 'KeyImported' || type === 'KeyRotated' ? [refOf(data.secret)] : [];
  });
}
