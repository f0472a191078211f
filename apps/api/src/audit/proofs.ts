import { AUDITED_STREAM_PREFIXES, parseInstant, refusal } from '@keyledger/contracts';
import {
  CheckpointLog,
  eventBytes,
  leafHash,
  openCheckpoint,
  parseHash,
  parseVerifierKey,
  proveConsistency,
  proveInclusion,
  rootAt,
  TreeDamaged,
  verifyConsistency,
  verifyInclusion,
  type FileTiles,
  type Hash,
  type RecordedCheckpoint,
  type TreeFollower,
} from '@keyledger/audit';
import type { EventStore, StoredEvent } from '@keyledger/event-store';
import { invalidField, RefusalError, unavailable, type Logger } from '@keyledger/platform';

const TREE_WITHIN_MS = 5000;
/** A tree that is found damaged is made again, but not again and again. */
const REBUILD_EVERY_MS = 600_000;
const BATCH = 500;

export interface Inclusion {
  index: number;
  checkpoint: RecordedCheckpoint;
  hashes: Hash[];
  leaf: Buffer;
  event: StoredEvent;
}

export interface Consistency {
  first: number;
  second: number;
  roots: [Hash, Hash];
  hashes: Hash[];
  checkpoint: RecordedCheckpoint;
}

/** One end of a range as a caller writes it. */
type Point = { index: number } | { position: bigint } | { instant: string };

/**
 * Proofs for whoever asks. This process has a tree of its own, made from the events, and gives out nothing that it has not
 * verified against a signed checkpoint first, as the receiver will.
 */
export class Proofs {
  private readonly checkpoints: CheckpointLog;
  private rebuiltAt = -Infinity;

  constructor(
    private readonly store: EventStore,
    private readonly follower: TreeFollower,
    private readonly logger: Logger,
  ) {
    this.checkpoints = new CheckpointLog(store);
  }

  /** @throws RefusalError 404 if nothing was signed yet */
  async newest(): Promise<RecordedCheckpoint> {
    const newest = await this.checkpoints.newest();
    if (newest) return newest;
    const detail = 'No checkpoint has been signed yet: a worker with KEYLEDGER_SIGNING_KEY signs the first one.';
    throw new RefusalError(refusal('NOT_FOUND', detail));
  }

  /** Newest first. */
  page(limit: number, fromRevision?: number): Promise<RecordedCheckpoint[]> {
    return this.checkpoints.page(limit, fromRevision);
  }

  /** @throws RefusalError 404 for an event that is not there or not below a checkpoint yet, 503 */
  async inclusion(find: (tree: FileTiles) => Promise<number | undefined>): Promise<Inclusion> {
    const checkpoint = await this.newest();
    const tree = await this.treeOf(checkpoint);
    return this.verified(async () => {
      const index = await find(tree);
      if (index === undefined) throw new RefusalError(refusal('NOT_FOUND', 'The audit log has no such event.'));
      if (index >= checkpoint.size) {
        const detail = `The event ${index} is not below a checkpoint yet; the newest one has ${checkpoint.size} leaves.`;
        throw new RefusalError(refusal('NOT_FOUND', detail));
      }
      const [hashes, event] = await Promise.all([
        proveInclusion(index, checkpoint.size, tree),
        this.eventAt(index, tree),
      ]);
      const leaf = event && eventBytes(index, event);
      const good = leaf && verifyInclusion(index, checkpoint.size, leafHash(leaf), hashes, rootOf(checkpoint));
      if (!event || !leaf || !good) throw new NotProved(`the event ${index} as it is stored is not proved by its tree`);
      return { index, checkpoint, hashes, leaf, event };
    });
  }

  indexOfId(id: string): (tree: FileTiles) => Promise<number | undefined> {
    return (tree) => this.follower.ids.indexOf(id, tree.head.size);
  }

  /** @throws RefusalError 404 for trees beyond the newest checkpoint, 503 */
  async consistency(first: number, second: number | undefined): Promise<Consistency> {
    const checkpoint = await this.newest();
    const to = second ?? checkpoint.size;
    if (first > to) throw invalidField('first', `is larger than ${to}`, 'the smaller tree first');
    if (to > checkpoint.size) {
      const detail = `The newest checkpoint has ${checkpoint.size} leaves; nothing beyond it can be proved.`;
      throw new RefusalError(refusal('NOT_FOUND', detail));
    }
    const tree = await this.treeOf(checkpoint);
    return this.verified(async () => {
      const [hashes, onward] = [
        await proveConsistency(first, to, tree),
        await proveConsistency(to, checkpoint.size, tree),
      ];
      const roots: [Hash, Hash] = [await rootAt(first, tree), await rootAt(to, tree)];
      const good =
        verifyConsistency(first, to, ...roots, hashes) &&
        verifyConsistency(to, checkpoint.size, roots[1], rootOf(checkpoint), onward);
      if (!good)
        throw new NotProved(`the trees of ${first}, ${to} and ${checkpoint.size} leaves do not fit each other`);
      return { first, second: to, roots, hashes, checkpoint };
    });
  }

