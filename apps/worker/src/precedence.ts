import type { Projector } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 25;
const STANDSTILL_MS = 5000;

/**
 * While the read model is being made current nobody can verify, so what else goes through the log at length steps back:
 * there is one processor for all of it. For as long as the projector comes forward, that is: nobody waits for one that
 * cannot.
 */
export class Precedence {
  private done = 0;
  private movedAt = performance.now();

  constructor(private readonly projector: Pick<Projector, 'state'>) {}

  /** Resolves when there is nothing to step back for, and when the signal aborts. */
  async turn(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.isTaken()) await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }

  isTaken(): boolean {
    const { vouching, done } = this.projector.state();
    if (vouching) return false;
    if (done > this.done) this.movedAt = performance.now();
    this.done = done;
    return performance.now() - this.movedAt < STANDSTILL_MS;
  }
}
