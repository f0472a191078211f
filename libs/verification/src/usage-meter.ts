import type { Instant } from '@keyledger/contracts';
import type { Logger, Metrics } from '@keyledger/platform';
import type { CountedUses } from '@keyledger/read-model';

/** Where counts go. */
export interface UsageSink {
  add(uses: readonly CountedUses[]): Promise<void>;
}

/** Different secrets that are counted between two flushes, and as many again while a flush is on its way. */
const MOST_SECRETS = 20_000;
const FLUSH_EVERY_MS = 1000;
/** A flush begins early when this much of the room is used. */
const EARLY_AT = MOST_SECRETS / 2;

/**
 * Counts the uses of secrets in memory and hands them on every second: a use costs the verification that it belongs to
 * one look into a map, and nobody waits for Redis. While Redis is away counts are kept; of secrets beyond the room that
 * there is, uses are dropped and counted as such.
 */
export class UsageMeter {
  private counted = new Map<string, CountedUses>();
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;
  private failing = false;
  private readonly dropped: (uses: number) => void;

  constructor(
    private readonly sink: UsageSink,
    metrics: Metrics,
    private readonly log: Pick<Logger, 'warn'>,
  ) {
    const dropped = metrics.counter('keyledger_usage_dropped_total', 'Uses of keys that could not be counted');
    this.dropped = (uses) => dropped.inc(uses);
    metrics.gauge('keyledger_usage_waiting', 'Secrets whose counted uses wait for Redis', [], (gauge) => {
      gauge.set(this.counted.size);
    });
  }

  /** A secret was good for a request at this instant. */
  used(keyId: string, secretId: string, at: Instant): void {
    const entry = this.counted.get(secretId);
    if (entry) {
      entry.count++;
      entry.lastAt = at;
    } else this.begin({ keyId, secretId, count: 1, firstAt: at, lastAt: at });
  }

  start(): void {
    this.timer ??= setInterval(() => void this.flush(), FLUSH_EVERY_MS).unref();
  }

  /** Hands on what is left. Whatever Redis does, it resolves. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.flushing;
    await this.flush();
    this.drop(this.counted);
  }

  /** One at a time; what a failed one had is counted on. */
  private flush(): Promise<void> {
    this.flushing ??= this.handOn().finally(() => {
      this.flushing = undefined;
    });
    return this.flushing;
  }

  private async handOn(): Promise<void> {
    if (this.counted.size === 0) return;
    const batch = this.counted;
    this.counted = new Map();
    try {
      await this.sink.add([...batch.values()]);
      this.failing = false;
    } catch (error) {
      if (!this.failing) this.log.warn({ err: error }, 'uses of keys cannot be counted in Redis; they are kept');
      this.failing = true;
      this.takeBack(batch);
    }
  }

  private takeBack(batch: Map<string, CountedUses>): void {
    const since = this.counted;
    this.counted = batch;
    for (const use of since.values()) {
      const entry = batch.get(use.secretId);
      if (entry) {
        entry.count += use.count;
        entry.lastAt = use.lastAt;
      } else this.begin(use);
    }
  }

  private begin(use: CountedUses): void {
    const { size } = this.counted;
    if (size >= MOST_SECRETS) return this.dropped(use.count);
    this.counted.set(use.secretId, use);
    if (size === EARLY_AT && !this.failing) void this.flush();
  }

  private drop(uses: Map<string, CountedUses>): void {
    for (const { count } of uses.values()) this.dropped(count);
    uses.clear();
  }
}
