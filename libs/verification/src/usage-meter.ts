import type { Instant } from '@keyledger/contracts';
import type { Logger, Metrics } from '@keyledger/platform';
import type { CountedUses } from '@keyledger/read-model';

/** Where counts go. */
export interface UsageSink {
  add(uses: readonly CountedUses[]): Promise<void>;
  /** Those that were added before, and are lost. */
  addLost(uses: readonly CountedUses[]): Promise<void>;
  /** Under another name than before what was added last may be lost; `undefined` while it is not known. */
  runs(): string | undefined;
}

/** Different secrets that are counted at a time. */
const MOST_SECRETS = 40_000;
/** So many with uses that wait are handed on at once. */
const EARLY_AT = MOST_SECRETS / 2;
const FLUSH_EVERY_MS = 1000;
/** A secret that is used all the time is handed on with every third flush: each costs Redis as much as a verification. */
const FLUSHES_BETWEEN = 3;
/** Handed on in one step. Redis does nothing else meanwhile, and verifications wait for Redis. */
const SECRETS_PER_STEP = 512;

interface Counted extends CountedUses {
  /** The number of the flush from which on it is handed on. */
  due: number;
  /** What was handed on last. */
  handed?: CountedUses;
}

/**
 * Counts the uses of secrets in memory and hands them on, the first within a second, further ones within three: a use
 * costs the verification that it belongs to one look into a map, and nobody waits for Redis. While Redis is away counts
 * are kept; of secrets beyond the room that there is, uses are dropped and counted as such. What was handed on in the
 * last seconds before Redis was started anew, and is not there any more, is handed on again.
 */
export class UsageMeter {
  /** By secret. The entry of one that was handed on stays until it is due again, for its next uses. */
  private readonly counts = new Map<string, Counted>();
  /** How many of them have uses. */
  private waiting = 0;
  private flushes = 0;
  private runs: string | undefined;
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
      gauge.set(this.waiting);
    });
  }

  /** A secret was good for a request at this instant. */
  used(keyId: string, secretId: string, at: Instant): void {
    const entry = this.counts.get(secretId) ?? this.begin(keyId, secretId, at);
    if (!entry) return this.dropped(1);
    if (entry.count++ === 0) this.waits(entry, at);
    entry.lastAt = at;
  }

  start(): void {
    this.timer ??= setInterval(() => void this.flush('due'), FLUSH_EVERY_MS).unref();
  }

  /** Hands on what is left. Whatever Redis does, it resolves. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.flushing;
    await this.flush('all');
    for (const { count } of this.counts.values()) this.dropped(count);
    this.counts.clear();
    this.waiting = 0;
  }

  /** An entry without uses, if there is room for one more. */
  private begin(keyId: string, secretId: string, at: Instant): Counted | undefined {
    if (this.counts.size >= MOST_SECRETS) this.forgetUnused();
    if (this.counts.size >= MOST_SECRETS) return undefined;
    const entry = { keyId, secretId, count: 0, firstAt: at, lastAt: at, due: 0 };
    this.counts.set(secretId, entry);
    return entry;
  }

  private waits(entry: CountedUses, firstAt: Instant): void {
    entry.firstAt = firstAt;
    if (++this.waiting === EARLY_AT && !this.failing) void this.flush('all');
  }

  private forgetUnused(): void {
    if (this.waiting === this.counts.size) return;
    for (const { secretId, count } of this.counts.values()) if (count === 0) this.counts.delete(secretId);
  }

  /** One at a time; what a failed one had is counted on. */
  private flush(which: 'due' | 'all'): Promise<void> {
    this.flushing ??= this.handOn(which).finally(() => {
      this.flushing = undefined;
    });
    return this.flushing;
  }

  private async handOn(which: 'due' | 'all'): Promise<void> {
    this.flushes++;
    try {
      const areKnown = await this.restore();
      const used: Counted[] = [];
      for (const entry of this.counts.values()) {
        if (which === 'due' && entry.due > this.flushes) continue;
        if (entry.count > 0) used.push(entry);
        else if (areKnown) this.counts.delete(entry.secretId);
      }
      for (let from = 0; from < used.length; from += SECRETS_PER_STEP) {
        await this.step(used.slice(from, from + SECRETS_PER_STEP));
      }
      this.failing = false;
    } catch (error) {
      if (!this.failing) this.log.warn({ err: error }, 'uses of keys cannot be counted in Redis; they are kept');
      this.failing = true;
    }
  }

  /** Whether what was handed on last is there, as far as can be said. */
  private async restore(): Promise<boolean> {
    const runs = this.sink.runs();
    if (runs === undefined) return false;
    if (this.runs !== undefined && runs !== this.runs) {
      const handed = [...this.counts.values()].flatMap((entry) => entry.handed ?? []);
      for (let from = 0; from < handed.length; from += SECRETS_PER_STEP) {
        await this.sink.addLost(handed.slice(from, from + SECRETS_PER_STEP));
      }
    }
    this.runs = runs;
    return true;
  }

  private async step(entries: readonly Counted[]): Promise<void> {
    const uses = entries.map(({ due: _, handed: __, ...use }) => use);
    for (const entry of entries) {
      entry.count = 0;
      entry.due = this.flushes + FLUSHES_BETWEEN;
    }
    this.waiting -= entries.length;
    try {
      await this.sink.add(uses);
      for (const [at, entry] of entries.entries()) entry.handed = uses[at] as CountedUses;
    } catch (error) {
      for (const use of uses) this.takeBack(use);
      throw error;
    }
  }

  /** Of a use that could not be handed on; the same secret may have been used, or its entry forgotten, since. */
  private takeBack({ keyId, secretId, count, firstAt, lastAt }: CountedUses): void {
    const entry = this.counts.get(secretId) ?? this.begin(keyId, secretId, lastAt);
    if (!entry) return this.dropped(count);
    if (entry.count === 0) this.waiting++;
    entry.due = 0;
    entry.count += count;
    entry.firstAt = firstAt;
  }
}
