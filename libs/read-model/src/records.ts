import type { Instant, RedisIndex, SecretNamespace } from '@keyledger/contracts';
import type { KeyState, KeyspaceState } from '@keyledger/domain';
import { hash } from 'node:crypto';
import { ReadModelUnavailable } from './unavailable.js';

/** A state and the revision of its stream that made it. */
export interface Projected<S> {
  state: S;
  revision: number;
}

/** One secret as it is looked up. */
export interface SecretRef {
  namespace: SecretNamespace;
  hash: string;
}

/** What stands under the name of a key id: up to which revision everything is written, and the secrets that may be good. */
export interface Pointer {
  revision: number;
  /** Newest first; each holds the whole record. */
  secrets: readonly SecretRef[];
}

/**
 * A record in Redis: `<revision> <json>`, in ASCII. One letter beyond would make every text that it is joined with on
 * its way twice as wide in memory and slow to send, and every mask has one.
 */
export function encodeRecord<S>({ state, revision }: Projected<S>): string {
  return `${revision} ${asciiJson(JSON.stringify(state))}`;
}

const BEYOND_ASCII = /[^\0-\x7f]/g;

function asciiJson(json: string): string {
  BEYOND_ASCII.lastIndex = 0;
  if (!BEYOND_ASCII.test(json)) return json;
  // Pieces of the text itself would stay wide in memory, though no wide letter is left in them.
  const bytes = Buffer.from(json, 'latin1');
  let ascii = '';
  let from = 0;
  do {
    const at = BEYOND_ASCII.lastIndex - 1;
    ascii += `${bytes.toString('latin1', from, at)}\\u${json.charCodeAt(at).toString(16).padStart(4, '0')}`;
    from = at + 1;
  } while (BEYOND_ASCII.test(json));
  return ascii + bytes.toString('latin1', from);
}

/** Stands where the record of a secret was that is over: whoever presents it is judged by the key as it is now. */
export function encodeRetired(revision: number, keyId: string): string {
  return `${revision} @${keyId}`;
}

/**
 * What stands under a secret's hash: the key, or the id of the key that the secret once belonged to.
 * @throws ReadModelUnavailable for a text that we did not write.
 */
export function decodeRecord(text: string): Projected<KeyState> | { retiredOf: string } {
  const at = text.indexOf(' ') + 1;
  return text.charCodeAt(at) === 64 /* @ */ ? { retiredOf: text.slice(at + 1) } : decodeState<KeyState>(text);
}

/** @throws ReadModelUnavailable for a text that we did not write. */
export function decodeState<S>(text: string): Projected<S> {
  const revision = revisionOf(text);
  try {
    const state = JSON.parse(text.slice(text.indexOf(' ') + 1)) as S;
    if (revision >= 0 && typeof state === 'object') return { state, revision };
  } catch {
    // Answered below. The parser's own message would quote the record.
  }
  throw new ReadModelUnavailable('missing', new Error('a record cannot be read'));
}

/** The revision at the head of any text of ours; -1 if there is none. */
export function revisionOf(text: string | null | undefined): number {
  const digits = /^(\d{1,15}) /.exec(text ?? '')?.[1];
  return digits === undefined ? -1 : Number(digits);
}

export function encodePointer(state: KeyState, revision: number): string {
  const secrets = secretsOf(state).map(({ namespace, hash }) => `${namespace === 'issued' ? 'v' : 'f'}:${hash}`);
  return [revision, ...secrets].join(' ');
}

export function decodePointer(text: string | null | undefined): Pointer {
  if (!text) return NO_POINTER;
  const [, ...rest] = text.split(' ');
  const secrets = rest.map((part): SecretRef => {
    return { namespace: part.startsWith('f:') ? 'imported' : 'issued', hash: part.slice(2) };
  });
  return { revision: revisionOf(text), secrets };
}

const NO_POINTER: Pointer = { revision: -1, secrets: [] };

/** The secrets under whose hashes the whole record stands. */
export function secretsOf(state: KeyState): SecretRef[] {
  return state.secrets.map(refOf);
}

export function refOf(secret: { hash: string; imported?: true }): SecretRef {
  return { namespace: secret.imported ? 'imported' : 'issued', hash: secret.hash };
}

export function sameSecret(one: SecretRef, other: SecretRef): boolean {
  return one.hash === other.hash && one.namespace === other.namespace;
}

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** Enough for every instant of a four-digit year up to 8888; with an id of 22 characters a member fills 32 bytes. */
const SORTABLE_WIDTH = 8;
/** Two digits at once. */
const PAIRS = [...DIGITS].flatMap((high) => [...DIGITS].map((low) => high + low));

/** An instant as text of fixed width whose order, byte by byte, is the order of time. */
export function sortable(instant: Instant): string {
  let rest = Math.min(Math.max(Date.parse(instant), 0), 62 ** SORTABLE_WIDTH - 1);
  let text = '';
  for (let i = 0; i < SORTABLE_WIDTH; i += 2) {
    text = (PAIRS[rest % PAIRS.length] as string) + text;
    rest = Math.floor(rest / PAIRS.length);
  }
  return text;
}

/** A member of an index: when, and of which id. */
export function indexMember(instant: Instant, id: string): string {
  return sortable(instant) + id;
}

export function idOfMember(member: string): string {
  return member.slice(SORTABLE_WIDTH);
}

/** Owners are named by their callers, at any length and with any character; a name in Redis needs neither. */
export function ownerIndexName(ownerId: string): string {
  return hash('sha256', ownerId, 'base64url').slice(0, 22);
}

export interface IndexEntry {
  kind: RedisIndex;
  /** Which index of its kind. */
  name: string;
  member: string;
}

/**
 * The hints by which a key can be found. They are only ever added: what no longer fits is skipped by whoever reads, who
 * looks at the record anyway.
 * @param but those of an earlier state of the same key are left out.
 */
export function keyIndexEntries(key: KeyState, but?: KeyState): IndexEntry[] {
  const { keyId, keyspaceId, environment, createdAt, expiresAt, owner, status } = key;
  const entries: IndexEntry[] = [];
  const born = indexMember(createdAt, keyId);
  if (!but) entries.push({ kind: 'environment', name: `${keyspaceId}:${environment}`, member: born });
  if (but?.owner.id !== owner.id) entries.push({ kind: 'owner', name: ownerIndexName(owner.id), member: born });
  if (status !== 'active' && but?.status !== status) entries.push({ kind: status, name: keyspaceId, member: born });
  if (expiresAt !== undefined && but?.expiresAt !== expiresAt) {
    entries.push({ kind: 'expiry', name: keyspaceId, member: indexMember(expiresAt, keyId) });
  }
  return entries;
}

export function keyspaceIndexEntry({ createdAt, keyspaceId }: KeyspaceState): IndexEntry {
  return { kind: 'keyspaces', name: 'all', member: indexMember(createdAt, keyspaceId) };
}
