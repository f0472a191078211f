import type { Instant, KeyStateName } from '@keyledger/contracts';
import { lastUseOf, rotationOutlook, type KeyState, type KeyUsage } from '@keyledger/domain';
import { reaches, systemClock, type Caller } from '@keyledger/platform';
import { ReadModel, ReadModelUnavailable, UsageStore, type Page, type Projected } from '@keyledger/read-model';
import { assertKeyId, noSuchKey, noSuchKeyspace } from '../access.js';

export interface KeySearch {
  keyspaceId?: string;
  ownerId?: string;
  environment?: string;
  state?: KeyStateName;
  expiringBefore?: Instant;
  /** Only keys that were there before this and were not used since. */
  unusedSince?: Instant;
  limit?: number;
  cursor?: string;
}

const DEFAULT_LIMIT = 100;
/** How often one request asks for more, where few keys pass what is filtered here. */
const ROUNDS = 20;

/** A key, and how it was used where that is known. */
export interface ListedKey extends Projected<KeyState> {
  usage: KeyUsage;
}

/** Keys as a caller may see them, from the read model. */
export class KeyCatalogue {
  constructor(
    private readonly readModel: ReadModel,
    private readonly usage: UsageStore,
  ) {}

  /** @throws RefusalError 404 for a key that is unknown or out of reach; ReadModelUnavailable */
  async show(caller: Caller, keyId: string): Promise<ListedKey> {
    const found = await this.find(caller, keyId);
    const [usage = []] = await this.usageIfKnown([found]);
    return { ...found, usage };
  }

  /**
   * How far the rotation of a key has come.
   * @throws RefusalError 404 for a key that is unknown or out of reach; ReadModelUnavailable, also while its use is not known
   */
  async rotation(caller: Caller, keyId: string) {
    const { state } = await this.find(caller, keyId);
    const [usage, keyspace] = await Promise.all([this.usage.usageOf(keyId), this.readModel.keyspace(state.keyspaceId)]);
    if (!keyspace) throw new ReadModelUnavailable('missing');
    const { policy } = keyspace.state;
    return { state, usage, policy, outlook: rotationOutlook(state, { policy, usage }, systemClock()) };
  }

  private async find(caller: Caller, keyId: string): Promise<Projected<KeyState>> {
    assertKeyId(keyId);
    const found = await this.readModel.keyById(keyId);
    if (!found || !reaches(caller.reach, found.state.keyspaceId)) throw noSuchKey(keyId);
    return found;
  }

  /**
   * @param keyspaceField what the caller calls the keyspace
   * @throws RefusalError 404 for a keyspace that is unknown or out of reach; ReadModelUnavailable
   */
  async list(
    caller: Caller,
    search: KeySearch,
    keyspaceField = 'keyspaceId',
  ): Promise<{ items: ListedKey[]; nextCursor?: string }> {
    const { keyspaceId, ownerId, unusedSince, limit = DEFAULT_LIMIT, cursor, ...rest } = search;
    if (keyspaceId !== undefined) {
      const known = reaches(caller.reach, keyspaceId) && (await this.readModel.keyspace(keyspaceId));
      if (!known) throw noSuchKeyspace(keyspaceId, keyspaceField);
    }
    const within = keyspaceId === undefined ? caller.reach : [keyspaceId];
    const owner = ownerId === undefined ? {} : { owner: ownerId };
    const now = systemClock();
    const unused = unusedSince === undefined ? {} : { alsoBy: `unusedSince ${unusedSince}` };
    const query = { within, ...owner, ...unused, ...rest, now };
    const items: ListedKey[] = [];
    let next = cursor;
    for (let round = 0; round < (unusedSince === undefined ? 1 : ROUNDS); round++) {
      const left = limit - items.length;
      const page = await this.readModel.listKeys({
        ...query,
        limit: left,
        ...(next !== undefined && { cursor: next }),
      });
      items.push(...(await this.withUsage(page, unusedSince)));
      next = page.nextCursor;
      if (next === undefined || items.length === limit) break;
    }
    return { items, ...(next !== undefined && { nextCursor: next }) };
  }

  private async withUsage({ items }: Page<KeyState>, unusedSince: Instant | undefined): Promise<ListedKey[]> {
    if (unusedSince === undefined) {
      const known = await this.usageIfKnown(items);
      return items.map((item, index) => ({ ...item, usage: known[index] ?? [] }));
    }
    // Here a use that is not known would be a false answer.
    const usages = await this.usage.usagesOf(items.map(({ state }) => state.keyId));
    return items
      .map((item, index) => ({ ...item, usage: usages[index] ?? [] }))
      .filter(({ state, usage }) => state.createdAt < unusedSince && (lastUseOf(usage) ?? '') < unusedSince);
  }

  /** Keys are shown also while their use is being restored. */
  private async usageIfKnown(keys: readonly Projected<KeyState>[]): Promise<KeyUsage[]> {
    try {
      return await this.usage.usagesOf(keys.map(({ state }) => state.keyId));
    } catch (error) {
      if (error instanceof ReadModelUnavailable) return [];
      throw error;
    }
  }
}
