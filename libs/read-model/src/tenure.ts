import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisClient } from './connect.js';
import { RedisLink, type KeyCommand } from './link.js';
import { positionFrom, positionText } from './meta.js';
import { beginMark, moveMark } from './scripts.js';
import { ReadModelUnavailable } from './unavailable.js';

/** A slot that holds something derived from the log, and the name of the mark beside it in the same slot. */
export interface DerivedSlot {
  tag: string;
  mark: string;
}

/** What was derived, or a part of it, may be gone, or another derives it anew: read how far it is, and go on there. */
export class TenureLost extends Error {
  constructor(why: string) {
    super(`${why}: what is derived from the log in Redis may be lost, and is derived again`);
    this.name = 'TenureLost';
  }
}

/** One stretch of work, by slot: its epoch, the run of its server when its mark was read, and what the mark says at least. */
interface Held {
  epochs: readonly string[];
  runs: readonly string[];
  seen: bigint[];
}

const RUNS_WITHIN_MS = 2000;
const LOOK_EVERY_MS = 10;

/**
 * A process's hold on something that it derives from the log into some slots of Redis. Beside it, in each of those slots,
 * stands a mark: `<epoch> <position> <run>`.
 *
 * Everything up to the position is there, because the mark is written after it, in the same slot: what a server loses in
 * a crash or a failover it loses from the end, the mark first. So the oldest position is always a safe place to begin,
 * for a new process too. Only somebody moves a mark on who has seen the same run of its server ever since he read it:
 * else something between the two may be gone, and `advance` throws. A mark that is gone says that its slot is; a new
 * one, of a new epoch, begins at the start of the log, and whoever works in the old epoch hears of it.
 *
 * The run in the mark is for readers: for that run of the server somebody has said that all that was in the log is there.
 * After a restart or a failover it is another's, and they wait until a worker has gone over what may have been lost.
 */
export class Tenure {
  private readonly link: RedisLink;
  private held: Held | undefined;
  private movedAt = -Infinity;
  private followsLoss = false;

  /** @param moveEveryMs marks move no more often: a position that they miss means work done twice, and nothing else */
  constructor(
    redis: RedisClient,
    private readonly slots: readonly DerivedSlot[],
    private readonly moveEveryMs = 0,
  ) {
    this.link = RedisLink.of(redis);
  }

  /** Begins, or begins anew: up to where everything is there. @throws ReadModelUnavailable, TenureLost */
  async read(): Promise<bigint> {
    this.held = undefined;
    const runs = await this.runsSoon();
    const fresh = `${randomUUID()} ${positionText(0n)} `;
    const marks = await this.link.batch(this.onMarks(beginMark, [fresh]));
    const parts = marks.map((mark) => String(mark).split(' '));
    const seen = parts.map(([, position]) => positionFrom(position));
    const held = { epochs: parts.map(([epoch = '']) => epoch), runs, seen };
    if (!this.isOn(held)) throw new TenureLost('Redis was started anew');
    this.held = held;
    this.movedAt = -Infinity;
    this.followsLoss = parts.some(([, , run = ''], index) => run !== '' && run !== runs[index]);
    return seen.reduce((least, one) => (one < least ? one : least));
  }

  /** Whether readers had believed another run of a server when this began: what was there may have been lost since. */
  get isAfterLoss(): boolean {
    return this.followsLoss;
  }

  /** Everything up to a position is there. @throws TenureLost, ReadModelUnavailable */
  async advance(_reactor: string, position: bigint): Promise<void> {
    if (performance.now() - this.movedAt < this.moveEveryMs) this.assertOn();
    else await this.move(position, false);
  }

  /** Everything that is in the log is there: from here on readers believe it. @throws as `advance` */
  async caughtUp(position: bigint): Promise<void> {
    await this.move(position, true);
  }

  /** Whether this process may go on. @throws ReadModelUnavailable while that cannot be said */
  async isIntact(): Promise<boolean> {
    const { held } = this;
    if (!held) return false;
    const runs = this.runs();
    if (!runs) throw new ReadModelUnavailable('unreachable');
    if (!this.isOn(held)) return false;
    const marks = await this.link.batch(this.onMarks('get', []));
    return marks.every((mark, index) => String(mark).startsWith(`${held.epochs[index]} `));
  }

  /** For readers: whether all is there, and nothing was lost since that was said. @throws ReadModelUnavailable */
  async isWhole(): Promise<boolean> {
    const marks = await this.link.batch(this.onMarks('get', []));
    return marks.every((mark, index) => this.isVouched((this.slots[index] as DerivedSlot).tag, mark));
  }

  /** Likewise of one slot, by its mark as it was read together with what it stands for. */
  isVouched(tag: string, mark: unknown): boolean {
    if (typeof mark !== 'string') return false;
    const run = mark.split(' ')[2] ?? '';
    return run !== '' && run === this.link.runOf(tag);
  }

  private async move(position: bigint, vouch: boolean): Promise<void> {
    // Checked and sent in one go: what goes out now reaches the servers that this tenure knows, or nobody.
    const { epochs, runs, seen } = this.assertOn();
    const commands = this.slots.map(({ mark }, index): KeyCommand => {
      const [epoch = '', least = 0n, run = ''] = [epochs[index], seen[index], runs[index]];
      return {
        call: moveMark,
        key: mark,
        args: [epoch, positionText(least), positionText(position), vouch ? run : ''],
      };
    });
    this.movedAt = performance.now();
    if ((await this.link.batch(commands)).includes(0)) throw this.lost('a mark is gone, or went back');
    seen.forEach((least, index) => (seen[index] = position > least ? position : least));
  }

  private assertOn(): Held {
    const { held } = this;
    if (!held) throw this.lost('its end was told already');
    if (!this.isOn(held)) throw this.lost('Redis was started anew, or cannot be reached');
    return held;
  }

  private lost(why: string): TenureLost {
    this.held = undefined;
    return new TenureLost(why);
  }

  private isOn({ runs }: Held): boolean {
    return this.slots.every(({ tag }, index) => this.link.runOf(tag) === runs[index]);
  }

  private runs(): string[] | undefined {
    const runs = this.slots.map(({ tag }) => this.link.runOf(tag));
    return runs.includes(undefined) ? undefined : (runs as string[]);
  }

  /** A client that has just connected does not know them yet. */
  private async runsSoon(): Promise<string[]> {
    for (let waited = 0; ; waited += LOOK_EVERY_MS) {
      const runs = this.runs();
      if (runs) return runs;
      if (waited >= RUNS_WITHIN_MS) throw new ReadModelUnavailable('unreachable');
      await sleep(LOOK_EVERY_MS);
    }
  }

  private onMarks(call: KeyCommand['call'], args: string[]): KeyCommand[] {
    return this.slots.map(({ mark }) => ({ call, key: mark, args }));
  }
}
