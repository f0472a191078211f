import { randomUUID } from 'node:crypto';
import { constants, mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseHash } from './checkpoint.js';
import { Frontier } from './frontier.js';
import { EMPTY_ROOT, HASH_BYTES, type Hash, type HashStore, type NodeId } from './merkle.js';
import { LEVELS_PER_TILE, nodesOf, TILE_WIDTH } from './tile-nodes.js';

const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
const POSITION_BYTES = 8;
/** Complete tiles kept in memory: 4 MiB. */
const TILES_CACHED = 512;

/** How far the tree has come. */
export interface TreeHead {
  size: number;
  root: Hash;
  /** Position of its newest leaf in the event store's log, to subscribe behind. */
  position: bigint | 'start';
}

/** One more leaf: the hash of its bytes, and where its event stands in the event store's log. */
export interface NewLeaf {
  hash: Hash;
  position: bigint;
}

/** The folder does not hold what its head says. It is derived data: `reset` and append all leaves again. */
export class TreeDamaged extends Error {
  override readonly name = 'TreeDamaged';
}

const EMPTY_HEAD: TreeHead = { size: 0, root: EMPTY_ROOT, position: 'start' };

/**
 * The audit tree in a folder: one file of hashes for each tile level (`tiles-0`: leaves, `tiles-1`: nodes over 256
 * leaves, …), in which tile N is bytes 8192 N to 8192 (N + 1), one file of the leaves' positions, and `head.json`.
 *
 * Everything is derived from the event store and checked against the signed checkpoints, so losing it costs time only.
 * Files are written at places that follow from a leaf's index, then synced, and the head is replaced atomically after
 * them: what lies behind the head, torn or not, is never read and written over. One process appends, any number read
 * what the head covers. Should two append at once they write the same bytes to the same places.
 */
export class FileTiles implements HashStore {
  private readonly cache = new Map<string, Buffer>();
  private frontier = Frontier.empty();
  private current = EMPTY_HEAD;
  private busy = false;

  private constructor(private readonly folder: string) {}

  /**
   * Opens a folder, there or not.
   * @throws TreeDamaged if the files do not give the root that the head names
   */
  static async open(folder: string): Promise<FileTiles> {
    const tiles = new FileTiles(folder);
    const head = await tiles.refresh();
    try {
      tiles.frontier = await Frontier.at(head.size, tiles);
    } catch (error) {
      throw new TreeDamaged(`${folder} cannot be read: ${(error as Error).message}`);
    }
    if (!tiles.frontier.root().equals(head.root)) throw new TreeDamaged(`${folder} does not give the root of its head`);
    return tiles;
  }

  /** A new beginning: forgets all leaves. */
  static async reset(folder: string): Promise<FileTiles> {
    await rm(folder, { recursive: true, force: true });
    return FileTiles.open(folder);
  }

  get head(): TreeHead {
    return this.current;
  }

