import { plusSeconds, redisNames, redisTagOf, type Instant, type KeyStateName } from '@keyledger/contracts';
import { stateAt, type KeyState, type KeyspaceState } from '@keyledger/domain';
import { cursorOf, inAnyOrder, openCursor, sealOf } from './cursor.js';
import type { KeyCommand, RedisLink } from './link.js';
import type { Lookups } from './lookups.js';
import {
  decodePointer,
  decodeRecord,
  decodeState,
  idOfMember,
  indexMember,
  ownerIndexName,
  sortable,
  type Projected,
} from './records.js';
import { ReadModelUnavailable } from './unavailable.js';

export interface KeyQuery {
  /** The keyspaces to look in; the caller's reach, or what it asked for. */
  within: 'all' | readonly string[];
  environment?: string;
  /** Id of the owner. */
  owner?: string;
  state?: KeyStateName;
  /** Only keys whose expiry lies before this. */
  expiringBefore?: Instant;
  /** A filter that the asker applies to the answer by himself: a cursor belongs to it like to the others. */
  alsoBy?: string;
  /** The instant at which states are told. */
  now: Instant;
  limit: number;
  cursor?: string;
}

export interface KeyspaceQuery {
  within: 'all' | readonly string[];
  limit: number;
  cursor?: string;
}

/** Some of what was asked for. There may be fewer items than the limit, even none, and still more to come: ask on. */
export interface Page<S> {
  items: Projected<S>[];
  /** Absent: that was all. */
  nextCursor?: string;
}

/** How many members one request looks at, so that a filter which nothing passes cannot hold a server up. */
export const MEMBERS_PER_REQUEST = 4000;
const LEAST_CHUNK = 50;

/** A walk through one keyspace, or through one owner's keys: indexes of one order, read as if they were one. */
interface Lane {
  /** Tells lanes of one query apart and keeps them in order. */
  name: string;
  indexes: { kind: Parameters<typeof redisNames.index>[1]; name: string }[];
  /** Members at and behind this are not asked for. */
  before?: string;
  from?: string;
}

/**
 * Lists from the indexes. Those are hints: every record is looked at, and what does not fit (any more) is skipped. The
 * order is that of creation, or of expiry if the query is about expiry, within each keyspace; keyspaces come in the order
 * of their ids. Changes that happen between two pages appear where they belong in that order, or not.
 */
export class Listing {
  constructor(
    private readonly link: RedisLink,
    private readonly lookups: Lookups,
  ) {}

  /** @throws BadCursor, ReadModelUnavailable */
  async keys(query: KeyQuery): Promise<Page<KeyState>> {
    const generation = await this.lookups.liveGeneration();
    const byExpiry = query.expiringBefore !== undefined || query.state === 'expired';
    const { within, owner, environment, state, expiringBefore, alsoBy, limit } = query;
    const seal = sealOf([inAnyOrder(within), owner, environment, state, expiringBefore, alsoBy]);
    const start = placeIn(query.cursor, seal);
    const lanes = await this.lanesOf(generation, query, byExpiry);
    return this.walk(generation, lanes, { seal, start, limit }, async (members) => {
      const found = await this.keysOf(generation, members.map(idOfMember));
      return found.map((one, index) => {
        if (!one || !fits(one.state, query)) return undefined;
        return byExpiry && members[index] !== expiryMember(one.state) ? undefined : one;
      });
    });
  }

  /** In the order of creation. @throws BadCursor, ReadModelUnavailable */
  async keyspaces({ within, limit, cursor }: KeyspaceQuery): Promise<Page<KeyspaceState>> {
    const generation = await this.lookups.liveGeneration();
    const seal = sealOf(['keyspaces', inAnyOrder(within)]);
    const lane: Lane = { name: 'keyspaces', indexes: [{ kind: 'keyspaces', name: 'all' }] };
    return this.walk(generation, [lane], { seal, start: placeIn(cursor, seal), limit }, async (members) => {
      const found = await this.keyspacesOf(generation, members.map(idOfMember));
      return found.map((one) => (one && (within === 'all' || within.includes(one.state.keyspaceId)) ? one : undefined));
    });
  }

  /** @param recordsOf the records that members stand for; `undefined` where one does not fit. */
  private async walk<S>(
    generation: string,
    lanes: readonly Lane[],
    { seal, start, limit }: { seal: string; start: Place | undefined; limit: number },
    recordsOf: (members: string[]) => Promise<(Projected<S> | undefined)[]>,
  ): Promise<Page<S>> {
    const items: Projected<S>[] = [];
    let looked = 0;
    for (const lane of lanes) {
      if (start && lane.name < start.lane) continue;
      let after = start?.lane === lane.name ? start.member : '';
      for (let more = true; more;) {
        const room = Math.min(limit - items.length, MEMBERS_PER_REQUEST - looked);
        if (room <= 0) return { items, nextCursor: cursorOf(seal, lane.name, after) };
        const chunk = await this.membersOf(generation, lane, after, Math.max(room, LEAST_CHUNK));
        const records = await recordsOf(chunk.members);
        for (const [index, member] of chunk.members.entries()) {
          if (items.length === limit) return { items, nextCursor: cursorOf(seal, lane.name, after) };
          const record = records[index];
          if (record) items.push(record);
          after = member;
        }
        looked += chunk.members.length;
        more = chunk.more;
      }
    }
    return { items };
  }

