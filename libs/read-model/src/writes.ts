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
  /** The pointer as it was read just now; absent: it is read here. */
  pointer?: string;
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
 * Writes keys into a generation, in any order, any number of times, from any number of processes at once, also with
 * states that are long out of date: what stands there in the end is the newest of all.
 *
 * The pointer of a key is written last and by compare-and-set on its whole text. So a pointer at revision n says that
 * everything of n is written, and nobody replaces a pointer without having dealt with the secrets that it named: each
 * of them is either still named or marked as over. That is what keeps a secret's old record from outliving it when a
 * writer jumps over several rotations.
 * @throws ReadModelUnavailable if it cannot be said that all is written. Doing it again is always right.
 */
export async function writeKeys(link: RedisLink, generation: string, changes: readonly KeyChange[]): Promise<void> {
  await writePlanned(link, await planKeys(link, generation, changes, performance.now()));
}

/** What `writeKeys` is going to write: bytes, and of each key what it takes to begin again. */
export interface PlannedKeys {
  generation: string;
  readAt: number;
  records: Packed;
  /** The pointers, in the order of `keys` those that move. */
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
 * @param readAt when the pointers that come with the changes were read, by `performance.now()`.
 */
export async function planKeys(
  link: RedisLink,
  generation: string,
  changes: readonly KeyChange[],
  readAt: number,
): Promise<PlannedKeys> {
  const pointers = await pointersOf(link, generation, changes);
  const plans = changes.map((change, index) => planOf(generation, change, pointers[index] as string));
  const hints = additions(generation, plans);
  return {
    generation,
    readAt,
    records: link.pack([...plans.flatMap(({ commands }) => commands), ...hints]),
    pointers: link.pack(plans.flatMap(({ move }) => move ?? [])),
    keys: plans.map(({ change: { introduced = [], force = false }, record, move }) => {
      return { record, introduced, force, moves: move !== undefined };
    }),
  };
}

/** The second half of `writeKeys`. */
export async function writePlanned(link: RedisLink, planned: PlannedKeys): Promise<void> {
  for (let round = 0; planned.keys.length > 0; round++) {
    if (round === MAX_ROUNDS) throw new ReadModelUnavailable('unreachable', new Error('other writers came first'));
    const again = await writeOnce(link, planned);
    if (again.length === 0) return;
    planned = await planKeys(link, planned.generation, again, performance.now());
  }
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
      return [{ ...change, introduced, pointer: String(reply) }];
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
  await link.batch(additions(generation, [{ hints: changes.map(({ state }) => keyspaceIndexEntry(state)) }]));
  await link.batch(
    changes.map((change) => ({
      call: putIfNewer,
      key: redisNames.keyspace(generation, change.state.keyspaceId),
      args: [encodeRecord(change), ''],
    })),
  );
}

interface Plan {
  change: KeyChange;
  record: string;
  commands: KeyCommand[];
  hints: IndexEntry[];
  /** Absent where the same or a newer revision is written already. */
  move?: KeyCommand;
}

async function pointersOf(link: RedisLink, generation: string, changes: readonly KeyChange[]): Promise<string[]> {
  const unread = changes.filter(({ pointer }) => pointer === undefined);
  const replies = await link.batch(
    unread.map(({ state }) => ({ call: 'get', key: redisNames.pointer(generation, state.keyId) })),
  );
  const read = replies.values();
  return changes.map(({ pointer }) => pointer ?? (read.next().value as string | null) ?? '');
}

function planOf(generation: string, change: KeyChange, pointer: string): Plan {
  const { state, revision, introduced = [], force = false } = change;
  const { keyId } = state;
  const held = decodePointer(pointer);
  const nameOf = ({ namespace, hash }: SecretRef): string => redisNames.record(generation, namespace, hash);

  const record = encodeRecord({ state, revision });

  if (held.revision >= revision && !force) {
    // Complete already. A writer that died half-way may have left the record of a secret that has ended since.
    const ended = introduced.filter((secret) => !held.secrets.some((one) => sameSecret(one, secret)));
    const text = encodeRetired(held.revision, keyId);
    const commands = ended.map((secret) => ({ call: replaceIfOlder, key: nameOf(secret), args: [text] }));
    return { change, record, commands, hints: [] };
  }
  const usable = secretsOf(state);
  const over = encodeRetired(revision, keyId);
  const commands: KeyCommand[] = [];
  const put = (secret: SecretRef, text: string, ttlSeconds: number | '' = ''): void => {
    commands.push({ call: putIfNewer, key: nameOf(secret), args: [text, ttlSeconds] });
  };
  const known = [...usable, ...state.retired.map(refOf)];
  known.forEach((secret, index) => put(secret, index < usable.length ? record : over));
  for (const secret of [...held.secrets, ...introduced]) {
    const forgotten = !known.some((one) => sameSecret(one, secret));
    if (forgotten) put(secret, over, FORGOTTEN_TTL_SECONDS);
  }
  const hints = keyIndexEntries(state);
  if (held.revision >= revision) return { change, record, commands, hints };
  const args = [pointer, encodePointer(state, revision)];
  return { change, record, commands, hints, move: { call: swap, key: redisNames.pointer(generation, keyId), args } };
}

/** What goes into one index goes in one command. All scores are 0: the order is that of the members. */
function additions(generation: string, plans: readonly Pick<Plan, 'hints'>[]): KeyCommand[] {
  const kinds = new Map<RedisIndex, Map<string, string[]>>();
  for (const { hints } of plans) {
    for (const { kind, name, member } of hints) {
      let indexes = kinds.get(kind);
      if (!indexes) kinds.set(kind, (indexes = new Map<string, string[]>()));
      const members = indexes.get(name);
      if (members) members.push(member);
      else indexes.set(name, [member]);
    }
  }
  const commands: KeyCommand[] = [];
  for (const [kind, indexes] of kinds) {
    for (const [name, members] of indexes) {
      const key = redisNames.index(generation, kind, name);
      for (let from = 0; from < members.length; from += MEMBERS_PER_COMMAND) {
        const args = [members.slice(from, from + MEMBERS_PER_COMMAND).join(' ')];
        commands.push({ call: addHints, key, args });
      }
    }
  }
  return commands;
}
