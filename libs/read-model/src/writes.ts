import { redisNames, type RedisIndex } from '@keyledger/contracts';
import type { KeyState, KeyspaceState } from '@keyledger/domain';
import type { KeyCommand, Packed, RedisLink } from './link.js';
import {
  decodePointer,
  decodeState,
  encodePointer,
  encodeRecord,
  encodeRetired,
  keyIndexEntries,
  keyspaceIndexEntry,
  refOf,
  sameSecret,
  secretsOf,
  type IndexEntry,
  type Projected,
  type SecretRef,
} from './records.js';
import { addHints, putIfNewer, replaceIfOlder, swap } from './scripts.js';
import { ReadModelUnavailable } from './unavailable.js';

/** A key as it shall stand in Redis. */
export interface KeyChange extends Projected<KeyState> {
  /** Secrets that came with the events behind this change, where they are known. */
  introduced?: readonly SecretRef[];
  /**
   * The pointer as it was read just now, or '' where there is thought to be none although nobody has looked (which needs
   * a link that reaches `acrossSlots`); absent: it is read here.
   */
  pointer?: string;
  /**
   * An earlier state of the key, of which it is known that all its hints stand; they are not added again. Should a server
   * lose one of them, it loses with it what its marker said after that, and the stream is replayed by `force`.
   */
  hinted?: KeyState;
  /** Something of it was met where none was expected: it is written step by step. */
  met?: true;
  /** Writes everything anew, whatever the pointer says: parts of it may have been lost. Needs all of `introduced`. */
  force?: boolean;
}

/** How long the trace of a secret stays that its key no longer remembers: it keeps late writers from bringing it back. */
const FORGOTTEN_TTL_SECONDS = 3600;
/** A writer that was held up for longer than this reads again before it writes; far below the time above. */
const WRITE_WITHIN_MS = 10_000;
const MAX_ROUNDS = 8;
/** What one command may add to an index: nobody else's command waits long behind it. */
const MEMBERS_PER_COMMAND = 256;
/**
 * From so many members on an index gets a command of its own, which is cheaper for Redis. Fewer go by a script, which
 * adds to many indexes at once and is cheaper for this process.
 */
const MEMBERS_BY_SCRIPT = 8;

/**
 * Writes keys into a generation, in any order, any number of times, from any number of processes at once, also with
 * states that are long out of date: what stands there in the end is the newest of all.
 *
 * The pointer of a key is written last and by compare-and-set on its whole text. So a pointer at revision n says that
 * everything of n is written, and nobody replaces a pointer without having dealt with the secrets that it named: each
 * of them is either still named or marked as over. That is what keeps a secret's old record from outliving it when a
 * writer jumps over several rotations. Where one command reaches all names, a key of which nothing stands yet gets
 * records and pointer in one step that does nothing if any of them is there.
 * @throws ReadModelUnavailable if it cannot be said that all is written. Doing it again is always right.
 */
export async function writeKeys(link: RedisLink, generation: string, changes: readonly KeyChange[]): Promise<void> {
  await writePlanned(link, await planKeys(link, generation, newestOfEach(changes), performance.now()));
}

function newestOfEach(changes: readonly KeyChange[]): readonly KeyChange[] {
  if (changes.length < 2) return changes;
  const newest = new Map<string, KeyChange>();
  for (const change of changes) {
    const other = newest.get(change.state.keyId);
    if (!other || other.revision <= change.revision) newest.set(change.state.keyId, change);
  }
  return [...newest.values()];
}

/** What `writeKeys` is going to write: bytes, and of each key what it takes to begin again. */
export interface PlannedKeys {
  generation: string;
  readAt: number;
  records: Packed;
  /** The pointers, in the order of `keys` those that move; with the records of those that are new and come in one step. */
  pointers: Packed;
  keys: PlannedKey[];
}

interface PlannedKey {
  /** The state as text: one object that waits for Redis in place of a hundred. */
  record: string;
  introduced: readonly SecretRef[];
  force: boolean;
  moves: boolean;
}

