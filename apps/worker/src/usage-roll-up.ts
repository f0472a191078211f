import { streams, type KeyUsageRecorded, type LedgerEvent } from '@keyledger/contracts';
import { usageDecider, type KeyUsage } from '@keyledger/domain';
import type { Decisions, EventStore } from '@keyledger/event-store';
import { newId, systemClock, type Logger } from '@keyledger/platform';
import type { UsageStore } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 1000;
const KEYS_AT_ONCE = 8;
const KEYS_PER_ROUND = 512;
const RESTORE_BATCH = 500;

export interface UsageRollUpParts {
  usage: UsageStore;
  store: Pick<EventStore, 'subscribe'>;
  decisions: Decisions;
  intervalSeconds: number;
  log: Logger;
  onRecorded?: (keys: number) => void;
}

/**
 * Puts on record how keys were used, so that it survives the loss of Redis, and brings it back into a Redis that was
 * emptied. Two workers may do so at once: what is on record already is not recorded again.
 */
export class UsageRollUp {
  private readonly intervalMs: number;
  private failing = false;
  private whole = false;

  constructor(private readonly parts: UsageRollUpParts) {
    this.intervalMs = parts.intervalSeconds * 1000;
  }

  /** What is on record is in Redis too, as far as was seen last. */
  isWhole(): boolean {
    return this.whole;
  }

  /** Works until the signal aborts. What fails is said once and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.whole = (await this.parts.usage.isWhole()) || (await this.restore(signal));
        if (this.whole) await this.rollUp(signal);
        this.failing = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!this.failing) this.parts.log.warn({ err: error }, 'the use of keys cannot be recorded at the moment');
        this.failing = true;
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  private async rollUp(signal: AbortSignal): Promise<void> {
    for (let more = true; more && !signal.aborted;) {
      const due = await this.parts.usage.due(this.intervalMs, KEYS_PER_ROUND);
      const left = due.values();
      const lane = async () => {
        for (const keyId of left) {
          if (signal.aborted) return;
          await this.record(keyId);
        }
      };
      await Promise.all(Array.from({ length: Math.min(KEYS_AT_ONCE, due.length) }, lane));
      this.parts.onRecorded?.(due.length);
      more = due.length === KEYS_PER_ROUND;
    }
  }

  private async record(keyId: string): Promise<void> {
    const { usage: counts, decisions } = this.parts;
    const stream = streams.usage(keyId);
    const { state: recorded } = await decisions.load(usageDecider, stream);
    const usage = await counts.beginRollUp(keyId, recorded, this.intervalMs);
    const now = systemClock();
    const id = newId();
    const outcome = await decisions.run(
      usageDecider,
      stream,
      { type: 'RecordUsage', keyId, usage, now },
      { commandId: id, now, actor: { type: 'system', id: 'usage' }, reason: 'uses counted', requestId: id },
    );
    // Refused only while others record the same key; then it is due again soon.
    if (outcome.accepted) await counts.endRollUp(keyId);
  }

  private async restore(signal: AbortSignal): Promise<boolean> {
    const whole = await this.parts.usage.restoreAll(this.everythingRecorded(signal));
    if (whole && !signal.aborted) this.parts.log.info('the use of keys as recorded is in Redis');
    return whole;
  }

  private async *everythingRecorded(signal: AbortSignal): AsyncGenerator<{ keyId: string; usage: KeyUsage }[]> {
    const subscription = this.parts.store.subscribe({
      after: 'start',
      streamPrefixes: ['usage-'],
      maxBatch: RESTORE_BATCH,
      signal,
    });
    for await (const { events, live } of subscription) {
      yield events
        .map(({ event }) => event)
        .filter(isUsage)
        .map(({ data }) => ({ keyId: data.keyId, usage: data.secrets }));
      if (live) return;
    }
    // Ended before the head of the log: what was read is not all there is.
    throw new Error('the reading of what is on record was interrupted');
  }
}

function isUsage(event: LedgerEvent): event is KeyUsageRecorded {
  return event.type === 'KeyUsageRecorded';
}