  /** Looks how far the appending process has come. @throws TreeDamaged */
  async refresh(): Promise<TreeHead> {
    const text = await readFile(join(this.folder, 'head.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    const head = text === undefined ? EMPTY_HEAD : parseHead(text, this.folder);
    // Smaller than before: the folder was begun again, and what was read of it means nothing any more.
    if (head.size < this.current.size) this.cache.clear();
    return (this.current = head);
  }

  /**
   * Appends leaves in log order; once this resolves they are durable. Call it again when it has resolved.
   * @throws RangeError for positions that do not grow
   */
  async append(leaves: readonly NewLeaf[]): Promise<TreeHead> {
    if (this.busy) throw new Error('the tree is being appended to');
    if (leaves.length === 0) return this.current;
    const { size } = this.frontier;
    let newest = this.current.position === 'start' ? -1n : this.current.position;
    const positions = Buffer.alloc(leaves.length * POSITION_BYTES);
    const frontier = this.frontier.copy();
    const levels: { from: number; hashes: Hash[] }[] = [];
    for (const [offset, { hash, position }] of leaves.entries()) {
      if (position <= newest) throw new RangeError(`position ${position} does not lie behind ${newest}`);
      newest = position;
      positions.writeBigUInt64BE(position, offset * POSITION_BYTES);
      frontier.append(hash, (level, index, node) => {
        if (level % LEVELS_PER_TILE !== 0) return;
        (levels[level / LEVELS_PER_TILE] ??= { from: index, hashes: [] }).hashes.push(node);
      });
    }
    this.busy = true;
    try {
      const write = (name: string, at: number, bytes: Buffer): Promise<void> =>
        writeDurably(join(this.folder, name), at, bytes);
      // In any order, and all before the head.
      await allSettled([
        ...levels.map(({ from, hashes }, level) => write(`tiles-${level}`, from * HASH_BYTES, Buffer.concat(hashes))),
        write('positions', size * POSITION_BYTES, positions),
      ]);
      const head = { size: frontier.size, root: frontier.root(), position: newest };
      await this.publish(head);
      this.frontier = frontier;
      return (this.current = head);
    } finally {
      this.busy = false;
    }
  }

  /** @throws RangeError beyond the head */
  nodes(ids: readonly NodeId[]): Promise<Hash[]> {
    return nodesOf(ids, (level, index) => this.tile(level, index));
  }

  /**
   * The hashes of a tile: 256, or fewer at the right edge of the head's tree. These are the bytes that C2SP tlog-tiles
   * serves at `/tile/<level>/<index>`, or `.p/<hashes>` if there are fewer.
   */
  async tile(level: number, index: number): Promise<Buffer> {
    const there = Math.floor(this.current.size / 2 ** (LEVELS_PER_TILE * level)) - index * TILE_WIDTH;
    if (there <= 0) return Buffer.alloc(0);
    const name = `${level}/${index}`;
    const cached = this.cache.get(name);
    if (cached) return cached;
    const bytes = Math.min(there, TILE_WIDTH) * HASH_BYTES;
    const tile = await this.reading(`tiles-${level}`, (file) => readExactly(file, index * TILE_BYTES, bytes));
    if (bytes === TILE_BYTES) {
      const [oldest] = this.cache.keys();
      if (this.cache.size >= TILES_CACHED && oldest !== undefined) this.cache.delete(oldest);
      this.cache.set(name, tile);
    }
    return tile;
  }

  /** Where the event of a leaf stands in the event store's log. @throws RangeError beyond the head */
  async positionOf(index: number): Promise<bigint> {
    if (index < 0 || index >= this.current.size) throw new RangeError(`the tree has no leaf ${index}`);
    return this.reading('positions', (file) => positionAt(file, index));
  }

  /** How many leaves stand before this position: the index of the leaf there, if there is one. */
  async leavesBefore(position: bigint): Promise<number> {
    const { size } = this.current;
    if (size === 0) return 0;
    return this.reading('positions', async (file) => {
      let [low, high] = [0, size];
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if ((await positionAt(file, middle)) < position) low = middle + 1;
        else high = middle;
      }
      return low;
    });
  }

  /** Index of the leaf whose event stands at this position; `undefined`: none does, or it is not in the tree yet. */
  async indexOf(position: bigint): Promise<number | undefined> {
    const index = await this.leavesBefore(position);
    return index < this.current.size && (await this.positionOf(index)) === position ? index : undefined;
  }

  private async reading<T>(name: string, read: (file: FileHandle) => Promise<T>): Promise<T> {
    const file = await open(join(this.folder, name), 'r').catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new TreeDamaged(`${this.folder} has no ${name}`) : error;
    });
    try {
      return await read(file);
    } finally {
      await file.close();
    }
  }

  private async publish({ size, root, position }: TreeHead): Promise<void> {
    const path = join(this.folder, 'head.json');
    const next = `${path}.${randomUUID()}`;
    const text = JSON.stringify({ size, root: root.toString('base64'), position: String(position) });
    const file = await open(next, 'wx');
    try {
      await file.writeFile(`${text}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(next, path);
  }
}

/** Writes into a file at a place, and makes it and its folder where they are missing; durable once it resolves. */
export async function writeDurably(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await openToWrite(path);
  try {
    for (let done = 0; done < bytes.length;) {
      done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function openToWrite(path: string): Promise<FileHandle> {
  // Made if it is not there, and never emptied: none of the letters says that.
  const flags = constants.O_RDWR | constants.O_CREAT;
  try {
    return await open(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(dirname(path), { recursive: true });
    return open(path, flags);
  }
}

/** As `Promise.all`, but nothing is under way any more when it fails. */
async function allSettled(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

function parseHead(text: string, folder: string): TreeHead {
  try {
    const { size, root, position } = JSON.parse(text) as Record<string, unknown>;
    if (!Number.isSafeInteger(size) || (size as number) < 0) throw new RangeError('its size is none');
    return { size: size as number, root: parseHash(String(root)), position: BigInt(String(position)) };
  } catch (error) {
    throw new TreeDamaged(`head.json in ${folder} cannot be read: ${(error as Error).message}`);
  }
}

async function positionAt(file: FileHandle, index: number): Promise<bigint> {
  return (await readExactly(file, index * POSITION_BYTES, POSITION_BYTES)).readBigUInt64BE();
}

async function readExactly(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done);
    if (bytesRead === 0) throw new TreeDamaged(`a file of the tree ends ${bytes - done} bytes before its head says`);
    done += bytesRead;
  }
  return buffer;
}