  /** The hashes of a tile (C2SP tlog-tiles) of the tree of the newest checkpoint. */
  async tile(level: number, index: number): Promise<Buffer> {
    const checkpoint = await this.newest();
    const tree = await this.treeOf(checkpoint);
    return this.verified(async () => {
      const tile = await tree.tile(level, index);
      if (tile.length === 0) throw new RefusalError(refusal('NOT_FOUND', 'The tree has no such tile.'));
      return tile;
    });
  }

  /** What a range means in leaves, cut off at the newest checkpoint. @throws RefusalError naming what cannot be read */
  async range(from: string | undefined, to: string | undefined): Promise<{ from: number; to: number; signed: number }> {
    const points = [pointOf('from', from), pointOf('to', to)];
    const checkpoint = await this.newest();
    const tree = await this.treeOf(checkpoint);
    const signed = checkpoint.size;
    return this.verified(async () => {
      const [begin = 0, end = signed] = await Promise.all(
        points.map(async (point) => point && Math.min(signed, await this.indexOfPoint(point, tree, signed))),
      );
      if (begin >= end) {
        const fix = `a stretch with events, within the ${signed} that are below the newest checkpoint`;
        throw invalidField('from', 'and to have no event between them', fix);
      }
      return { from: begin, to: end, signed };
    });
  }

  /** The leaves of a range, each a line, as they are stored now. */
  async *lines(from: number, to: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const tree = await this.treeOf(await this.newest());
    const after = from === 0 ? 'start' : await tree.positionOf(from - 1);
    let index = from;
    const range = { after, streamPrefixes: AUDITED_STREAM_PREFIXES, maxBatch: BATCH, signal } as const;
    for await (const events of this.store.readStored(range)) {
      const taken = events.slice(0, to - index);
      yield Buffer.concat(taken.flatMap((event, offset) => [eventBytes(index + offset, event), NEWLINE]));
      index += taken.length;
      if (index >= to) return;
    }
    throw new Error(`the event store ends behind event ${index - 1}; a checkpoint covers ${to}`);
  }

  /** @throws RefusalError 503 while the tree of this process is not as far as the checkpoint */
  private async treeOf({ size }: RecordedCheckpoint): Promise<FileTiles> {
    const tree = await this.follower.reaching(size, TREE_WITHIN_MS);
    if (tree) return tree;
    const { size: so, lastError } = this.follower.state();
    const why = lastError === undefined ? '' : `; ${lastError}`;
    throw unavailable(`The hashes of the audit log are being made: ${so} of ${size} leaves so far${why}.`, 5);
  }

  /** What the files of the tree do not prove is not given out; they are made again from the events. */
  private async verified<T>(make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } catch (error) {
      if (!(error instanceof NotProved) && !(error instanceof TreeDamaged) && !(error instanceof RangeError))
        throw error;
      this.logger.error({ err: error }, 'a proof was asked for that cannot be given');
      if (performance.now() - this.rebuiltAt > REBUILD_EVERY_MS) {
        this.rebuiltAt = performance.now();
        this.follower.rebuild();
        throw unavailable('The hashes of the audit log are damaged here; they are made again from the events.', 5);
      }
      throw unavailable(
        'The events as they are stored do not fit the signed checkpoint: see `keyledger audit fsck`.',
        60,
      );
    }
  }

  private async indexOfPoint(point: Point, tree: FileTiles, signed: number): Promise<number> {
    if ('index' in point) return point.index;
    if ('position' in point) return tree.leavesBefore(point.position);
    let [low, high] = [0, signed];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const event = await this.eventAt(middle, tree);
      if (!event) throw new NotProved(`there is no event ${middle} in the event store`);
      if (event.recordedAt < point.instant) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private async eventAt(index: number, tree: FileTiles): Promise<StoredEvent | undefined> {
    return this.store.storedAt(await tree.positionOf(index), AUDITED_STREAM_PREFIXES);
  }
}

/** What would have been given out proves nothing. */
class NotProved extends Error {
  override readonly name = 'NotProved';
}

const NEWLINE = Buffer.from('\n');

const rootOf = ({ root }: RecordedCheckpoint): Hash => parseHash(root);

/** Which of the keys that came with a checkpoint have signed it. */
export function signersOf({ note, keys }: RecordedCheckpoint): string[] {
  const parsed = keys.map(parseVerifierKey);
  const { signedBy } = openCheckpoint(note, parsed);
  return signedBy.map(({ name, id }) => `${name}+${id}`);
}

function pointOf(field: string, text: string | undefined): Point | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return { index: Number(text) };
  const position = /^position:(\d{1,19})$/.exec(text)?.[1];
  if (position !== undefined) return { position: BigInt(position) };
  const instant = parseInstant(text);
  if (instant !== undefined) return { instant };
  throw invalidField(
    field,
    'is no place in the log',
    'an index, an instant such as 2026-01-01T00:00:00Z, or position:4711',
  );
}
