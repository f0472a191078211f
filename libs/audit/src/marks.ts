import type { Instant, RecordedEvent } from '@keyledger/contracts';
import { appendFile, readFile, writeFile } from 'node:fs/promises';

/** How many events lie between two marks. */
const MARK_EVERY = 500;

interface Mark {
  position: bigint;
  recordedAt: Instant;
  id: string;
}

/**
 * Where in the log a moment lies: the time of every so many events, and their positions, which are places that every
 * store reads from. A line each in a file, `position SP recordedAt SP event id`. What is asked before all of the log is
 * marked gets a place that is further away, never a wrong one.
 */
export class Marks {
  private marks: Mark[] = [];
  private path: string | undefined;
  private since = 0;

  /** Takes up what an earlier run has left, if its newest mark is of this log; begins anew if not. */
  async open(path: string, isOfThisLog: (mark: Mark) => Promise<boolean>): Promise<void> {
    const text = await readFile(path, 'utf8').catch(() => '');
    const read = text.split('\n').flatMap((line): Mark[] => {
      const [position = '', recordedAt = '', id = ''] = line.split(' ');
      return /^\d+$/.test(position) && id.length === 36 ? [{ position: BigInt(position), recordedAt, id }] : [];
    });
    const sorted = read.sort((one, other) => (one.position < other.position ? -1 : 1));
    const newest = sorted.at(-1);
    if (newest && (await isOfThisLog(newest))) this.marks = sorted;
    else await writeFile(path, '');
    this.path = path;
  }

  /** Told every event in log order; those behind the newest mark again do not matter. */
  async take({ position, recordedAt, id }: RecordedEvent): Promise<void> {
    this.since += 1;
    const newest = this.marks.at(-1);
    if (this.path === undefined || (newest && (position <= newest.position || this.since < MARK_EVERY))) return;
    this.marks.push({ position, recordedAt, id });
    this.since = 0;
    await appendFile(this.path, `${position} ${recordedAt} ${id}\n`);
  }

  get count(): number {
    return this.marks.length;
  }

  /** A position at or before which everything was recorded before the instant: where a search for it may begin. */
  positionBefore(instant: Instant): bigint | undefined {
    return this.lastOf(({ recordedAt }) => recordedAt < instant);
  }

  /** A position at or behind which everything was recorded after the instant; `undefined`: none is known. */
  positionBehind(instant: Instant): bigint | undefined {
    return this.firstBehind(({ recordedAt }) => recordedAt <= instant);
  }

  /** The nearest known place of an event at or before a position, for stores that read from such places only. */
  placeBefore(position: bigint): bigint | undefined {
    return this.lastOf((mark) => mark.position <= position);
  }

  /** The nearest known place of an event behind a position; `undefined`: read from the end. */
  placeBehind(position: bigint): bigint | undefined {
    return this.firstBehind((mark) => mark.position <= position);
  }

  private lastOf(holds: (mark: Mark) => boolean): bigint | undefined {
    const count = this.countOf(holds);
    return count === 0 ? undefined : this.marks[count - 1]?.position;
  }

  private firstBehind(holds: (mark: Mark) => boolean): bigint | undefined {
    return this.marks[this.countOf(holds)]?.position;
  }

  /** How many marks at the front fulfil what holds for a front of them only. */
  private countOf(holds: (mark: Mark) => boolean): number {
    let [low, high] = [0, this.marks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(this.marks[middle] as Mark)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
