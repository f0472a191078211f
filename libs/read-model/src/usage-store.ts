import { REDIS_TAGS, redisNames, redisTagOf, type Instant, type SecretUse } from '@keyledger/contracts';
import { mergeUsage, USED_SECRETS_KEPT, type KeyUsage } from '@keyledger/domain';
import type { RedisClient } from './connect.js';
import { runsNow } from './heartbeat.js';
import { RedisLink, type KeyCommand, type Script } from './link.js';
import { Tenure } from './tenure.js';
import { ReadModelUnavailable } from './unavailable.js';
import { addLostUses, addUses, beginRollUp, endRollUp, readUsage, restoreUsage } from './usage-scripts.js';

/** Uses of one secret that one process has seen. */
export interface CountedUses {
  keyId: string;
  secretId: string;
  count: number;
  firstAt: Instant;
  lastAt: Instant;
}

/** How long a roll-up that was begun may take before another worker begins it again. */
const ROLL_UP_WITHIN_MS = 60_000;
/** What is recorded is brought back again from there after a loss; there are many marks to move. */
const MARKS_MOVE_EVERY_MS = 1000;

/**
 * How keys are used, counted in Redis. Per secret two numbers are kept apart: what the events have, or are about to
 * have, and what was counted since. So the first can be restored from the events when Redis was emptied, while counting
 * goes on, and nothing is counted twice.
 *
 * Counts are what verifiers could deliver: uses of a second in which a verifier was killed are missing, and a flush
 * whose answer got lost is given again. First and last uses have no such doubt.
 */
export class UsageStore {
  /** Of the one who brings in what is on record. */
  readonly tenure: Tenure;
  private readonly link: RedisLink;

  constructor(redis: RedisClient) {
    this.link = RedisLink.of(redis);
    const slots = REDIS_TAGS.map((tag) => ({ tag, mark: redisNames.usageMarker(tag) }));
    this.tenure = new Tenure(redis, slots, MARKS_MOVE_EVERY_MS);
  }

  /** @throws ReadModelUnavailable if it cannot be said that all is counted. */
  add(uses: readonly CountedUses[]): Promise<void> {
    return this.addBy(addUses, uses);
  }

  /** Adds those that were added before and that Redis has lost since. @throws as `add` */
  addLost(uses: readonly CountedUses[]): Promise<void> {
    return this.addBy(addLostUses, uses);
  }

  /** The runs of Redis servers that take uses now, as a text; under another what was added last may be lost. */
  runs(): string | undefined {
    const runs = runsNow(this.link);
    return runs && [...runs].sort().join(' ');
  }

  private async addBy(call: Script, uses: readonly CountedUses[]): Promise<void> {
    const now = Date.now();
    await this.link.batch(
      uses.map(({ keyId, secretId, count, firstAt, lastAt }) => ({
        call,
        key: redisNames.usage(keyId),
        args: [keyId, secretId, count, firstAt, lastAt, now],
      })),
    );
  }

  /**
   * What is known of the use of a key's secrets, up to about a second ago.
   * @throws ReadModelUnavailable also while what is on record is not restored yet, or Redis may have lost some of it: a
   * key must not look unused then.
   */
  async usageOf(keyId: string): Promise<KeyUsage> {
    const [usage] = await this.usagesOf([keyId]);
    return usage as KeyUsage;
  }

  /** Likewise of many, in their order. */
  async usagesOf(keyIds: readonly string[]): Promise<KeyUsage[]> {
    const replies = await this.link.batch(
      keyIds.map((keyId) => ({ call: readUsage, key: redisNames.usage(keyId), args: [] })),
    );
    return replies.map((reply, index) => {
      const [mark, fields] = reply as [string, string[]];
      const isWhole = this.tenure.isVouched(redisTagOf(keyIds[index] as string), mark);
      if (!isWhole) throw new ReadModelUnavailable('rebuilding', new Error('the use of keys is not restored yet'));
      return usageIn(fields);
    });
  }

  /**
   * Keys with uses that are not on record, and whose time has come: at once for the first use of a secret, else the
   * interval after they were last recorded.
   */
  async due(intervalMs: number, limit: number): Promise<string[]> {
    const until = Date.now() - intervalMs;
    const lists = (await this.link.batch(
      REDIS_TAGS.map((tag): KeyCommand => {
        const key = redisNames.usageDue(tag);
        return { call: 'zrangebyscore', key, args: ['-inf', until, 'LIMIT', 0, limit] };
      }),
    )) as string[][];
    return lists.flat().slice(0, limit);
  }

  /**
   * Begins to record a key's use: what was counted joins what the events have, under the numbers that are to be
   * recorded, and counting goes on from nothing. Done again before `endRollUp`, by anybody, it comes to the same.
   * @param recorded what the events have
   * @returns what is to be recorded
   */
  async beginRollUp(keyId: string, recorded: KeyUsage, intervalMs: number): Promise<KeyUsage> {
    const again = Date.now() - intervalMs + ROLL_UP_WITHIN_MS;
    const [reply] = await this.link.batch([
      { call: beginRollUp, key: redisNames.usage(keyId), args: [keyId, again, JSON.stringify(recorded)] },
    ]);
    return usageIn(reply as string[]);
  }

  /** Ends what `beginRollUp` began, once it is on record; secrets that are long over are forgotten. */
  async endRollUp(keyId: string): Promise<void> {
    const args = [keyId, Date.now(), USED_SECRETS_KEPT];
    await this.link.batch([{ call: endRollUp, key: redisNames.usage(keyId), args }]);
  }

  /** Brings in what events say of keys. Any order and any number of times come to the same. */
  async restore(recorded: readonly { keyId: string; usage: KeyUsage }[]): Promise<void> {
    const byKey = new Map<string, KeyUsage>();
    for (const { keyId, usage } of recorded) byKey.set(keyId, mergeUsage(byKey.get(keyId) ?? [], usage));
    await this.link.batch(
      [...byKey].map(([keyId, usage]) => ({
        call: restoreUsage,
        key: redisNames.usage(keyId),
        args: [JSON.stringify(usage)],
      })),
    );
  }
}

/**
 * Fields of the hash: `<letter>:<secretId>` with `n` for the number that the events have or are about to have, `d` for
 * what was counted since, `f` and `l` for first and last use.
 */
function usageIn(fields: readonly string[]): KeyUsage {
  const bySecret = new Map<string, SecretUse>();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [letter, secretId] = splitField(fields[i] as string);
    const value = fields[i + 1] as string;
    const use = bySecret.get(secretId) ?? { secretId, count: 0 };
    if (letter === 'f') use.firstUsedAt = value;
    else if (letter === 'l') use.lastUsedAt = value;
    else use.count += Number(value);
    bySecret.set(secretId, use);
  }
  return [...bySecret.values()].sort((one, other) => (one.secretId < other.secretId ? -1 : 1));
}

function splitField(field: string): [string, string] {
  return [field.slice(0, 1), field.slice(2)];
}