/**
 * The first half of `writeKeys`, after which the changes are needed no more.
 * @param changes no two of them of the same key.
 * @param readAt when the pointers that come with the changes were read, by `performance.now()`.
 */
export async function planKeys(
  link: RedisLink,
  generation: string,
  changes: readonly KeyChange[],
  readAt: number,
): Promise<PlannedKeys> {
  const pointers = await pointersOf(link, generation, changes);
  const writes: Writes = { records: [], pointers: [], hints: new Hints() };
  const keys = changes.map((change, index) => {
    const pointer = pointers[index] as string;
    const asNew = pointer === '' && link.acrossSlots && !change.met ? planNew(generation, change, writes) : undefined;
    return asNew ?? plan(generation, change, pointer, writes);
  });
  return {
    generation,
    readAt,
    records: link.pack([...writes.records, ...writes.hints.commands(generation)]),
    pointers: link.pack(writes.pointers),
    keys,
  };
}

/** The second half of `writeKeys`. Gives whether nothing was met that was not known when they were planned. */
export async function writePlanned(link: RedisLink, planned: PlannedKeys): Promise<boolean> {
  for (let round = 0; planned.keys.length > 0; round++) {
    if (round === MAX_ROUNDS) throw new ReadModelUnavailable('unreachable', new Error('other writers came first'));
    const again = await writeOnce(link, planned);
    if (again.length === 0) return round === 0;
    planned = await planKeys(link, planned.generation, again, performance.now());
  }
  return true;
}

/** Gives the changes that must be looked at again: because it took too long, or because another writer came first. */
async function writeOnce(link: RedisLink, { readAt, records, pointers, keys }: PlannedKeys): Promise<KeyChange[]> {
  const inTime = (): boolean => performance.now() - readAt <= WRITE_WITHIN_MS;
  if (!inTime()) return keys.map(changeOf);
  await link.send(records);
  if (!inTime()) return keys.map(changeOf);
  const replies = await link.send(pointers);
  return keys
    .filter(({ moves }) => moves)
    .flatMap((key, index) => {
      const reply = replies[index];
      if (reply === 1) return [];
      const change = changeOf(key);
      const introduced = [...key.introduced, ...secretsOf(change.state)];
      // From a command for many keys comes no more than that one of them stands there.
      return [{ ...change, introduced, ...(reply === 0 ? { met: true } : { pointer: String(reply) }) }];
    });
}

function changeOf({ record, introduced, force }: PlannedKey): KeyChange {
  return { ...decodeState<KeyState>(record), introduced, force };
}

/** Writes keyspaces under the same terms. Their record is one key, written after its hint. */
export async function writeKeyspaces(
  link: RedisLink,
  generation: string,
  changes: readonly Projected<KeyspaceState>[],
): Promise<void> {
  const hints = new Hints();
  hints.add(changes.map(({ state }) => keyspaceIndexEntry(state)));
  await link.batch(hints.commands(generation));
  await link.batch(
    changes.map((change) => ({
      call: putIfNewer,
      key: redisNames.keyspace(generation, change.state.keyspaceId),
      args: [encodeRecord(change), ''],
    })),
  );
}

/** What is to be written for the keys of a batch. */
interface Writes {
  records: KeyCommand[];
  pointers: KeyCommand[];
  hints: Hints;
}

async function pointersOf(link: RedisLink, generation: string, changes: readonly KeyChange[]): Promise<string[]> {
  const unread = changes.filter(({ pointer }) => pointer === undefined);
  const replies = await link.batch(
    unread.map(({ state }) => ({ call: 'get', key: redisNames.pointer(generation, state.keyId) })),
  );
  const read = replies.values();
  return changes.map(({ pointer }) => pointer ?? (read.next().value as string | null) ?? '');
}

/**
 * Adds to `writes` a key of which nothing stands in the generation yet. `undefined` where a trace is to be left that goes
 * after a while: that takes more than one step.
 */
