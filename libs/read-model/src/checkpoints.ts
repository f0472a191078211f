import { redisNames } from '@keyledger/contracts';
import type { RedisClient } from './connect.js';
import { positionFrom, positionText } from './meta.js';

/**
 * How far each reactor has come in the log that derives nothing into Redis: what it does is in the log, or with others.
 * Like everything in Redis it may be lost: then its reactor begins anew, and what it does is done once all the same.
 * Whoever derives something into Redis has a `Tenure` instead.
 */
export class Checkpoints {
  constructor(private readonly redis: RedisClient) {}

  /** `undefined`: none, begin at the start. @throws whatever keeps Redis from answering */
  async read(reactor: string): Promise<bigint | undefined> {
    const text = await this.redis.get(redisNames.checkpoint(reactor));
    return text === null ? undefined : positionFrom(text);
  }

  /** Moves forward only, so that of two workers the slower does not take the other back. */
  async advance(reactor: string, position: bigint): Promise<void> {
    await this.redis.eval(ADVANCE, 1, redisNames.checkpoint(reactor), positionText(position));
  }

  /** Whether this holder is the one for the next `ms`: it is already, or nobody is. */
  async claim(reactor: string, holder: string, ms: number): Promise<boolean> {
    return (await this.redis.eval(CLAIM, 1, redisNames.reactorHolder(reactor), holder, ms)) === 1;
  }

  /** Lets another be the holder at once. */
  async release(reactor: string, holder: string): Promise<void> {
    await this.redis.eval(RELEASE, 1, redisNames.reactorHolder(reactor), holder);
  }

  /** Makes a reactor begin anew. */
  async forget(reactor: string): Promise<void> {
    await this.redis.del(redisNames.checkpoint(reactor));
  }
}

/** Positions are texts of one length, so text order is their order. */
const ADVANCE = `
local known = redis.call('GET', KEYS[1])
if not known or known < ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
`;

const CLAIM = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`;

const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`;
