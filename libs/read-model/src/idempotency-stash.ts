import { redisNames } from '@keyledger/contracts';
import type { RedisClient } from './connect.js';

/**
 * What is remembered of requests with an Idempotency-Key, by an id that the caller's key cannot be read back from. The
 * texts are opaque and sealed. Redis losing all of it costs receipts; what changed something is not done again, since the
 * event store notices a command that was done before. What changed nothing is known here only.
 *
 * Per id a hash with the request's fingerprint and the lock of the one that runs, and beside it the sealed text: a
 * draft while the request runs, the receipt afterwards. Both have the id as their hash tag, so each call is one script
 * on one node of a cluster.
 */
export class IdempotencyStash {
  constructor(private readonly redis: RedisClient) {}

  /**
   * Takes the lock on an id, or says why not. The first claim stores the draft; a claim after one that neither settled
   * nor released its lock in time is given that one's draft, so that what it may have begun is finished with it.
   * @throws whatever keeps Redis from answering; then nothing is known
   */
  async claim(request: {
    id: string;
    fingerprint: string;
    /** Names who holds the lock. */
    token: string;
    draft: string;
  }): Promise<Claim> {
    const { id, fingerprint, token, draft } = request;
    const [outcome, text] = (await this.redis.eval(
      CLAIM,
      2,
      ...keysOf(id),
      fingerprint,
      token,
      draft,
      LOCK_MS,
      SEALED_MS,
      REMEMBERED_MS,
    )) as [string, string?];
    if (outcome === 'claimed' && text !== undefined) return { outcome, draft: text };
    if (outcome === 'done' && text !== undefined) return { outcome, receipt: text };
    return { outcome: outcome as 'other' | 'running' };
  }

  /**
   * Replaces the draft by the receipt and gives the lock back; nothing if the lock is no longer held.
   * @param keep `long`: as long as the fingerprint, for what nobody else could tell
   */
  async settle(id: string, token: string, receipt: string, keep: 'short' | 'long' = 'short'): Promise<void> {
    const ms = keep === 'long' ? REMEMBERED_MS : SEALED_MS;
    await this.redis.eval(SETTLE, 2, ...keysOf(id), token, receipt, ms, REMEMBERED_MS);
  }

  /** Gives the lock back and keeps the draft (`keep`: it may have been done), or forgets the id whole. */
  async release(id: string, token: string, what: 'keep' | 'forget'): Promise<void> {
    await this.redis.eval(RELEASE, 2, ...keysOf(id), token, what);
  }
}

export type Claim =
  /** The lock is held; go on with this draft. */
  | { outcome: 'claimed'; draft: string }
  /** It was done, and its receipt is still there. */
  | { outcome: 'done'; receipt: string }
  /** Another request holds the lock. */
  | { outcome: 'running' }
  /** The id was used with another fingerprint. */
  | { outcome: 'other' };

const LOCK_MS = 30_000;
/** How long a sealed text stays: the time in which a lost response can be asked for again, a new key included. */
const SEALED_MS = 600_000;
/** How long another request under the same id is noticed here, and that nothing had to be done is remembered. */
const REMEMBERED_MS = 86_400_000;

const keysOf = (id: string): [string, string] => [redisNames.receipt(id), redisNames.sealedReceipt(id)];

/** A sealed text begins with `d` for a draft and `r` for a receipt. */
const CLAIM = `
local fingerprint, token, draft = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], 'fingerprint')
if known and known ~= fingerprint then return {'other'} end
local sealed = redis.call('GET', KEYS[2])
if sealed and string.sub(sealed, 1, 1) == 'r' then return {'done', string.sub(sealed, 2)} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lock = redis.call('HMGET', KEYS[1], 'token', 'until')
if lock[1] and tonumber(lock[2]) > now then return {'running'} end
redis.call('HSET', KEYS[1], 'fingerprint', fingerprint, 'token', token, 'until', now + ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if sealed then return {'claimed', string.sub(sealed, 2)} end
redis.call('SET', KEYS[2], 'd' .. draft, 'PX', ARGV[5])
return {'claimed', draft}
`;

const SETTLE = `
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'token', 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], 'r' .. ARGV[2], 'PX', ARGV[3])
return 1
`;

const RELEASE = `
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if ARGV[2] == 'forget' then
  redis.call('DEL', KEYS[1], KEYS[2])
else
  redis.call('HDEL', KEYS[1], 'token', 'until')
end
return 1
`;
