import type { Instant } from '@keyledger/contracts';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  readSnapshot,
  readSnapshotHead,
  SnapshotDamaged,
  TEMPORARY,
  writeSnapshot,
  type SnapshotHead,
} from './snapshot-file.js';
import type { Cut } from './replay.js';

export interface Snapshot {
  path: string;
  position: bigint;
  recordedAt: Instant;
  bytes: number;
}

/** A file in the making that is as old as this was left behind. */
const ABANDONED_MS = 3_600_000;

/** The snapshots of one log that are kept in one folder. None is believed before it was read through. */
export class Snapshots {
  private kept: Snapshot[] = [];
  private directory = '';
  private readonly sound = new Map<string, string>();

  /** @param most how many are kept */
  constructor(private readonly most: number) {}

  /** Finds what an earlier run has left that is of this log; the rest goes, but for what somebody else is making. */
  async open(directory: string, isOfThisLog: (head: SnapshotHead) => Promise<boolean>): Promise<void> {
    this.kept = [];
    this.directory = directory;
    for (const name of (await readdir(directory)).sort()) {
      const path = join(directory, name);
      if (name.endsWith('.gz')) await this.adopt(path, isOfThisLog);
      else if (name.endsWith(TEMPORARY)) await removeAbandoned(path);
    }
  }

  get newest(): Snapshot | undefined {
    return this.kept.at(-1);
  }

  get count(): number {
    return this.kept.length;
  }

  /** The newest that holds nothing but what is before the cut. */
  async before({ position, recordedUntil, happenedUntil }: Cut): Promise<Snapshot | undefined> {
    // What was recorded before the time known, and before what is asked about, had happened by then too.
    const until = [recordedUntil, happenedUntil].filter((one) => one !== undefined).sort()[0];
    const early = ({ position: its, recordedAt }: Snapshot): boolean =>
      (position === undefined || its <= position) && (until === undefined || recordedAt <= until);
    for (const snapshot of this.kept.filter(early).reverse()) {
      if (await this.isSound(snapshot.path)) return snapshot;
      await this.forget(snapshot);
    }
    return undefined;
  }

  /** @throws what the file system throws; SnapshotDamaged where the lines come from a damaged one */
  async add(lines: AsyncIterable<readonly string[]>, head: SnapshotHead): Promise<void> {
    const { position, recordedAt } = head;
    const path = join(this.directory, `${String(position).padStart(20, '0')}.gz`);
    await writeSnapshot(path, lines, head);
    const { size: bytes } = await stat(path);
    this.kept.push({ path, position, recordedAt, bytes });
    await this.thin();
  }

  async forget(snapshot: Snapshot | undefined): Promise<void> {
    if (!snapshot) return;
    this.kept = this.kept.filter((one) => one !== snapshot);
    await rm(snapshot.path, { force: true });
  }

  /** Drops those whose neighbours are closest to each other. The newest is what the next one is made from, and stays. */
  private async thin(): Promise<void> {
    while (this.kept.length > Math.max(1, this.most)) {
      const gaps = this.kept.slice(0, -1).map((_, index) => {
        return (this.kept[index + 1]?.position ?? 0n) - (this.kept[index - 1]?.position ?? 0n);
      });
      const least = gaps.reduce((best, gap, index) => (gap < (gaps[best] ?? gap) ? index : best), 0);
      // Whoever reads it at this moment goes on: the file is gone only when it is closed.
      await this.forget(this.kept[least]);
    }
  }

  /** Read through once, before it is believed; again only if the file has changed. */
  private async isSound(path: string): Promise<boolean> {
    const { mtimeMs, size } = await stat(path).catch(() => ({ mtimeMs: -1, size: -1 }));
    const mark = `${mtimeMs} ${size}`;
    if (size < 0) return false;
    if (this.sound.get(path) === mark) return true;
    try {
      for await (const _ of readSnapshot(path)) continue;
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error;
      return false;
    }
    this.sound.set(path, mark);
    return true;
  }

  /** Takes a snapshot of this log; the rest of it is read and checked when it is needed. */
  private async adopt(path: string, isOfThisLog: (head: SnapshotHead) => Promise<boolean>): Promise<void> {
    try {
      const head = await readSnapshotHead(path);
      if (await isOfThisLog(head)) {
        const { position, recordedAt } = head;
        const { size: bytes } = await stat(path);
        this.kept.push({ path, position, recordedAt, bytes });
        return;
      }
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error;
    }
    await rm(path, { force: true });
  }
}

async function removeAbandoned(path: string): Promise<void> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
  if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { force: true });
}
