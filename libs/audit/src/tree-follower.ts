import { AUDITED_STREAM_PREFIXES } from '@keyledger/contracts';
import type { EventStore, StoredEvent } from '@keyledger/event-store';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashOfEvent } from './envelope.js';
import { FileTiles, TreeDamaged, type NewLeaf } from './file-tiles.js';
import { Gathering } from './gathering.js';
import { LeafIds } from './leaf-ids.js';

export interface TreeFollowerOptions {
  /** Where the tree is kept; made anew from the events whenever it is missing, torn, or of another log. */
  folder: string;
  store: Pick<EventStore, 'subscribeStored' | 'readStored'>;
  log: { info(what: object, message: string): void; warn(what: object, message: string): void };
}

export interface TreeFollowerState {
  size: number;
  /** Everything that there was when it read what it has last written is in the tree. */
  live: boolean;
  subscribed: boolean;
  /** How often the tree was thrown away and made again. */
  rebuilds: number;
  lastError?: string;
}

/** Events held at once: their leaves are small, they are not. */
const BATCH = 500;
/** Leaves of a log that is far ahead are written so many at a time. */
const LEAVES_AT_ONCE = 8192;
/** Leaves are gathered so long before they are written: one sync for many. Their events are let go at once. */
const GATHER_MS = 250;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** Keeps the audit tree of a folder up with the log, for ever. What it keeps is derived and can be thrown away. */
export class TreeFollower {
  private readonly told: Omit<TreeFollowerState, 'size' | 'lastError'> & { lastError: string | undefined } = {
    live: false,
    subscribed: false,
    rebuilds: 0,
    lastError: undefined,
  };
  private tiles: FileTiles | undefined;
  private round = new AbortController();
  private begunAnew = false;
  private waiting: (() => void)[] = [];

  constructor(private readonly options: TreeFollowerOptions) {}

  get ids(): LeafIds {
    return new LeafIds(join(this.options.folder, 'ids'));
  }

  state(): TreeFollowerState {
    const { lastError, ...told } = this.told;
    return { size: this.tiles?.head.size ?? 0, ...told, ...(lastError !== undefined && { lastError }) };
  }

  /** Throws the tree away and makes it again from the events. */
  rebuild(): void {
    this.begunAnew = true;
    this.tiles = undefined;
    this.told.live = false;
    this.round.abort();
  }

  /** The tree once it has so many leaves; `undefined` if it has not in time. */
  async reaching(size: number, timeoutMs: number): Promise<FileTiles | undefined> {
    const deadline = performance.now() + timeoutMs;
    while (!this.tiles || this.tiles.head.size < size) {
      const left = deadline - performance.now();
      if (left <= 0) return undefined;
      await this.change(left);
    }
    return this.tiles;
  }

  /** The tree once everything is in it that there was when this was called or later; `undefined` if not in time. */
  async caughtUp(timeoutMs: number): Promise<FileTiles | undefined> {
    const deadline = performance.now() + timeoutMs;
    while (!this.told.live || !this.tiles) {
      const left = deadline - performance.now();
      if (left <= 0) return undefined;
      await this.change(left);
    }
    return this.tiles;
  }

