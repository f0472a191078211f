import type { Counter } from 'prom-client';
import { LogAllowance } from './log-allowance.js';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';
import { shownOf } from './redact.js';

const LINES_PER_MINUTE = 60;

/**
 * Notes credentials that were refused: each is counted, and logged with the address it came from and no more of it than
 * its mask; at most 60 lines a minute.
 */
export class FailedCredentials {
  private readonly counter: Counter;
  private readonly allowance: LogAllowance;

  constructor(
    private readonly logger: Logger,
    metrics: Metrics,
    nowMillis: () => number = Date.now,
  ) {
    this.counter = metrics.counter(
      'keyledger_authentication_failures_total',
      'Credentials that were presented and refused',
    );
    this.allowance = new LogAllowance(LINES_PER_MINUTE, nowMillis);
  }

  note(address: string, presented: string): void {
    this.counter.inc();
    const line = this.allowance.take();
    if (!line) return;
    this.logger.warn({ address, mask: shownOf(presented) ?? 'not of our format', ...line }, 'a credential was refused');
  }
}
