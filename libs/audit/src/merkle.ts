import { hash as digest } from 'node:crypto';

/** A SHA-256 hash: 32 bytes. */
export type Hash = Buffer;
export const HASH_BYTES = 32;

/** Root of the tree without leaves. */
export const EMPTY_ROOT: Hash = sha256(Buffer.alloc(0));

/** What a leaf is hashed behind. */
export const LEAF_PREFIX = Buffer.of(0);
/** `0x01 || left || right`, written anew for every node: hashing is synchronous. */
const NODE = Buffer.alloc(1 + 2 * HASH_BYTES, 1);

/** RFC 9162 section 2.1.1: `SHA-256(0x00 || leaf)`. */
export function leafHash(leaf: Uint8Array): Hash {
  return sha256(Buffer.concat([LEAF_PREFIX, leaf]));
}

/** RFC 9162 section 2.1.1: `SHA-256(0x01 || left || right)`. */
export function nodeHash(left: Hash, right: Hash): Hash {
  NODE.set(left, 1);
  NODE.set(right, 1 + HASH_BYTES);
  return sha256(NODE);
}

/** A buffer as `hash` gives one has memory of its own, which takes as long to get as the hash. */
export function sha256(bytes: Uint8Array): Hash {
  return Buffer.from(digest('sha256', bytes, 'binary'), 'latin1');
}

/**
 * A complete subtree: the `2 ** level` leaves from `index * 2 ** level` on. Sizes and indices go up to 2^53 - 1, so
 * nothing here uses JavaScript's bitwise operators, which see 32 bits.
 */
export interface NodeId {
  level: number;
  index: number;
}

/** Where the hashes of complete subtrees are. */
export interface HashStore {
  /** In the order asked for. @throws RangeError for a subtree that is not complete yet */
  nodes(ids: readonly NodeId[]): Promise<Hash[]>;
}

/** Leaves `begin` to `end - 1`. */
interface Range {
  begin: number;
  end: number;
}

/** The largest power of two below `size`, which is at least 2. */
function split(size: number): number {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

/** The complete subtrees that a range is made of, left to right; the fewest there are. */
export function subtreesOf(begin: number, end: number): NodeId[] {
  const ids: NodeId[] = [];
  for (let at = begin; at < end;) {
    let level = 0;
    let width = 1;
    while (at % (2 * width) === 0 && at + 2 * width <= end) {
      level += 1;
      width *= 2;
    }
    ids.push({ level, index: at / width });
    at += width;
  }
  return ids;
}

/** The hash over neighbouring subtrees, each larger than the next: the right ones are joined first. */
export function joinSubtrees(hashes: readonly Hash[]): Hash {
  const [first = EMPTY_ROOT, ...rest] = hashes.toReversed();
  return rest.reduce((right, left) => nodeHash(left, right), first);
}

/** Root of the first `size` leaves. */
export async function rootAt(size: number, store: HashStore): Promise<Hash> {
  checkSize(size);
  return joinSubtrees(await store.nodes(subtreesOf(0, size)));
}

/**
 * RFC 9162 section 2.1.3.1: that the leaf at `index` is in the tree of `size` leaves. The leaf's sibling comes first.
 * @throws RangeError unless index < size
 */
export async function proveInclusion(index: number, size: number, store: HashStore): Promise<Hash[]> {
  checkSize(size);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`a tree of ${size} leaves has no leaf ${index}`);
  }
  const siblings: Range[] = [];
  for (let begin = 0, end = size; end - begin > 1;) {
    const middle = begin + split(end - begin);
    siblings.push(index < middle ? { begin: middle, end } : { begin, end: middle });
    if (index < middle) end = middle;
    else begin = middle;
  }
  return hashesOf(siblings.reverse(), store);
}

/**
 * RFC 9162 section 2.1.4.1: that the tree of `second` leaves begins with all leaves of the tree of `first`.
 * @throws RangeError unless 0 < first <= second
 */
export async function proveConsistency(first: number, second: number, store: HashStore): Promise<Hash[]> {
  checkSize(second);
  if (!Number.isSafeInteger(first) || first < 1 || first > second) {
    throw new RangeError(
      `consistency goes from a size of at least 1 to one as large or larger, not from ${first} to ${second}`,
    );
  }
  const parts: Range[] = [];
  let begin = 0;
  let end = second;
  while (first !== end) {
    const middle = begin + split(end - begin);
    if (first <= middle) {
      parts.push({ begin: middle, end });
      end = middle;
    } else {
      parts.push({ begin, end: middle });
      begin = middle;
    }
  }
  // A first tree that is one complete subtree is known to whoever asks: by its root.
  if (begin > 0) parts.push({ begin, end });
  return hashesOf(parts.reverse(), store);
}

/** All in one read: for a proof over n leaves that is O(log n) nodes. */
async function hashesOf(ranges: readonly Range[], store: HashStore): Promise<Hash[]> {
  const parts = ranges.map(({ begin, end }) => subtreesOf(begin, end));
  const hashes = await store.nodes(parts.flat());
  let taken = 0;
  return parts.map((ids) => joinSubtrees(hashes.slice(taken, (taken += ids.length))));
}

/** RFC 9162 section 2.1.3.2. False for everything that does not prove it, malformed proofs included. */
export function verifyInclusion(index: number, size: number, leaf: Hash, proof: readonly Hash[], root: Hash): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  let path = index;
  let last = size - 1;
  let result = leaf;
  for (const sibling of proof) {
    if (last === 0 || sibling.length !== HASH_BYTES) return false;
    if (path % 2 === 1 || path === last) {
      result = nodeHash(sibling, result);
      while (path % 2 === 0 && path !== 0) [path, last] = [path / 2, half(last)];
    } else {
      result = nodeHash(result, sibling);
    }
    [path, last] = [half(path), half(last)];
  }
  return last === 0 && result.equals(root);
}

/** RFC 9162 section 2.1.4.2. False for everything that does not prove it; size 0 is a prefix of any tree and proves nothing. */
export function verifyConsistency(
  first: number,
  second: number,
  firstRoot: Hash,
  secondRoot: Hash,
  proof: readonly Hash[],
): boolean {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 1 || first > second) return false;
  if (first === second) return proof.length === 0 && firstRoot.equals(secondRoot);
  let path = first - 1;
  let last = second - 1;
  while (path % 2 === 1) [path, last] = [half(path), half(last)];
  const [start, ...rest] = path === 0 ? [firstRoot, ...proof] : proof;
  if (!start || proof.some(({ length }) => length !== HASH_BYTES)) return false;
  let [inFirst, inSecond] = [start, start];
  for (const part of rest) {
    if (last === 0) return false;
    if (path % 2 === 1 || path === last) {
      inFirst = nodeHash(part, inFirst);
      inSecond = nodeHash(part, inSecond);
      while (path % 2 === 0 && path !== 0) [path, last] = [path / 2, half(last)];
    } else {
      inSecond = nodeHash(inSecond, part);
    }
    [path, last] = [half(path), half(last)];
  }
  return last === 0 && inFirst.equals(firstRoot) && inSecond.equals(secondRoot);
}

const half = (value: number): number => Math.floor(value / 2);

function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`${size} is no size of a tree`);
}
