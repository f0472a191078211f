import type { Instant, KeyStateName } from '@keyledger/contracts';
import type { KeyState } from '@keyledger/domain';
import { reaches, systemClock, type Caller } from '@keyledger/platform';
import { ReadModel, type Page, type Projected } from '@keyledger/read-model';
import { assertKeyId, noSuchKey, noSuchKeyspace } from '../access.js';

export interface KeySearch {
  keyspaceId?: string;
  ownerId?: string;
  environment?: string;
  state?: KeyStateName;
  expiringBefore?: Instant;
  limit?: number;
  cursor?: string;
}

const DEFAULT_LIMIT = 100;

/** Keys as a caller may see them, from the read model. */
export class KeyCatalogue {
  constructor(private readonly readModel: ReadModel) {}

  /** @throws RefusalError 404 for a key that is unknown or out of reach; ReadModelUnavailable */
  async show(caller: Caller, keyId: string): Promise<Projected<KeyState>> {
    assertKeyId(keyId);
    const found = await this.readModel.keyById(keyId);
    if (!found || !reaches(caller.reach, found.state.keyspaceId)) throw noSuchKey(keyId);
    return found;
  }

  /** @throws RefusalError 404 for a keyspace that is unknown or out of reach; ReadModelUnavailable */
  async list(caller: Caller, search: KeySearch): Promise<Page<KeyState>> {
    const { keyspaceId, ownerId, limit = DEFAULT_LIMIT, ...rest } = search;
    if (keyspaceId !== undefined) {
      const known = reaches(caller.reach, keyspaceId) && (await this.readModel.keyspace(keyspaceId));
      if (!known) throw noSuchKeyspace(keyspaceId);
    }
    const within = keyspaceId === undefined ? caller.reach : [keyspaceId];
    const owner = ownerId === undefined ? {} : { owner: ownerId };
    return this.readModel.listKeys({ within, ...owner, ...rest, limit, now: systemClock() });
  }
}
