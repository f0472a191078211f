import { streams, type KeyUsageRecorded, type LedgerEvent } from '@keyledger/contracts';
import { usageDecider } from '@keyledger/domain';
import type { Decisions, EventBatch } from '@keyledger/event-store';
import { newId, systemClock, type Logger } from '@keyledger/platform';
import type { UsageStore } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reactor } from './reactor.js';

const LOOK_EVERY_MS = 1000;
const KEYS_AT_ONCE = 8;
const KEYS_PER_ROUND = 512;
/** How long whoever counts uses is left to say again what Redis may have lost of it: it has to connect, and to notice. */
const SAID_AGAIN_WITHIN_MS = 4000;

export interface UsageRollUpParts {
  usage: UsageStore;
  decisions: Decisions;
  intervalSeconds: number;
  log: Logger;
  onRecorded?: (keys: number) => void;
}

/**
 * Puts on record how keys were used, so that it survives the loss of Redis, and follows those records to bring into Redis
 * what it lost. Two workers may do so at once: what is on record already is not recorded again.
 */
export class UsageRollUp implements Reactor {
  readonly name = 'usage';
  readonly streamPrefixes = [streams.usage('')];
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

  async react({ events }: EventBatch): Promise<void> {
    const recorded = events.map(({ event }) => event).filter(isUsage);
    await this.parts.usage.restore(recorded.map(({ data }) => ({ keyId: data.keyId, usage: data.secrets })));
  }

  /** @throws when the signal aborts: it must not be taken for the end of the wait */
  async caughtUp(signal: AbortSignal): Promise<void> {
    if (this.parts.usage.tenure.isAfterLoss) await sleep(SAID_AGAIN_WITHIN_MS, undefined, { signal });
  }

  /** Records until the signal aborts. What fails is said once and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.whole = await this.parts.usage.tenure.isWhole();
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
}

function isUsage(event: LedgerEvent): event is KeyUsageRecorded {
  return event.type === 'KeyUsageRecorded';
}