  /** The next members of a lane, in order: at least one while there are any. */
  private async membersOf(
    generation: string,
    lane: Lane,
    after: string,
    count: number,
  ): Promise<{ members: string[]; more: boolean }> {
    const low = after !== '' ? `(${after}` : lane.from !== undefined ? `[${lane.from}` : '-';
    const high = lane.before !== undefined ? `(${lane.before}` : '+';
    const lists = (await this.link.batch(
      lane.indexes.map(({ kind, name }): KeyCommand => {
        const key = redisNames.index(generation, kind, name);
        return { call: 'zrangebylex', key, args: [low, high, 'LIMIT', 0, count] };
      }),
    )) as string[][];
    await this.mustBeWhole(
      generation,
      lane.indexes.map(({ kind, name }) => redisTagOf(`${kind}:${name}`)),
    );
    // A list that was cut off says nothing about what lies behind its last member.
    const cutOff = lists.filter((list) => list.length === count).map((list) => list.at(-1) as string);
    const horizon = cutOff.sort()[0];
    const merged = lists.flat().sort();
    return {
      members: horizon === undefined ? merged : merged.filter((member) => member <= horizon),
      more: horizon !== undefined,
    };
  }

  /** An empty index says something only while the marker in its slot stands. */
  private async mustBeWhole(generation: string, tags: readonly string[]): Promise<void> {
    const unique = [...new Set(tags)];
    const markers = await this.link.batch(
      unique.map((tag) => ({ call: 'get', key: redisNames.marker(generation, tag) })),
    );
    if (markers.includes(null)) throw new ReadModelUnavailable('missing');
    for (const tag of unique) {
      if (!this.lookups.counts(generation, tag)) throw new ReadModelUnavailable('stale');
    }
  }

  private async lanesOf(generation: string, query: KeyQuery, byExpiry: boolean): Promise<Lane[]> {
    const { owner, state, within, environment, now, expiringBefore } = query;
    if (owner !== undefined && !byExpiry) {
      return [{ name: 'owner', indexes: [{ kind: 'owner', name: ownerIndexName(owner) }] }];
    }
    const ids = within === 'all' ? await this.everyKeyspaceId(generation) : [...new Set(within)].sort();
    if (byExpiry) {
      const ends = [expiringBefore, state === 'expired' ? plusSeconds(now, 0.001) : undefined];
      const before = ends.filter((end) => end !== undefined).sort()[0];
      const bounds = {
        ...(before !== undefined && { before: sortable(before) }),
        ...((state === 'active' || state === 'pending') && { from: sortable(now) }),
      };
      return ids.map((id) => ({ name: id, indexes: [{ kind: 'expiry', name: id }], ...bounds }));
    }
    if (state === 'revoked' || state === 'suspended') {
      return ids.map((id) => ({ name: id, indexes: [{ kind: state, name: id }] }));
    }
    return Promise.all(
      ids.map(async (id) => {
        const environments = environment === undefined ? await this.environmentsOf(id) : [environment];
        return {
          name: id,
          indexes: environments.map((one) => ({ kind: 'environment' as const, name: `${id}:${one}` })),
        };
      }),
    );
  }

  private async environmentsOf(keyspaceId: string): Promise<string[]> {
    return (await this.lookups.keyspace(keyspaceId))?.state.environments ?? [];
  }

  private async everyKeyspaceId(generation: string): Promise<string[]> {
    const key = redisNames.index(generation, 'keyspaces', 'all');
    const [members] = await this.link.batch([{ call: 'zrange', key, args: [0, -1] }]);
    await this.mustBeWhole(generation, [redisTagOf('keyspaces:all')]);
    return (members as string[]).map(idOfMember).sort();
  }

  private async keysOf(generation: string, keyIds: readonly string[]): Promise<(Projected<KeyState> | undefined)[]> {
    const pointers = await this.link.batch(
      keyIds.map((keyId) => ({ call: 'get', key: redisNames.pointer(generation, keyId) })),
    );
    const current = pointers.map((pointer) => decodePointer(pointer as string | null).secrets[0]);
    const known = current.filter((secret) => secret !== undefined);
    const texts = (
      await this.link.batch(
        known.map(({ namespace, hash }) => ({ call: 'get', key: redisNames.record(generation, namespace, hash) })),
      )
    ).values();
    return Promise.all(
      keyIds.map(async (keyId, index) => {
        if (!current[index]) return undefined;
        const text = texts.next().value as string | null;
        const found = text === null ? undefined : decodeRecord(text);
        // Rotated away between the two reads.
        return found && 'state' in found ? found : this.lookups.byId(keyId);
      }),
    );
  }

  private async keyspacesOf(
    generation: string,
    ids: readonly string[],
  ): Promise<(Projected<KeyspaceState> | undefined)[]> {
    const texts = await this.link.batch(ids.map((id) => ({ call: 'get', key: redisNames.keyspace(generation, id) })));
    return (texts as (string | null)[]).map((text) => (text === null ? undefined : decodeState<KeyspaceState>(text)));
  }
}

function fits(key: KeyState, query: KeyQuery): boolean {
  const { within, environment, owner, state, expiringBefore, now } = query;
  return (
    (within === 'all' || within.includes(key.keyspaceId)) &&
    (environment === undefined || key.environment === environment) &&
    (owner === undefined || key.owner.id === owner) &&
    (state === undefined || stateAt(key, now) === state) &&
    (expiringBefore === undefined || (key.expiresAt !== undefined && key.expiresAt < expiringBefore))
  );
}

/** The expiry of a key may have been brought forward since a hint was written; only the hint of today counts. */
function expiryMember(key: KeyState): string | undefined {
  return key.expiresAt === undefined ? undefined : indexMember(key.expiresAt, key.keyId);
}

/** Where a page ended: the member after which the next one begins. */
interface Place {
  lane: string;
  member: string;
}

function placeIn(cursor: string | undefined, seal: string): Place | undefined {
  const [lane, member] = openCursor(cursor, seal, 2) ?? [];
  return lane === undefined || member === undefined ? undefined : { lane, member };
}
