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

/** A key and its keyspace, or why that cannot be had. */
interface Placed {
  state: KeyState;
  keyspace: KeyspaceState | Error | undefined;
}

const NONE: KeyUsage = [];

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

  /**
   * Of each, in their order; what went wrong in the place of one with which something did. Use is asked for only where it
   * can matter: for a policy about unused keys, and beside a secret in its grace.
   */
  ofAll(keys: readonly Placed[]): Promise<(Surroundings | Error)[]> {
    return this.around(keys, (key, { policy }) => policy.unused !== undefined || key.secrets.length > 1);
  }

  /**
   * When each has to be looked at next, in milliseconds; `undefined`: never, as it is. Here use matters even less: a
   * grace that ends at its deadline does so whatever was used.
   * @throws what it throws that says how keys were used
   */
  async nextOfAll(keys: readonly Placed[], now: Instant): Promise<(number | undefined)[]> {
    const arounds = await this.around(keys, (key, { policy: { unused, endGrace } }) => {
      return unused !== undefined || (endGrace !== 'at-deadline' && key.secrets.length > 1);
    });
    return keys.map(({ state }, place) => {
      const around = arounds[place] as Surroundings | Error;
      if (around instanceof Error) throw around;
      const next = nextDeadline(state, around, now);
      return next === undefined ? undefined : Date.parse(next);
    });
  }

  private async around(
    keys: readonly Placed[],
    withUsage: (key: KeyState, keyspace: KeyspaceState) => boolean,
  ): Promise<(Surroundings | Error)[]> {
    const asked: Promise<void>[] = [];
    const found = new Array<Surroundings | Error>(keys.length);
    for (const [place, { state, keyspace }] of keys.entries()) {
      if (!keyspace || keyspace instanceof Error) {
        found[place] = keyspace ?? new RangeError(`the keyspace ${state.keyspaceId} is not known`);
      } else if (!withUsage(state, keyspace)) found[place] = this.beside(state, keyspace, NONE);
      else {
        const answer = this.usage.ask(state.keyId).then(
          (usage) => this.beside(state, keyspace, usage),
          (error: unknown) => error as Error,
        );
        asked.push(answer.then((one) => void (found[place] = one)));
      }
    }
    if (asked.length > 0) await Promise.all(asked);
    return found;
  }

  private beside(key: KeyState, { policy, archivedAt }: KeyspaceState, usage: KeyUsage): Surroundings {
    const receiver = this.receiverOf(key) !== undefined;
    return { policy, usage, receiver, ...(archivedAt !== undefined && { archived: true }) };
  }
}
