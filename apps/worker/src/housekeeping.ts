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
    const queue = this.queues.queue('housekeeping');
    try {
      for (const [name, { everyMs }] of Object.entries(this.chores)) {
        const known = await queue.getJobScheduler(name);
        const overdue = known?.next !== undefined && known.next < Date.now() - 10 * everyMs - 60_000;
        if (known && known.every === everyMs && !overdue) continue;
        const opts = { attempts: 1, removeOnComplete: true, removeOnFail: 100 };
        await queue.upsertJobScheduler(name, { every: everyMs }, { name, opts });
      }
    } catch (error) {
      this.logger.warn({ err: error }, 'the regular jobs cannot be looked after');
    }
  }
}
