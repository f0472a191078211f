import { join } from 'node:path';
import { HashFile, linesOf } from './bundle-files.js';
import { BUNDLE_FILES, SUBTREE_LEVEL, SUBTREE_WIDTH, type Manifest } from './bundle.js';
import { Malformed, parseLeaf, type Leaf } from './envelope.js';
import { Frontier, type OnNode } from './frontier.js';
import { leafHash, type Hash } from './merkle.js';

/** Which event it is, as far as its line still says. */
export type EventIdentity = Partial<Pick<Leaf, 'id' | 'stream' | 'revision' | 'type'>>;

/** An event that does not fit, by its place. */
export interface Misfit extends EventIdentity {
  /**
   * `EVENT_CHANGED`: its bytes are not those that were recorded. `EVENT_OUT_OF_PLACE`: another event stands here, so
   * one was dropped, added or swapped. `EVENT_MISSING`: the file ends here. `EVENT_ADDED`: the file should have ended.
   * `EVENT_FAULTY`: recorded so, and wrong all the same. `EVENT_UNPROVED`: here or behind, see the message.
   */
  code: 'EVENT_CHANGED' | 'EVENT_OUT_OF_PLACE' | 'EVENT_MISSING' | 'EVENT_ADDED' | 'EVENT_FAULTY' | 'EVENT_UNPROVED';
  message: string;
  /** Place in the log at which the line stands. */
  index: number;
}

/** What one pass over the events of a bundle found. No signature was looked at. */
export interface RangeResult {
  lines: number;
  /** Roots at the sizes asked for, and at the end: of the tree of the lines, and of that of the file of hashes. */
  eventRoots: ReadonlyMap<number, Hash>;
  hashRoots: ReadonlyMap<number, Hash>;
  /** The first line that is no leaf, or not the leaf of its place. */
  contentMismatch?: Misfit;
  /** The first line whose hash is not the one in the file of hashes. */
  hashMismatch?: Misfit;
  countMismatch?: Misfit;
  /** The first subtree that its hashes do not make. */
  subtreeMismatch?: Misfit;
  /** Of the events at the sizes asked for, and at `from`. */
  identities: ReadonlyMap<number, EventIdentity>;
}

/**
 * Reads events and their hashes side by side. While they agree one tree is enough for both.
 * @param sizes at which to take the root
 * @throws Malformed, and the file system's errors
 */
export async function checkRange(folder: string, manifest: Manifest, sizes: ReadonlySet<number>): Promise<RangeResult> {
  const hashes = await HashFile.open(join(folder, BUNDLE_FILES.leafHashes));
  try {
    const subtrees = await HashFile.open(join(folder, BUNDLE_FILES.subtreeHashes));
    try {
      return await new RangeCheck(manifest, sizes, hashes, subtrees).run(join(folder, BUNDLE_FILES.events));
    } finally {
      await subtrees.close();
    }
  } finally {
    await hashes.close();
  }
}

class RangeCheck {
  private readonly result: RangeResult;
  private readonly eventRoots = new Map<number, Hash>();
  private readonly hashRoots = new Map<number, Hash>();
  private readonly identities = new Map<number, EventIdentity>();
  private readonly ofEvents: Frontier;
  /** Its own only from the first disagreement on. */
  private ofHashes: Frontier | undefined;
  private position = -1n;
  private subtreeBegin: EventIdentity | undefined;
  private completed: { index: number; hash: Hash } | undefined;
  private readonly onNode: OnNode = (level, index, hash) => {
    if (level === SUBTREE_LEVEL) this.completed = { index, hash };
  };

  constructor(
    private readonly manifest: Manifest,
    private readonly sizes: ReadonlySet<number>,
    private readonly hashes: HashFile,
    private readonly subtrees: HashFile,
  ) {
    const { eventRoots, hashRoots, identities } = this;
    this.result = { lines: 0, eventRoots, hashRoots, identities };
    this.ofEvents = frontierOf(manifest);
  }

  async run(path: string): Promise<RangeResult> {
    const { from, to } = this.manifest;
    this.takeRoots(from);
    for await (const line of linesOf(path)) {
      const index = from + this.result.lines;
      if (index === to) {
        const message = `an event stands behind the last one, event ${to - 1}`;
        this.result.countMismatch = { code: 'EVENT_ADDED', message, index, ...identityIn(line) };
        break;
      }
      await this.take(index, line);
      this.result.lines += 1;
    }
    const end = from + this.result.lines;
    if (end < to) {
      const message = `the events end here; the bundle says that they go to ${to - 1}`;
      this.result.countMismatch = { code: 'EVENT_MISSING', message, index: end };
      await this.takeRest(end);
    }
    return this.result;
  }

