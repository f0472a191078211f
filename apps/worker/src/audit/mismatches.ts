import { refusal, streams, type AuditMismatchFound, type CommandContext } from '@keyledger/contracts';
import { accept, refuse, type Decider } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { newId, systemClock, type Logger, type Metrics } from '@keyledger/platform';
import { createHash } from 'node:crypto';

export type Mismatch = Omit<AuditMismatchFound['data'], 'foundAt'>;

const decider: Decider<AuditMismatchFound['data'] | undefined, undefined, AuditMismatchFound> = {
  initialState: undefined,
  decide: (data) =>
    data ? accept({ type: 'AuditMismatchFound', data }) : refuse(refusal('INVALID', 'Nothing was found.')),
  evolve: () => undefined,
};

/** What does not fit becomes known: a line in the log, a metric, and once an event, from which alerts are made. */
export class Mismatches {
  private readonly found = new Map<Mismatch['foundBy'], number>();

  constructor(
    private readonly decisions: Decisions,
    private readonly logger: Logger,
    metrics: Metrics,
  ) {
    metrics.gauge(
      'keyledger_audit_mismatches',
      'What did not fit when it was last looked at: anything but 0 wants a person',
      ['found_by'],
      (own) => {
        for (const by of ['sequencer', 'check'] as const) own.set({ found_by: by }, this.found.get(by) ?? 0);
      },
    );
  }

  /** Everything that one look found; none: all is well again. What was recorded before is not recorded again. */
  async report(foundBy: Mismatch['foundBy'], mismatches: readonly Omit<Mismatch, 'foundBy'>[]): Promise<void> {
    this.found.set(foundBy, mismatches.length);
    for (const mismatch of mismatches) {
      const { code, message, event, evidence } = mismatch;
      this.logger.error({ code, event, evidence, foundBy }, `the audit trail does not fit: ${message}`);
      await this.record({ ...mismatch, foundBy });
    }
  }

  private async record(mismatch: Mismatch): Promise<void> {
    const now = systemClock();
    const { code, event, evidence } = mismatch;
    // The same finding is the same command, whoever finds it and however often.
    const what = JSON.stringify([code, event?.index, evidence[0]]);
    const context: CommandContext = {
      commandId: `audit-mismatch ${createHash('sha256').update(what).digest('base64url')}`,
      now,
      actor: { type: 'system', id: 'audit' },
      reason: 'the audit trail does not fit',
      requestId: newId(),
    };
    await this.decisions.run(decider, streams.auditCheck, { ...mismatch, foundAt: now }, context);
  }
}
