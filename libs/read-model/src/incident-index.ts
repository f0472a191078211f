import { LEAK_STATES, LEAKS_TAG, redisNames, type LeakSource, type LeakStateName } from '@keyledger/contracts';
import { leakStateOf, type LeakState } from '@keyledger/domain';
import type { RedisClient } from './connect.js';
import { cursorOf, inAnyOrder, openCursor, sealOf } from './cursor.js';
import { MEMBERS_PER_REQUEST, type Page } from './listing.js';
import { decodeState, encodeRecord, idOfMember, indexMember, type Projected } from './records.js';
import { Tenure } from './tenure.js';
import { ReadModelUnavailable } from './unavailable.js';

export interface IncidentQuery {
  /** The keyspaces whose incidents are asked for; only `all` has those that match no key. */
  within: 'all' | readonly string[];
  state?: LeakStateName;
  source?: LeakSource;
  limit: number;
  cursor?: string;
}

const ANY_STATE = 'any';
const CHUNK = 200;

/**
 * The list of incidents, newest report first. The api writes what it has appended at once, a reactor of the worker
 * everything else and again; writes are guarded by the stream's revision, so their order does not matter. It stands
 * apart from the generations of keys, because no verification needs it and it is derived again in seconds.
 */
export class IncidentIndex {
  /** Of the one who makes the list from the log. */
  readonly tenure: Tenure;

  constructor(private readonly redis: RedisClient) {
    this.tenure = new Tenure(redis, [{ tag: LEAKS_TAG, mark: redisNames.leaksMarker }]);
  }

  /** @throws ReadModelUnavailable if Redis cannot be reached */
  async apply(leak: LeakState, revision: number): Promise<void> {
    const state = leakStateOf(leak);
    const { leakId, reportedAt } = leak.report;
    const scopes = leak.match ? [undefined, leak.match.keyspaceId] : [undefined];
    const others = LEAK_STATES.filter((other) => other !== state);
    const into = scopes.flatMap((scope) => [ANY_STATE, state].map((name) => redisNames.leakIndex(name, scope)));
    const outOf = scopes.flatMap((scope) => others.map((name) => redisNames.leakIndex(name, scope)));
    const keys = [redisNames.leak(leakId), ...into, ...outOf];
    const record = encodeRecord({ state: leak, revision });
    await this.asked(
      this.redis.eval(APPLY, keys.length, ...keys, revision, record, indexMember(reportedAt, leakId), into.length),
    );
  }

  /** @throws BadCursor, ReadModelUnavailable */
  async list({ within, state, source, limit, cursor }: IncidentQuery): Promise<Page<LeakState>> {
    const seal = sealOf(['incidents', inAnyOrder(within), state, source]);
    const [start] = openCursor(cursor, seal, 1) ?? [];
    if (!(await this.tenure.isWhole())) throw new ReadModelUnavailable('rebuilding');
    const only = within !== 'all' && within.length === 1 ? within[0] : undefined;
    const index = redisNames.leakIndex(state ?? ANY_STATE, only);
    const fits = ({ report, match }: LeakState): boolean =>
      (source === undefined || report.source === source) &&
      (within === 'all' || (match !== undefined && within.includes(match.keyspaceId)));
    const items: Projected<LeakState>[] = [];
    let last = start;
    for (let looked = 0; looked < MEMBERS_PER_REQUEST; looked += CHUNK) {
      const before = last === undefined ? '+' : `(${last}`;
      const members = await this.asked(this.redis.zrevrangebylex(index, before, '-', 'LIMIT', 0, CHUNK));
      if (members.length === 0) return { items };
      const texts = await this.asked(this.redis.mget(members.map((member) => redisNames.leak(idOfMember(member)))));
      for (const [at, member] of members.entries()) {
        last = member;
        const found = decodeState<LeakState>(texts[at] ?? '');
        if (fits(found.state)) items.push(found);
        if (items.length === limit) return { items, nextCursor: cursorOf(seal, member) };
      }
      if (members.length < CHUNK) return { items };
    }
    return { items, ...(last !== undefined && { nextCursor: cursorOf(seal, last) }) };
  }

  private async asked<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      throw new ReadModelUnavailable('unreachable', error);
    });
  }
}

/** All of it or nothing: every name shares one slot. */
const APPLY = `
local known = redis.call('GET', KEYS[1])
if known and tonumber(string.match(known, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
for i = 2, #KEYS do
  if i <= tonumber(ARGV[4]) + 1 then redis.call('ZADD', KEYS[i], 0, ARGV[3])
  else redis.call('ZREM', KEYS[i], ARGV[3]) end
end
return 1
`;
