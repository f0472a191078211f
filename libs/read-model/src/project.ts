import { redisNames, type KeyEvent, type KeyspaceEvent, type RecordedEvent } from '@keyledger/contracts';
import type { KeyState, KeyspaceState } from '@keyledger/domain';
import type { EventStore } from '@keyledger/event-store';
import type { ChangedKey, HandedOver } from './handed-over.js';
import type { RedisLink } from './link.js';
import { foldKey, foldKeyspace, introducedBy, nextStep, type GroupedEvents, type StreamEvents } from './projection.js';
import {
  decodePointer,
  decodeRecord,
  decodeState,
  revisionOf,
  sameSecret,
  type Projected,
  type SecretRef,
} from './records.js';
import { planKeys, writeKeys, writeKeyspaces, writePlanned, type KeyChange, type PlannedKeys } from './writes.js';

/** Batches at work at a time: enough for Redis and this process to be busy at once, more only takes memory. */
export const BATCHES_AT_ONCE = 4;
/** Events in one batch at most. */
export const BATCH_SIZE = 250;
/** Streams that are read whole at the same time. */
const STREAMS_AT_ONCE = 16;

/** What the read model asks of the event store. */
export type LedgerSource = Pick<EventStore, 'load' | 'subscribe' | 'head' | 'storedAt'>;

/** Where events are brought to, and what was met there. */
export interface Ground {
  link: RedisLink;
  store: LedgerSource;
  /**
   * Generations in which the keys that began in the batch before were all new. Those of the next batch most likely are,
   * too, and are written without a look: what is wrong in that, the write itself finds out.
   */
  untrodden: Set<string>;
  /** What this process has decided itself. */
  handedOver?: HandedOver;
}

/**
 * Brings the events of a batch into generations, each stream's in its order: records that have them already stay,
 * others are folded on, and where the record lacks events before these the whole stream is read. Doing it again changes
 * nothing. The keys of `groups` are taken out once they are folded: nothing keeps their events while Redis writes.
 * @param force believe no record: read every stream of the batch whole and write all that it gives.
 */
export async function projectInto(
  ground: Ground,
  generations: readonly string[],
  groups: GroupedEvents,
  force = false,
): Promise<void> {
  const { link, store } = ground;
  const { keys, keyspaces } = groups;
  await Promise.all([
    ...generations.map((one) => projectKeyspaces(link, store, one, keyspaces)),
    ...(force ? generations.map((one) => rewriteKeys(link, store, one, keys)) : []),
    ...(force ? [] : [projectKeys(ground, generations, keys)]),
  ]);
}

/** Says in Redis that there are imported keys, before the first of them can be found. */
export async function announceImported(link: RedisLink, groups: GroupedEvents): Promise<void> {
  if (!groups.keys.some(({ events }) => events.some(({ event }) => event.type === 'KeyImported'))) return;
  await link.batch([{ call: 'hset', key: redisNames.meta, args: ['imported', '1'] }]);
}

/** Reads streams of keys whole and writes all that they give, whatever stands there. */
export async function rewriteKeys(
  link: RedisLink,
  store: LedgerSource,
  generation: string,
  groups: readonly { stream: string }[],
): Promise<void> {
  for (let from = 0; from < groups.length; from += STREAMS_AT_ONCE) {
    const changes = await Promise.all(
      groups.slice(from, from + STREAMS_AT_ONCE).map(async ({ stream }): Promise<KeyChange[]> => {
        const events = (await store.load(stream)).events as RecordedEvent<KeyEvent>[];
        if (events.length === 0) return [];
        return [{ ...foldKey(undefined, events), introduced: introducedBy(events), force: true }];
      }),
    );
    await writeKeys(link, generation, changes.flat());
  }
}

async function projectKeys(
  ground: Ground,
  generations: readonly string[],
  groups: StreamEvents<KeyEvent>[],
): Promise<void> {
  if (groups.length === 0) return;
  const { link, untrodden } = ground;
  const planned = await Promise.all(generations.map((one) => planGroups(ground, one, groups)));
  groups.length = 0;
  await Promise.all(
    planned.flat().map(async ({ plan, unseen }) => {
      const metNone = await writePlanned(link, plan);
      if (unseen && !metNone) untrodden.delete(plan.generation);
    }),
  );
}

