import type { History } from '@keyledger/audit';
import { EventStoreUnavailable } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import { setTimeout as pause } from 'node:timers/promises';

const LOOK_EVERY_MS = 10_000;

/**
 * Keeps snapshots and marks of the past as the log grows, beside the work of the api and with at most half of its time.
 * What it cannot write costs the answers time, and nobody their answer.
 */
export class Historian {
  private readonly stopping = new AbortController();
  private complained = false;

  constructor(
    private readonly history: History,
    private readonly logger: Logger,
  ) {}

  async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        await this.history.keepUp(signal, (busyMs) => wait(busyMs, signal));
        this.complained = false;
      } catch (error) {
        if (!signal.aborted && !this.complained && !(error instanceof EventStoreUnavailable)) {
          this.complained = true;
          this.logger.warn({ err: error }, 'the past cannot be kept in snapshots; questions about it take longer');
        }
      }
      await wait(LOOK_EVERY_MS, signal);
    }
  }

  stop(): void {
    this.stopping.abort();
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
