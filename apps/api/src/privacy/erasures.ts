import { streams, type RecordedEvent, type SubjectErased, type SubjectEvent } from '@keyledger/contracts';
import type { EventStore } from '@keyledger/event-store';
import type { Logger, SubjectKeys } from '@keyledger/platform';
import { setTimeout as sleep } from 'node:timers/promises';

const BATCH = 500;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 30_000;

type Erasure = Pick<SubjectErased['data'], 'subjectId' | 'kind' | 'generation' | 'erasedAt'>;

/**
 * Destroys the keys of erased subjects, in every process of the api: those of an erasure that another process made, so
 * that this one forgets its copy; those that a crash left out; and those that somebody put back from a backup. It reads
 * every erasure from the first at each start.
 */
export class Erasures {
  constructor(
    private readonly keys: SubjectKeys,
    private readonly store: Pick<EventStore, 'subscribe'>,
    private readonly logger: Logger,
  ) {}

  /** @returns whether the keys are gone; if not, `run` goes on trying */
  async destroy(erasure: Erasure): Promise<boolean> {
    const { subjectId, kind, generation, erasedAt } = erasure;
    try {
      const destroyed = await this.keys.destroy(subjectId, kind, generation, erasedAt);
      if (destroyed.length > 0) this.logger.info({ subjectId, destroyed }, 'the data keys of a subject are destroyed');
      return true;
    } catch (error) {
      this.logger.error({ err: error, subjectId }, 'the data key of an erased subject is not destroyed yet');
      return false;
    }
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.follow(signal, () => (failures = 0));
      } catch (error) {
        if (signal.aborted) return;
        if (failures === 0) this.logger.warn({ err: error }, 'erasures cannot be followed for now');
      }
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
      await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async follow(signal: AbortSignal, done: () => void): Promise<void> {
    const batches = this.store.subscribe({
      after: 'start',
      streamPrefixes: [streams.subject('')],
      maxBatch: BATCH,
      signal,
    });
    for await (const { events } of batches) {
      for (const { event } of events as readonly RecordedEvent<SubjectEvent>[]) {
        if (!(await this.destroy(event.data))) throw new Error('a data key could not be destroyed');
      }
      done();
    }
  }
}