interface PlannedGroups {
  plan: PlannedKeys;
  /** Whether they were taken for new without a look. */
  unseen: boolean;
}

async function planGroups(
  ground: Ground,
  generation: string,
  groups: readonly StreamEvents<KeyEvent>[],
): Promise<PlannedGroups[]> {
  const { link, untrodden, handedOver } = ground;
  const beginsNew = link.acrossSlots && untrodden.has(generation);
  const [unseen, seen]: [StreamEvents<KeyEvent>[], StreamEvents<KeyEvent>[]] = [[], []];
  const known: KnownKey[] = [];
  for (const group of groups) {
    const { id, events } = group;
    if (beginsNew && isJustBegun(group)) unseen.push(group);
    else {
      const [first, last] = [events[0]?.revision ?? 0, events.at(-1)?.revision ?? 0];
      const key = handedOver?.take(id, generation, first, last);
      if (key) known.push({ key, introduced: introducedBy(events) });
      else seen.push(group);
    }
  }
  return Promise.all([
    ...(unseen.length > 0 ? [planUnseen(link, generation, unseen)] : []),
    ...(known.length > 0 ? [planKnown(link, generation, known)] : []),
    ...(seen.length > 0 ? [planSeen(ground, generation, seen)] : []),
  ]);
}

/** Whether the key began in this batch and nothing else happened to it there: then all its secrets are good. */
function isJustBegun({ events }: StreamEvents<KeyEvent>): boolean {
  return events.length === 1 && events[0]?.revision === 0;
}

async function planUnseen(
  link: RedisLink,
  generation: string,
  groups: readonly StreamEvents<KeyEvent>[],
): Promise<PlannedGroups> {
  const changes = groups.map(({ events }): KeyChange => {
    return { ...foldKey(undefined, events), introduced: introducedBy(events), pointer: '' };
  });
  return { plan: await planKeys(link, generation, changes, performance.now()), unseen: true };
}

/** A key of which this process knows how it stood and what has become of it. */
interface KnownKey {
  key: ChangedKey;
  introduced: SecretRef[];
}

async function planKnown(link: RedisLink, generation: string, keys: readonly KnownKey[]): Promise<PlannedGroups> {
  let readAt = Infinity;
  const changes = keys.map(({ key: { state, revision, before }, introduced }): KeyChange => {
    readAt = Math.min(readAt, before.readAt);
    return { state, revision, introduced, ...behind(before.pointer, before) };
  });
  return { plan: await planKeys(link, generation, changes, readAt), unseen: false };
}

/** What is known of the place to which a change goes. */
function behind(pointer: string, record: Projected<KeyState> | undefined): Pick<KeyChange, 'pointer' | 'hinted'> {
  // The pointer is written after the hints, so a record of just its revision has all of its own. A record may be ahead.
  return record?.revision === revisionOf(pointer) ? { pointer, hinted: record.state } : { pointer };
}

async function planSeen(
  { link, store, untrodden }: Ground,
  generation: string,
  groups: readonly StreamEvents<KeyEvent>[],
): Promise<PlannedGroups> {
  const readAt = performance.now();
  const texts = (await link.batch(
    groups.map(({ id }) => ({ call: 'get', key: redisNames.pointer(generation, id) })),
  )) as (string | null)[];
  const begun = groups.flatMap((group, index) => (isJustBegun(group) ? [texts[index]] : []));
  if (begun.length > 0 && begun.every((text) => text === null)) untrodden.add(generation);
  const open = groups
    .map((group, index) => ({ group, pointer: texts[index] ?? '', introduced: introducedBy(group.events) }))
    .filter((one) => !isComplete(one));
  const records = await recordsFor(link, generation, open);
  const folded = await foldOrReload(
    store,
    open.map(({ group, pointer }, index) => ({ group, written: revisionOf(pointer), record: records[index] })),
    foldKey,
  );
  const changes = open.map(({ pointer, introduced }, index): KeyChange => {
    const { state, revision } = folded[index] as Projected<KeyState>;
    return { state, revision, introduced, ...behind(pointer, records[index]) };
  });
  return { plan: await planKeys(link, generation, changes, readAt), unseen: false };
}