  /** Works until the signal aborts. What fails is said once and tried again, with a growing pause. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.options;
    for (let failures = 0; !signal.aborted;) {
      this.round = new AbortController();
      try {
        for await (const _ of this.follow(AbortSignal.any([signal, this.round.signal]))) failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof TreeDamaged || error instanceof RangeError) {
          log.warn({ err: error }, 'the audit tree is made again from the events');
          this.begunAnew = true;
        } else if (failures === 0) log.warn({ err: error }, 'the audit tree does not follow the log');
        this.told.lastError = error instanceof Error ? error.message : String(error);
      }
      this.told.subscribed = this.told.live = false;
      if (this.begunAnew && failures === 0) {
        failures += 1;
        continue;
      }
      await pause(Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS), signal);
    }
  }

  private async *follow(signal: AbortSignal): AsyncGenerator<void> {
    const { store } = this.options;
    const tiles = await this.open(signal);
    this.tiles = tiles;
    for await (const _ of this.catchUp(tiles, signal)) yield;
    const failed = new AbortController();
    const batches = store.subscribeStored({
      after: tiles.head.position,
      streamPrefixes: AUDITED_STREAM_PREFIXES,
      maxBatch: BATCH,
      signal: AbortSignal.any([signal, failed.signal]),
      onState: (state) => {
        this.told.subscribed = state === 'connected';
        if (state === 'disconnected') this.told.live = false;
      },
    });
    const write = (leaves: readonly FoundLeaf[], live: boolean): Promise<void> => this.write(tiles, leaves, live);
    const gathering = new Gathering(write, GATHER_MS, LEAVES_AT_ONCE, () => failed.abort());
    let next = tiles.head.size;
    try {
      for await (const { events, live } of batches) {
        await gathering.add(leavesOf(next, events), live);
        next += events.length;
        if (signal.aborted) return;
        yield;
      }
    } finally {
      await gathering.end();
    }
  }

  private async write(tiles: FileTiles, leaves: readonly FoundLeaf[], live: boolean): Promise<void> {
    if (leaves.length > 0) await this.append(tiles, leaves);
    // Not of a tree that was thrown away meanwhile, or of a log that is not heard any more.
    if (this.tiles !== tiles) return;
    this.told.live = live && this.told.subscribed;
    this.told.lastError = undefined;
    this.changed();
  }

  /** Reads what the log is ahead, at a fraction of what a subscription takes. */
  private async *catchUp(tiles: FileTiles, signal: AbortSignal): AsyncGenerator<void> {
    let leaves: FoundLeaf[] = [];
    const after = tiles.head.position;
    const streamPrefixes = AUDITED_STREAM_PREFIXES;
    for await (const events of this.options.store.readStored({ after, streamPrefixes, maxBatch: BATCH, signal })) {
      this.told.subscribed = true;
      leaves.push(...leavesOf(tiles.head.size + leaves.length, events));
      if (leaves.length < LEAVES_AT_ONCE) continue;
      await this.append(tiles, leaves);
      leaves = [];
      this.changed();
      yield;
    }
    if (leaves.length > 0) await this.append(tiles, leaves);
  }

  private async append(tiles: FileTiles, leaves: readonly FoundLeaf[]): Promise<void> {
    await this.ids.write(
      tiles.head.size,
      leaves.map(({ id }) => id),
    );
    await tiles.append(leaves);
  }

  private async open(signal: AbortSignal): Promise<FileTiles> {
    const { folder, log } = this.options;
    if (this.begunAnew) {
      this.told.rebuilds += 1;
      const tiles = await FileTiles.reset(folder);
      this.begunAnew = false;
      return tiles;
    }
    const tiles = await FileTiles.open(folder);
    if (await this.isOfThisLog(tiles, signal)) return tiles;
    log.warn({ leaves: tiles.head.size }, 'the audit tree is of another log, or of another state of this one');
    throw new TreeDamaged(`${folder} does not go with the event store`);
  }

  /** Whether the newest leaf is the event that stands behind the one before it: not so after a restore, say. */
  private async isOfThisLog(tiles: FileTiles, signal: AbortSignal): Promise<boolean> {
    const { size, position } = tiles.head;
    if (size === 0) return true;
    const after = size > 1 ? await tiles.positionOf(size - 2) : 'start';
    const prefixes = AUDITED_STREAM_PREFIXES;
    for await (const [event] of this.options.store.readStored({
      after,
      streamPrefixes: prefixes,
      maxBatch: 1,
      signal,
    })) {
      if (!event) continue;
      const [hash] = await tiles.nodes([{ level: 0, index: size - 1 }]);
      return event.position === position && hash?.equals(hashOfEvent(size - 1, event)) === true;
    }
    return false;
  }

  private changed(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }

  private async change(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

interface FoundLeaf extends NewLeaf {
  id: string;
}

const leavesOf = (from: number, events: readonly StoredEvent[]): FoundLeaf[] =>
  events.map((event, offset) => ({ id: event.id, hash: hashOfEvent(from + offset, event), position: event.position }));

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
