import { redisNames, type Instant } from '@keyledger/contracts';
import type { RedisClient } from './connect.js';

/** A decoy was presented. Everything in it may be shown. */
export interface DecoySighting {
  keyId: string;
  secretId: string;
  seenAt: Instant;
  /** Where it came from, as far as whoever asked about it said so. */
  address?: string;
  userAgent?: string;
  /** keyId of the management key of the service that asked about it. */
  service?: string;
}

/** One that a worker holds until it has told of it. */
export interface TakenSighting extends DecoySighting {
  id: string;
}

const KEPT_IN_REDIS = 10_000;
const KEPT_HERE = 1000;
const FLUSH_EVERY_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** How long the same secret from the same address is one sighting: a flood is one line in Redis. */
const SAME_FOR_MS = 60_000;

/**
 * Sightings of decoys on their way from whoever verifies to a worker. `note` is on the path of a verification: it keeps
 * the sighting in memory and returns; what is written later and fails is tried again, and what does not fit is dropped,
 * oldest first.
 */
export class DecoySightings {
  private readonly waiting: DecoySighting[] = [];
  private readonly seen = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private failures = 0;

  constructor(
    private readonly redis: RedisClient,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Never throws, never waits. */
  note(sighting: DecoySighting): void {
    const name = `${sighting.secretId} ${sighting.address ?? ''}`;
    const now = this.nowMs();
    if (now - (this.seen.get(name) ?? -Infinity) < SAME_FOR_MS) return;
    if (this.seen.size >= KEPT_HERE) this.seen.clear();
    this.seen.set(name, now);
    if (this.waiting.length >= KEPT_HERE) this.waiting.shift();
    this.waiting.push(sighting);
    this.flushIn(FLUSH_EVERY_MS);
  }

  /** Writes what waits, once more and no longer than the client's own bound. For the end of a process. */
  async close(): Promise<void> {
    clearTimeout(this.timer);
    if (this.waiting.length > 0) await this.write().catch(() => undefined);
  }

  /** The oldest that no worker has told of. @throws whatever keeps Redis from answering */
  async take(count: number): Promise<TakenSighting[]> {
    const entries = await this.redis.xrange(redisNames.decoySightings, '-', '+', 'COUNT', count);
    return entries.map(([id, [, text = '']]) => ({ ...(JSON.parse(text) as DecoySighting), id }));
  }

  /** They were told of. Until then another worker gets them too, which must come to the same. */
  async done(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.redis.xdel(redisNames.decoySightings, ...ids);
  }

  private flushIn(ms: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.write().then(
        () => (this.failures = 0),
        () => this.flushIn(Math.min(FLUSH_EVERY_MS * 2 ** this.failures++, LONGEST_PAUSE_MS)),
      );
    }, ms).unref();
  }

  private async write(): Promise<void> {
    const batch = this.waiting.splice(0);
    let written = 0;
    try {
      for (const sighting of batch) {
        const cap = ['MAXLEN', '~', KEPT_IN_REDIS] as const;
        await this.redis.xadd(redisNames.decoySightings, ...cap, '*', 's', JSON.stringify(sighting));
        written++;
      }
    } finally {
      this.waiting.unshift(...batch.slice(written).slice(-KEPT_HERE));
    }
  }
}
