import type { LeakSource } from '@keyledger/contracts';
import type { LeakState } from '@keyledger/domain';
import { LogAllowance, type Logger, type Metrics } from '@keyledger/platform';

const LINES_PER_MINUTE = 60;

/** Counts reports by what came of them, and logs those that could not be gone on with at once. */
export class LeakLog {
  private readonly allowance = new LogAllowance(LINES_PER_MINUTE);
  private readonly counter;

  constructor(
    private readonly logger: Logger,
    metrics: Metrics,
  ) {
    this.counter = metrics.counter('keyledger_leak_reports_total', 'Leak reports, by source and by what came of them', [
      'source',
      'result',
    ]);
  }

  note(source: LeakSource, state: LeakState, failure?: Error): void {
    this.count(
      source,
      failure !== undefined ? 'pending' : state.match ? (state.action?.action ?? 'matched') : 'unmatched',
    );
    if (failure === undefined) return;
    const line = this.allowance.take();
    if (!line) return;
    const { leakId } = state.report;
    this.logger.warn({ err: failure, leakId, ...line }, 'a leak report is recorded, and a worker goes on with it');
  }

  /** A report that left no incident behind. */
  count(source: LeakSource, result: string): void {
    this.counter.inc({ source, result });
  }

  /** A report that was accepted and could not be recorded, for good. */
  lost(source: LeakSource, err: unknown, mask: string | undefined): void {
    this.count(source, 'lost');
    const line = this.allowance.take();
    if (line) this.logger.error({ err, source, mask, ...line }, 'a leak report could not be recorded');
  }
}
