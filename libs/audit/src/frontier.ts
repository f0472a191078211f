import { HASH_BYTES, joinSubtrees, nodeHash, subtreesOf, type Hash, type HashStore } from './merkle.js';

/** Told of every subtree when its last leaf arrives, leaves themselves (level 0) included. */
export type OnNode = (level: number, index: number, hash: Hash) => void;

/**
 * A tree of which only the right edge is kept: the hashes of the complete subtrees that its leaves make, at most 53.
 * Enough to append leaves and to know the root, at O(log n) memory; a range of leaves is checked from the frontier at
 * its begin on, without the leaves before it.
 */
export class Frontier {
  private constructor(
    private count: number,
    private readonly edge: Hash[],
  ) {}

  static empty(): Frontier {
    return new Frontier(0, []);
  }

  /**
   * The frontier of `size` leaves.
   * @param hashes of its complete subtrees, largest first, as `hashes` gives them
   * @throws RangeError if they are not as many as the size has
   */
  static of(size: number, hashes: readonly Hash[]): Frontier {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`${size} is no size of a tree`);
    const wanted = subtreesOf(0, size).length;
    if (hashes.length !== wanted || hashes.some(({ length }) => length !== HASH_BYTES)) {
      throw new RangeError(`the edge of a tree of ${size} leaves has ${wanted} hashes of ${HASH_BYTES} bytes`);
    }
    return new Frontier(size, [...hashes]);
  }

  static async at(size: number, store: HashStore): Promise<Frontier> {
    return Frontier.of(size, await store.nodes(subtreesOf(0, size)));
  }

  get size(): number {
    return this.count;
  }

  /** Of the complete subtrees, largest first. */
  get hashes(): readonly Hash[] {
    return this.edge;
  }

  copy(): Frontier {
    return new Frontier(this.count, [...this.edge]);
  }

  append(leaf: Hash, onNode?: OnNode): void {
    let hash = leaf;
    let level = 0;
    let index = this.count;
    onNode?.(level, index, hash);
    // While the subtree is a right child, its left sibling is the newest of the edge.
    for (; index % 2 === 1; index = (index - 1) / 2) {
      hash = nodeHash(this.edge.pop() as Hash, hash);
      level += 1;
      onNode?.(level, (index - 1) / 2, hash);
    }
    this.edge.push(hash);
    this.count += 1;
  }

  root(): Hash {
    return joinSubtrees(this.edge);
  }
}
