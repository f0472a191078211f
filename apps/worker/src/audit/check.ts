import { checkLog, readPublished, type Keyring, type LogFinding, type TreeFollower } from '@keyledger/audit';
import type { EventStore } from '@keyledger/event-store';
import type { Logger, PublishPlace } from '@keyledger/platform';
import type { Mismatch, Mismatches } from './mismatches.js';

export interface LogChoreMeans {
  store: EventStore;
  follower: TreeFollower;
  keyring: Keyring;
  places: readonly PublishPlace[];
  mismatches: Mismatches;
  logger: Logger;
}

const TREE_WITHIN_MS = 5000;
/** One wrong thing shows in many places; the first findings say enough to somebody who is to look. */
const ALERTS = 5;

/** The regular check of the whole log against every checkpoint that was recorded, or published where it can be read. */
export class LogChore {
  /** When it last ended, in milliseconds, and whether all was well. */
  last: { at: number; ok: boolean; events: number } | undefined;

  constructor(private readonly means: LogChoreMeans) {}

  async work(): Promise<void> {
    const { store, follower, keyring, mismatches, logger } = this.means;
    const tree = await follower.caughtUp(TREE_WITHIN_MS);
    const report = await checkLog({
      store,
      published: this.published(),
      ...(keyring.trusted.length > 0 && { trusted: keyring.trusted }),
      ...(tree && { tree }),
    });
    const { ok, events, checkpoints, provedTo, findings } = report;
    this.last = { at: Date.now(), ok, events };
    if (ok) logger.info({ events, checkpoints, provedTo: provedTo?.size }, 'the audit log fits every checkpoint');
    await mismatches.report('check', findings.slice(0, ALERTS).map(mismatchOf));
  }

  private async *published(): AsyncGenerator<{ file: string; note: string }> {
    for (const { kind, target } of this.means.places) {
      if (kind === 'webhook') continue;
      try {
        yield* readPublished(target);
      } catch (error) {
        // A folder that nothing was published to yet is no mismatch, and one that is away is told by publishing.
        this.means.logger.warn({ err: error, kind }, 'published checkpoints could not be read for the check');
      }
    }
  }
}

function mismatchOf(finding: LogFinding): Omit<Mismatch, 'foundBy'> {
  const { code, message } = finding;
  if ('evidence' in finding) return { code, message, evidence: finding.evidence };
  const { index, id, stream, revision, type } = finding;
  const identity = { ...(id && { id }), ...(stream && { stream }), ...(type && { type }) };
  const event = { index, ...identity, ...(revision !== undefined && { revision }) };
  return { code, message, event, evidence: [] };
}
