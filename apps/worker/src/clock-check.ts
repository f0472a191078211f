import { instantOf, type Instant } from '@keyledger/contracts';
import type { Logger } from '@keyledger/platform';
import type { RedisClient } from '@keyledger/read-model';

/** This process must not act in the name of time. */
export class ClockOff extends Error {
  constructor(problem: string) {
    super(`${problem}; nothing is done in the name of time`);
    this.name = 'ClockOff';
  }
}

const CHECK_EVERY_MS = 2000;
/** What a clock may be off. Synchronised clocks are off by milliseconds. */
const MOST_OFF_MS = 3000;
/** How old a comparison may be, and how long its question may have been under way. */
const GOOD_FOR_MS = 15_000;
const MOST_ROUND_TRIP_MS = 1000;

interface Comparison {
  /** What Redis said, and when it was that by a clock that never jumps. */
  redisMs: number;
  steadyMs: number;
}

/**
 * The clock of this process, held against that of Redis, which all workers share. Verification is judged where it is
 * asked for; but what a worker writes down in the name of time stays written, so a worker whose clock is wrong says so
 * and does nothing, and another does its work.
 */
export class ClockCheck {
  private last: Comparison | undefined;
  private timer: NodeJS.Timeout | undefined;
  private off = false;

  constructor(
    private readonly redis: RedisClient,
    private readonly logger: Logger,
    /** Told whenever the clock turns out wrong, or right again. */
    private readonly onChange: (isRight: boolean) => void = () => undefined,
  ) {}

  /** Compares at once and from then on every two seconds. Never fails. */
  async start(): Promise<void> {
    await this.compare();
    this.timer = setInterval(() => void this.compare(), CHECK_EVERY_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** The time, if it is right. @throws ClockOff */
  now(): Instant {
    const problem = this.problem();
    if (problem !== undefined) throw new ClockOff(problem);
    return instantOf(Date.now());
  }

  /** Why the clock is not to be believed. */
  problem(): string | undefined {
    if (!this.last) return 'the clock was not compared with that of Redis yet';
    const sinceMs = performance.now() - this.last.steadyMs;
    if (sinceMs > GOOD_FOR_MS) return 'the clock cannot be compared with that of Redis';
    const offMs = Date.now() - (this.last.redisMs + sinceMs);
    if (Math.abs(offMs) <= MOST_OFF_MS) return undefined;
    const seconds = (Math.abs(offMs) / 1000).toFixed(1);
    return `the clock is ${seconds} s ${offMs > 0 ? 'ahead of' : 'behind'} that of Redis`;
  }

  private async compare(): Promise<void> {
    const before = performance.now();
    try {
      const [seconds, micros] = await this.redis.time();
      const after = performance.now();
      if (after - before <= MOST_ROUND_TRIP_MS) {
        this.last = { redisMs: Number(seconds) * 1000 + Number(micros) / 1000, steadyMs: (before + after) / 2 };
      }
    } catch {
      // Said by whoever needs Redis; an old comparison stops counting by itself.
    }
    this.tell();
  }

  private tell(): void {
    const problem = this.problem();
    if ((problem !== undefined) === this.off) return;
    this.off = problem !== undefined;
    if (problem !== undefined)
      this.logger.error({ problem }, `${problem}: this worker does nothing in the name of time`);
    else this.logger.info({}, 'the clock agrees with that of Redis again');
    this.onChange(!this.off);
  }
}
