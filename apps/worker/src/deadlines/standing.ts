import { nextDeadline, type KeyState, type KeyspaceState, type KeyUsage, type Surroundings } from '@keyledger/domain';
import type { Instant } from '@keyledger/contracts';
import type { KnownChannel } from '@keyledger/read-model';
import { Gathered } from '../gathered.js';

const AT_ONCE = 256;

/** What is known of how keys are used. */
export interface UsageSource {
  /** In the order of the ids. */
  usagesOf(keyIds: readonly string[]): Promise<KeyUsage[]>;
}

/** Who takes the new secrets of an owner. */
export interface Receivers {
  receiverFor(owner: { keyspaceId: string; ownerId: string }): KnownChannel | undefined;
}

/** What beside its own events says what time brings to a key. */
export class Standing {
  private readonly usage: Gathered<string, KeyUsage>;

  constructor(
    usage: UsageSource,
    private readonly receivers: Receivers,
  ) {
    this.usage = new Gathered((keyIds) => usage.usagesOf(keyIds), AT_ONCE);
  }

  receiverOf({ keyspaceId, owner }: KeyState): KnownChannel | undefined {
    return this.receivers.receiverFor({ keyspaceId, ownerId: owner.id });
  }

  /** Its use is asked for only where it can matter: for a policy about unused keys, and beside a secret in its grace. */
  async of(key: KeyState, keyspace: KeyspaceState): Promise<Surroundings> {
    return this.around(key, keyspace, keyspace.policy.unused !== undefined || key.secrets.length > 1);
  }

  /** In milliseconds. Here use matters even less: a grace that ends at its deadline does so whatever was used. */
  async nextOf(key: KeyState, keyspace: KeyspaceState, now: Instant): Promise<number | undefined> {
    const { unused, endGrace } = keyspace.policy;
    const byUse = unused !== undefined || (endGrace !== 'at-deadline' && key.secrets.length > 1);
    const next = nextDeadline(key, await this.around(key, keyspace, byUse), now);
    return next === undefined ? undefined : Date.parse(next);
  }

  private async around(
    key: KeyState,
    { policy, archivedAt }: KeyspaceState,
    withUsage: boolean,
  ): Promise<Surroundings> {
    const usage = withUsage ? await this.usage.ask(key.keyId) : [];
    const receiver = this.receiverOf(key) !== undefined;
    return { policy, usage, receiver, ...(archivedAt !== undefined && { archived: true }) };
  }
}
