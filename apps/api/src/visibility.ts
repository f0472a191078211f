import { READ_MODEL_STREAM_PREFIXES } from '@keyledger/contracts';
import type { KeyspaceState, KeyState } from '@keyledger/domain';
import type { EventStore } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import { ReadModelUnavailable, type ReadModel } from '@keyledger/read-model';
import { setTimeout as pause } from 'node:timers/promises';

const AGAIN_MS = 1000;
/** So many changes wait to be shown at most; of more, the oldest are left to the projector. */
const MOST_OWED = 10_000;

/**
 * Shows committed changes to readers before their answers go out. What cannot be shown because Redis is away is shown as
 * soon as it is back: the projector, which would do it too, may be cut off from the event store.
 */
export class Visibility {
  /** By stream, the newest state of each. */
  private readonly owed = new Map<string, () => Promise<void>>();

  constructor(
    private readonly readModel: ReadModel,
    private readonly store: EventStore,
    private readonly logger: Logger,
  ) {}

  /** `false` if Redis cannot be reached: the change takes effect later, and the answer says so. */
  key(state: KeyState, revision: number): Promise<boolean> {
    return this.applied(`key ${state.keyId}`, () => this.readModel.applyKey(state, revision));
  }

  keyspace(state: KeyspaceState, revision: number): Promise<boolean> {
    return this.applied(`keyspace ${state.keyspaceId}`, () => this.readModel.applyKeyspace(state, revision));
  }

  /** Until the signal aborts. Never fails. */
  async run(signal: AbortSignal): Promise<void> {
    let told = false;
    while (!signal.aborted) {
      told ||= await this.tell().catch(() => false);
      await this.payOff().catch(() => undefined);
      await pause(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** The process before this one may have died between an append and what it owed for it. */
  private async tell(): Promise<boolean> {
    const newest = { direction: 'backwards', streamPrefixes: READ_MODEL_STREAM_PREFIXES, limit: 1 } as const;
    for await (const [event] of this.store.readAll(newest)) {
      if (event) await this.readModel.noteDecided(event.position);
    }
    return true;
  }

  private async payOff(): Promise<void> {
    for (const [name, apply] of this.owed) {
      await apply();
      // A newer state may have come in its place meanwhile.
      if (this.owed.get(name) === apply) this.owed.delete(name);
    }
  }

  private async applied(name: string, apply: () => Promise<void>): Promise<boolean> {
    try {
      await apply();
      return true;
    } catch (error) {
      // That there is no model yet is how every first start begins: the worker makes it at the same time.
      const isAwaited = error instanceof ReadModelUnavailable && error.reason !== 'unreachable';
      this.logger[isAwaited ? 'info' : 'warn'](
        { err: error },
        'a change is not visible yet; it is shown as soon as it can be',
      );
      this.owed.set(name, apply);
      const [oldest] = this.owed.size > MOST_OWED ? this.owed.keys() : [];
      if (oldest !== undefined) this.owed.delete(oldest);
      return false;
    }
  }
}
