import { HASH_BYTES, joinSubtrees, nodeHash, type Hash, type HashStore, type NodeId } from './merkle.js';

/** Hashes in one tile, as in C2SP tlog-tiles; a tile level is eight levels of the tree. */
export const TILE_WIDTH = 256;
export const LEVELS_PER_TILE = 8;

/** The bytes of a tile as far as the tree goes; empty beyond it. */
export type TileAt = (level: number, index: number) => Promise<Buffer>;

/** The hashes of subtrees out of tiles. @throws RangeError for a subtree that is not complete in them */
export async function nodesOf(ids: readonly NodeId[], tileAt: TileAt): Promise<Hash[]> {
  const hashes: Hash[] = [];
  for (const { level, index } of ids) {
    const width = 2 ** (level % LEVELS_PER_TILE);
    const tile = await tileAt(Math.floor(level / LEVELS_PER_TILE), Math.floor((index * width) / TILE_WIDTH));
    const from = ((index * width) % TILE_WIDTH) * HASH_BYTES;
    if (from + width * HASH_BYTES > tile.length) {
      throw new RangeError(`the tree has no complete subtree ${index} of level ${level}`);
    }
    hashes.push(joinComplete(tile.subarray(from, from + width * HASH_BYTES)));
  }
  return hashes;
}

/** A tree whose tiles come from somewhere else; the newest read are kept. */
export class TileTree implements HashStore {
  private readonly kept = new Map<string, Buffer>();

  /** @param tilesKept at 8 KiB each */
  constructor(
    private readonly fetchTile: TileAt,
    private readonly tilesKept = 512,
  ) {}

  nodes(ids: readonly NodeId[]): Promise<Hash[]> {
    return nodesOf(ids, (level, index) => this.tile(level, index));
  }

  private async tile(level: number, index: number): Promise<Buffer> {
    const name = `${level}/${index}`;
    const known = this.kept.get(name);
    if (known) return known;
    const tile = await this.fetchTile(level, index);
    const [oldest] = this.kept.keys();
    if (this.kept.size >= this.tilesKept && oldest !== undefined) this.kept.delete(oldest);
    this.kept.set(name, tile);
    return tile;
  }
}

/** The root of a complete subtree whose lowest row is given. */
function joinComplete(row: Buffer): Hash {
  let hashes: Hash[] = [];
  for (let at = 0; at < row.length; at += HASH_BYTES) hashes.push(row.subarray(at, at + HASH_BYTES));
  while (hashes.length > 1) {
    const above: Hash[] = [];
    for (let at = 0; at < hashes.length; at += 2) above.push(nodeHash(hashes[at] as Hash, hashes[at + 1] as Hash));
    hashes = above;
  }
  return joinSubtrees(hashes);
}