  private async take(index: number, line: Buffer): Promise<void> {
    const hash = leafHash(line);
    const recorded = await this.hashes.next();
    const agrees = recorded?.equals(hash) === true;
    const leaf = this.read(index, line, agrees);
    const identity = leaf ?? identityIn(line);
    if (index % SUBTREE_WIDTH === 0 || index === this.manifest.from) this.subtreeBegin = pick(identity);
    if (index === this.manifest.from || this.sizes.has(index)) this.identities.set(index, pick(identity));
    if (!agrees && !this.result.hashMismatch) {
      const message = `event ${index} is not as it was recorded`;
      this.result.hashMismatch = { code: 'EVENT_CHANGED', message, index, ...pick(identity) };
      this.ofHashes = this.ofEvents.copy();
    }
    this.ofEvents.append(hash, this.ofHashes ? undefined : this.onNode);
    if (recorded) this.ofHashes?.append(recorded, this.onNode);
    await this.compareSubtree();
    this.takeRoots(index + 1);
  }

  /** What is left of the hashes when events are missing: with them it is known whether the hashes are the log's. */
  private async takeRest(end: number): Promise<void> {
    const { to } = this.manifest;
    this.ofHashes ??= this.ofEvents.copy();
    for (let index = end; index < to; index += 1) {
      const recorded = await this.hashes.next();
      if (!recorded) return;
      this.ofHashes.append(recorded, this.onNode);
      await this.compareSubtree();
      if (this.wanted(index + 1)) this.hashRoots.set(index + 1, this.ofHashes.root());
    }
  }

  private read(index: number, line: Buffer, agrees: boolean): Leaf | undefined {
    let leaf: Leaf | undefined;
    let problem: Pick<Misfit, 'code' | 'message'> | undefined;
    try {
      leaf = parseLeaf(line);
      const position = BigInt(leaf.position);
      if (leaf.index !== index) {
        const message = `in the place of event ${index} stands event ${leaf.index}`;
        problem = { code: 'EVENT_OUT_OF_PLACE', message };
      } else if (agrees && position <= this.position) {
        const message = `event ${index} has position ${position}, the one before it ${this.position}`;
        problem = { code: 'EVENT_FAULTY', message };
      }
      this.position = position;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      problem = { code: 'EVENT_CHANGED', message: `event ${index} is no leaf: ${error.message}` };
    }
    if (problem) this.result.contentMismatch ??= { ...problem, index, ...pick(leaf ?? identityIn(line)) };
    return leaf;
  }

  private async compareSubtree(): Promise<void> {
    const { completed } = this;
    if (!completed) return;
    this.completed = undefined;
    const recorded = await this.subtrees.next();
    if (recorded?.equals(completed.hash) || this.result.subtreeMismatch) return;
    const first = Math.max(completed.index * SUBTREE_WIDTH, this.manifest.from);
    const last = (completed.index + 1) * SUBTREE_WIDTH - 1;
    const message = `one of the events ${first} to ${last} was changed, and its hash with it`;
    this.result.subtreeMismatch = { code: 'EVENT_UNPROVED', message, index: first, ...this.subtreeBegin };
  }

  private takeRoots(size: number): void {
    if (!this.wanted(size)) return;
    this.eventRoots.set(size, this.ofEvents.root());
    this.hashRoots.set(size, (this.ofHashes ?? this.ofEvents).root());
  }

  private wanted(size: number): boolean {
    return size === this.manifest.to || this.sizes.has(size);
  }
}

function frontierOf({ from, frontier }: Manifest): Frontier {
  try {
    return Frontier.of(from, frontier);
  } catch (error) {
    throw new Malformed(`"frontier" in the manifest: ${(error as Error).message}`);
  }
}

function pick({ id, stream, revision, type }: EventIdentity): EventIdentity {
  return {
    ...(id !== undefined && { id }),
    ...(stream !== undefined && { stream }),
    ...(revision !== undefined && { revision }),
    ...(type !== undefined && { type }),
  };
}

const ID = /"id":"([^"\\]{1,100})","index":/;
const STREAM = /"revision":(\d{1,15}),"stream":"([^"\\]{1,500})","type":"([^"\\]{1,200})"\}?$/;

/** What a line that is no leaf any more still says about which event it was. */
function identityIn(line: Buffer): EventIdentity {
  const text = line.toString('utf8');
  const id = ID.exec(text)?.[1];
  const [, revision, stream, type] = STREAM.exec(text) ?? [];
  return {
    ...(id !== undefined && { id }),
    ...(stream !== undefined && { revision: Number(revision), stream }),
    ...(type !== undefined && { type }),
  };
}
