import type { Logger } from '@keyledger/platform';
import type { Queues } from './queues.js';

export interface Chore {
  everyMs: number;
  /** Does some of what there is to do, within a bound; the next round goes on. */
  work(): Promise<unknown>;
}

const LOOK_AFTER_MS = 2000;

/**
 * What has to be done again and again, each time by one worker: job schedulers of BullMQ in the queue `housekeeping`. They
 * are in Redis and can be lost with it, so every worker looks after them.
 */
export class Housekeeping {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly queues: Queues,
    private readonly chores: Readonly<Record<string, Chore>>,
    private readonly logger: Logger,
    /**
     * Whether jobs may be set up now. Not by a process whose clock is wrong: one that runs ahead would put the next round
     * off for everybody. And not by one that has more urgent things to do: what is set up begins at once.
     */
    private readonly isReady: () => boolean,
  ) {}

  start(): void {
    this.queues.process('housekeeping', async ({ name }) => this.chores[name]?.work(), {
      concurrency: 4,
      lockMs: 10_000,
    });
    void this.lookAfter();
    this.timer = setInterval(() => void this.lookAfter(), LOOK_AFTER_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async lookAfter(): Promise<void> {
    if (!this.isReady()) return;
    const queue = this.queues.queue('housekeeping');
    try {
      for (const [name, { everyMs }] of Object.entries(this.chores)) {
        const known = await queue.getJobScheduler(name);
        if (known && known.every === everyMs && isSound(known.next, everyMs)) continue;
        // Else BullMQ would keep the instant of the next round that it has.
        if (known) await queue.removeJobScheduler(name);
        const opts = { attempts: 1, removeOnComplete: true, removeOnFail: 100 };
        await queue.upsertJobScheduler(name, { every: everyMs }, { name, opts });
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'the regular jobs cannot be looked after');
    }
  }
}

const MOST_AHEAD_MS = 5000;
const MOST_OVERDUE_MS = 60_000;

/** The next round is neither long overdue, its job lost, nor further away than one that a right clock would set. */
function isSound(next: number | undefined, everyMs: number): boolean {
  if (next === undefined) return true;
  const inMs = next - Date.now();
  return inMs <= everyMs + MOST_AHEAD_MS && inMs >= -10 * everyMs - MOST_OVERDUE_MS;
}