interface OpenKey {
  group: StreamEvents<KeyEvent>;
  pointer: string;
  introduced: SecretRef[];
}

/** All is written, and no secret of these events has ended since without that this can be told from the pointer. */
function isComplete({ group, pointer, introduced }: OpenKey): boolean {
  const { revision, secrets } = decodePointer(pointer);
  return (
    nextStep(revision, group.events) === 'skip' &&
    introduced.every((secret) => secrets.some((one) => sameSecret(one, secret)))
  );
}

/** The records onto which events are to be folded, where the events follow them. */
async function recordsFor(
  link: RedisLink,
  generation: string,
  keys: readonly OpenKey[],
): Promise<(Projected<KeyState> | undefined)[]> {
  const wanted = keys.map(({ group, pointer }) => {
    const { revision, secrets } = decodePointer(pointer);
    const [current] = secrets;
    if (!current || nextStep(revision, group.events) === 'reload') return undefined;
    return { id: group.id, key: redisNames.record(generation, current.namespace, current.hash) };
  });
  const reads = wanted.filter((one) => one !== undefined);
  const replies = ((await link.batch(reads.map(({ key }) => ({ call: 'get', key })))) as (string | null)[]).values();
  return wanted.map((one) => {
    const text = one ? (replies.next().value as string | null) : null;
    const decoded = text === null ? undefined : readable(() => decodeRecord(text));
    return decoded && 'state' in decoded && decoded.state.keyId === one?.id ? decoded : undefined;
  });
}

async function projectKeyspaces(
  link: RedisLink,
  store: LedgerSource,
  generation: string,
  groups: readonly StreamEvents<KeyspaceEvent>[],
): Promise<void> {
  if (groups.length === 0) return;
  const texts = (await link.batch(
    groups.map(({ id }) => ({ call: 'get', key: redisNames.keyspace(generation, id) })),
  )) as (string | null)[];
  const held = groups.map((group, index) => {
    const text = texts[index] ?? null;
    const record = text === null ? undefined : readable(() => decodeState<KeyspaceState>(text));
    return { group, written: revisionOf(text), record };
  });
  await writeKeyspaces(link, generation, await foldOrReload(store, held, foldKeyspace));
}

/** A record that somebody has spoilt is as good as none: the events make a new one. */
function readable<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}

interface Held<S, E extends KeyEvent | KeyspaceEvent> {
  group: StreamEvents<E>;
  /** The revision up to which the generation says that it has everything; a record that lags is not believed. */
  written: number;
  record: Projected<S> | undefined;
}

/** The state after each group's events: from the record if it reaches up to them, else from the whole stream. */
async function foldOrReload<S, E extends KeyEvent | KeyspaceEvent>(
  store: LedgerSource,
  all: readonly Held<S, E>[],
  fold: (record: Projected<S> | undefined, events: readonly RecordedEvent<E>[]) => Projected<S>,
): Promise<Projected<S>[]> {
  const behind: number[] = [];
  // No promise for each: nearly all are folded here and now, and that costs less than one.
  const folded = all.map(({ group, written, record }, index) => {
    const held = record?.revision ?? -1;
    if (held >= written && nextStep(held, group.events) !== 'reload') return fold(record, group.events);
    behind.push(index);
    return undefined;
  });
  await inTurns(behind, async (index) => {
    const { events } = await store.load((all[index] as Held<S, E>).group.stream);
    folded[index] = fold(undefined, events as RecordedEvent<E>[]);
  });
  return folded as Projected<S>[];
}

async function inTurns<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < all.length; from += STREAMS_AT_ONCE) {
    await Promise.all(all.slice(from, from + STREAMS_AT_ONCE).map(work));
  }
}
