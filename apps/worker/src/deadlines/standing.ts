import { nextDeadline, type KeyState, type KeyspaceState, type KeyUsage, type Surroundings } from '@keyledger/domain';
import type { Instant } from '@keyledger/contracts';
import type { KnownChannel } from '@keyledger/read-model';

/** What is known of how keys are used. */
export interface UsageSource {
  usageOf(keyId: string): Promise<KeyUsage>;
}

/** Who takes the new secrets of an owner. */
export interface Receivers {
  receiverFor(owner: { keyspaceId: string; ownerId: string }): KnownChannel | undefined;
}

/** What beside its own events says what time brings to a key. */
export class Standing {
  constructor(
    private readonly usage: UsageSource,
    private readonly receivers: Receivers,
  ) {}

  usageOf(keyId: string): Promise<KeyUsage> {
    return this.usage.usageOf(keyId);
  }

  receiverOf({ keyspaceId, owner }: KeyState): KnownChannel | undefined {
    return this.receivers.receiverFor({ keyspaceId, ownerId: owner.id });
  }

  of(key: KeyState, { policy, archivedAt }: KeyspaceState, usage: KeyUsage): Surroundings {
    const receiver = this.receiverOf(key) !== undefined;
    return { policy, usage, receiver, ...(archivedAt !== undefined && { archived: true }) };
  }

  /** In milliseconds. Usage is asked for only where the next deadline can depend on it. */
  async nextOf(key: KeyState, keyspace: KeyspaceState, now: Instant): Promise<number | undefined> {
    const { unused, endGrace } = keyspace.policy;
    const matters = unused !== undefined || (endGrace !== 'at-deadline' && key.secrets.length > 1);
    const usage = matters ? await this.usageOf(key.keyId) : [];
    const next = nextDeadline(key, this.of(key, keyspace, usage), now);
    return next === undefined ? undefined : Date.parse(next);
  }
}