function planNew(generation: string, change: KeyChange, writes: Writes): PlannedKey | undefined {
  const { state, revision, introduced = [], force = false } = change;
  const good = secretsOf(state);
  const over = state.retired.map(refOf);
  const isNamed = (one: SecretRef): boolean =>
    good.some((other) => sameSecret(one, other)) || over.some((other) => sameSecret(one, other));
  if (force || !introduced.every(isNamed)) return undefined;
  const record = encodeRecord({ state, revision });
  const args = [encodePointer(state, revision)];
  const set = ({ namespace, hash }: SecretRef, text: string): void => {
    args.push(redisNames.record(generation, namespace, hash), text);
  };
  for (const secret of good) set(secret, record);
  for (const secret of over) set(secret, encodeRetired(revision, state.keyId));
  writes.hints.add(keyIndexEntries(state));
  writes.pointers.push({ call: 'msetnx', key: redisNames.pointer(generation, state.keyId), args });
  return { record, introduced, force, moves: true };
}

/** Adds to `writes` what brings one key into the generation. */
function plan(generation: string, change: KeyChange, pointer: string, writes: Writes): PlannedKey {
  const { state, revision, introduced = [], force = false, hinted } = change;
  const { keyId } = state;
  const held = decodePointer(pointer);
  const nameOf = ({ namespace, hash }: SecretRef): string => redisNames.record(generation, namespace, hash);
  const record = encodeRecord({ state, revision });
  const moves = held.revision < revision;

  if (!moves && !force) {
    // Complete already. A writer that died half-way may have left the record of a secret that has ended since.
    const text = encodeRetired(held.revision, keyId);
    for (const secret of introduced) {
      if (held.secrets.some((one) => sameSecret(one, secret))) continue;
      writes.records.push({ call: replaceIfOlder, key: nameOf(secret), args: [text] });
    }
    return { record, introduced, force, moves };
  }
  const over = encodeRetired(revision, keyId);
  const put = (secret: SecretRef, text: string): void => {
    const where = { call: putIfNewer, key: nameOf(secret) };
    writes.records.push(pointer === '' ? { ...where, fresh: text } : { ...where, args: [text, ''] });
  };
  const known = secretsOf(state);
  for (const secret of known) put(secret, record);
  for (const secret of state.retired) {
    known.push(refOf(secret));
    put(refOf(secret), over);
  }
  for (const secret of [...held.secrets, ...introduced]) {
    if (known.some((one) => sameSecret(one, secret))) continue;
    writes.records.push({ call: putIfNewer, key: nameOf(secret), args: [over, FORGOTTEN_TTL_SECONDS] });
  }
  writes.hints.add(keyIndexEntries(state, hinted));
  if (moves) {
    const text = encodePointer(state, revision);
    const where = { call: swap, key: redisNames.pointer(generation, keyId) };
    writes.pointers.push(pointer === '' ? { ...where, fresh: text } : { ...where, args: [pointer, text] });
  }
  return { record, introduced, force, moves };
}

/** Members of indexes, gathered so that what goes into one index goes in one command. All scores are 0. */
class Hints {
  private readonly kinds = new Map<RedisIndex, Map<string, string[]>>();

  add(entries: readonly IndexEntry[]): void {
    for (const { kind, name, member } of entries) {
      let indexes = this.kinds.get(kind);
      if (!indexes) this.kinds.set(kind, (indexes = new Map<string, string[]>()));
      const members = indexes.get(name);
      if (members) members.push(member);
      else indexes.set(name, [member]);
    }
  }

  commands(generation: string): KeyCommand[] {
    const commands: KeyCommand[] = [];
    for (const [kind, indexes] of this.kinds) {
      for (const [name, members] of indexes) {
        const key = redisNames.index(generation, kind, name);
        if (members.length < MEMBERS_BY_SCRIPT) {
          commands.push({ call: addHints, key, args: [members.join(' ')] });
          continue;
        }
        for (let from = 0; from < members.length; from += MEMBERS_PER_COMMAND) {
          const args: string[] = [];
          for (const member of members.slice(from, from + MEMBERS_PER_COMMAND)) args.push('0', member);
          commands.push({ call: 'zadd', key, args });
        }
      }
    }
    return commands;
  }
}
