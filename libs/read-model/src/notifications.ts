import { NOTIFICATIONS_TAG, redisNames, type Instant, type NotificationKind } from '@keyledger/contracts';
import type { NotificationState } from '@keyledger/domain';
import type { RedisClient } from './connect.js';
import { cursorOf, inAnyOrder, openCursor, sealOf } from './cursor.js';
import { Tenure } from './tenure.js';
import { ReadModelUnavailable } from './unavailable.js';

export type NotificationStateName = NotificationState['state'];

/** A notification as lists show it; its stream has all of it. */
export interface ListedNotification {
  notificationId: string;
  channelId: string;
  kind: NotificationKind;
  state: NotificationStateName;
  keyspaceId?: string;
  ownerId?: string;
  /** How many pieces of news are in it. */
  count: number;
  /** The first of the keys that it is about. */
  keyIds: string[];
  requestedAt: Instant;
  attempts?: number;
  outcome?: string;
  endedAt?: Instant;
  /** Of a pending one that was tried already. */
  tries?: NotificationTries;
}

/** How the tries of a pending notification went so far; only kept in Redis. */
export interface NotificationTries {
  attempts: number;
  problem: string;
  nextAttemptAt: Instant;
}

export interface NotificationQuery {
  state: NotificationStateName;
  /** Of these channels only; absent: of all. */
  channelIds?: readonly string[];
  limit: number;
  cursor?: string;
}

const KEPT = 10_000;
const LISTED_KEYS = 10;
const TRIES_KEPT_SECONDS = 7 * 86_400;
const names = redisNames.notifications;

/**
 * Lists of notifications by state and channel, newest first, in Redis: hints, derived from the notification streams by
 * the worker. The newest 10,000 delivered and as many failed ones are kept; all pending ones are.
 */
export class NotificationIndex {
  /** Of the one who makes the lists from the log. */
  readonly tenure: Tenure;

  constructor(private readonly redis: RedisClient) {
    this.tenure = new Tenure(redis, [{ tag: NOTIFICATIONS_TAG, mark: names.marker }]);
  }

  /** Brings a notification to a state of its stream. An older one than what stands there changes nothing. */
  async put(state: NotificationState, revision: number): Promise<void> {
    const listed = listedOf(state);
    const { notificationId, channelId, requestedAt } = listed;
    const member = `${String(Date.parse(requestedAt)).padStart(15, '0')}-${notificationId}`;
    await this.redis.eval(
      PUT,
      3,
      names.item(notificationId),
      names.list(state.state),
      names.list(state.state, channelId),
      revision,
      member,
      state.state,
      channelId,
      JSON.stringify(listed),
      names.list(''),
      names.item(''),
      state.state === 'pending' ? -1 : KEPT,
    );
  }

  /** The ids of pending ones, oldest first, from behind a member of an earlier call on. */
  async pending(limit: number, after?: string): Promise<{ members: string[]; ids: string[] }> {
    const from = after === undefined ? '-' : `(${after}`;
    const members = await this.redis.zrangebylex(names.list('pending'), from, '+', 'LIMIT', 0, limit);
    return { members, ids: members.map(idOf) };
  }

  async noteTries(notificationId: string, tries: NotificationTries): Promise<void> {
    await this.redis.set(names.tries(notificationId), JSON.stringify(tries), 'EX', TRIES_KEPT_SECONDS);
  }

  /**
   * @throws BadCursor
   * @throws ReadModelUnavailable if Redis cannot be reached, or the lists are being derived anew
   */
  async list({ state, channelIds, limit, cursor }: NotificationQuery): Promise<{
    items: ListedNotification[];
    nextCursor?: string;
  }> {
    const seal = sealOf(['notifications', state, inAnyOrder(channelIds)]);
    const [start] = openCursor(cursor, seal, 1) ?? [];
    try {
      if (!(await this.tenure.isWhole())) throw new ReadModelUnavailable('rebuilding');
      const lists = channelIds ? channelIds.map((id) => names.list(state, id)) : [names.list(state)];
      const from = start === undefined ? '+' : `(${start}`;
      const found = await Promise.all(
        lists.map((list) => this.redis.zrevrangebylex(list, from, '-', 'LIMIT', 0, limit + 1)),
      );
      const members = found.flat().sort().reverse();
      const page = members.slice(0, limit);
      const items = await this.items(page.map(idOf));
      const last = page.at(-1);
      return { items, ...(members.length > limit && last !== undefined && { nextCursor: cursorOf(seal, last) }) };
    } catch (error) {
      throw error instanceof ReadModelUnavailable ? error : new ReadModelUnavailable('unreachable', error);
    }
  }

  private async items(ids: readonly string[]): Promise<ListedNotification[]> {
    if (ids.length === 0) return [];
    const [stored, tried] = await Promise.all([
      this.redis.mget(ids.map((id) => names.item(id))),
      this.redis.mget(ids.map((id) => names.tries(id))),
    ]);
    return stored.flatMap((text, at) => {
      if (text === null) return [];
      const listed = JSON.parse(text.split(' ').slice(4).join(' ')) as ListedNotification;
      const tries = tried[at];
      return [
        listed.state === 'pending' && typeof tries === 'string'
          ? { ...listed, tries: JSON.parse(tries) as NotificationTries }
          : listed,
      ];
    });
  }
}

const idOf = (member: string): string => member.slice(16);

/** What lists show of a notification. */
export function listedOf(notification: NotificationState): ListedNotification {
  const { notificationId, channelId, kind, state, items, requestedAt, attempts, outcome, endedAt } = notification;
  const { keyspaceId, ownerId } = items[0] ?? {};
  const keyIds = [...new Set(items.flatMap(({ keys }) => keys.map(({ keyId }) => keyId)))].slice(0, LISTED_KEYS);
  return {
    notificationId,
    channelId,
    kind,
    state,
    ...(keyspaceId !== undefined && { keyspaceId }),
    ...(ownerId !== undefined && { ownerId }),
    count: items.length,
    keyIds,
    requestedAt,
    ...(attempts !== undefined && { attempts }),
    ...(outcome !== undefined && { outcome }),
    ...(endedAt !== undefined && { endedAt }),
  };
}

/**
 * KEYS: item, list of its state, the same of its channel. ARGV: revision, member, state, channel, json, prefix of lists,
 * prefix of items, how many are kept (-1: all). Other names that it makes lie in the same slot.
 */
const PUT = `
local function parts(text) return string.match(text, '^(%d+) (%S+) (%S+) (%S+) ') end
local function listsOf(state, channel) return ARGV[6] .. state, ARGV[6] .. state .. ':' .. channel end
local old = redis.call('GET', KEYS[1])
if old then
  local revision, member, state, channel = parts(old)
  if tonumber(revision) >= tonumber(ARGV[1]) then return 0 end
  local all, own = listsOf(state, channel)
  redis.call('ZREM', all, member)
  redis.call('ZREM', own, member)
end
redis.call('SET', KEYS[1], table.concat({ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]}, ' '))
redis.call('ZADD', KEYS[2], 0, ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[2])
local kept = tonumber(ARGV[8])
while kept >= 0 and redis.call('ZCARD', KEYS[2]) > kept do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  redis.call('ZREM', KEYS[2], oldest)
  local item = ARGV[7] .. string.sub(oldest, 17)
  local text = redis.call('GET', item)
  if text then
    local _, member, state, channel = parts(text)
    local _, own = listsOf(state, channel)
    redis.call('ZREM', own, member)
    redis.call('DEL', item)
  end
end
return 1
`;
