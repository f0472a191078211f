import { refusal, type CommandContext } from '@keyledger/contracts';
import type { FoundKeyRequest } from '@keyledger/contracts/http';
import { foundText, type FoundToken, type Incidents, type LeakReport } from '@keyledger/leaks';
import { RefusalError, type KeyDigests } from '@keyledger/platform';
import { EventStoreUnavailable } from '@keyledger/event-store';
import { ReadModelUnavailable } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LeakLog } from './leak-log.js';
import type { Allowance } from './allowance.js';
import { withoutToken } from './token-free.js';

/** When an answer goes out, whatever was found: longer than the work takes. */
const ANSWER_AFTER_MS = 250;
const MOST_AT_ONCE = 100;
const RECORDING_PAUSES_MS = [1000, 4000, 10_000];

/**
 * Takes "I found this key" from anybody. Every answer is the same and comes after the same time, so it tells nobody
 * whether the text is a key; what is no key of ours leaves nothing behind, so nobody fills the log of events with it.
 * While Redis cannot tell, the report is recorded all the same, and a worker finds the key later.
 */
export class FoundIntake {
  private running = 0;

  constructor(
    private readonly incidents: Incidents,
    private readonly digests: KeyDigests,
    private readonly allowance: Allowance,
    private readonly log: LeakLog,
  ) {}

  /** @throws RefusalError 429 for more than one address, or all of them together, may report */
  async take({ key, url, comment }: FoundKeyRequest, context: CommandContext): Promise<void> {
    const waitSeconds = this.running >= MOST_AT_ONCE ? 1 : this.allowance.take(context.clientAddress ?? '');
    if (waitSeconds > 0) throw tooMany(waitSeconds);
    const token = foundText(key, this.digests);
    const report: LeakReport = {
      source: 'found',
      token,
      ...(url !== undefined && { url: withoutToken(url, key) }),
      ...(comment !== undefined && { comment: withoutToken(comment, key) }),
    };
    void this.work(token, report, context);
    await sleep(ANSWER_AFTER_MS);
  }

  private async work(token: FoundToken, report: LeakReport, context: CommandContext): Promise<void> {
    this.running++;
    try {
      if (!(await this.mayBeKnown(token))) return this.log.count('found', 'unmatched');
      const { state, failure } = await this.recorded(report, context);
      this.log.note('found', state, failure);
    } catch (error) {
      this.log.lost('found', error, token.mask);
    } finally {
      this.running--;
    }
  }

  private async mayBeKnown(token: FoundToken): Promise<boolean> {
    return this.incidents.isKnown(token).catch((error: unknown) => {
      if (error instanceof ReadModelUnavailable) return true;
      throw error;
    });
  }

  private async recorded(report: LeakReport, context: CommandContext): ReturnType<Incidents['handle']> {
    for (const pauseMs of RECORDING_PAUSES_MS) {
      try {
        return await this.incidents.handle(report, context);
      } catch (error) {
        if (!(error instanceof EventStoreUnavailable)) throw error;
        await sleep(pauseMs);
      }
    }
    return this.incidents.handle(report, context);
  }
}

function tooMany(waitSeconds: number): RefusalError {
  const detail = 'Too many reports come from there, or from everywhere at once.';
  return new RefusalError(refusal('RATE_LIMITED', detail), { 'retry-after': String(waitSeconds) });
}
