import type { KeyState } from '@keyledger/domain';
import type { Projected } from './records.js';

/** A key as it stood in one generation, and what it takes to write behind it. */
export interface StandingKey extends Projected<KeyState> {
  generation: string;
  /** The text of its pointer. */
  pointer: string;
  /** When that was read, by `performance.now()`. */
  readAt: number;
}

/** A key to which events have come since it was read. */
export interface ChangedKey extends Projected<KeyState> {
  before: StandingKey;
}

/** So many are kept at most; the projector takes what it hears of within moments. */
const KEPT = 1024;

/**
 * What this process has just decided about keys that it had read, for its own projector: that need neither read nor fold
 * again what is known here. Nothing hangs on it. What is not here is read, and events that did not come from here find
 * nothing of their revisions.
 */
export class HandedOver {
  private readonly keys = new Map<string, ChangedKey>();

  /** To be called once the events are in the store: only then is this revision this state. */
  put(key: ChangedKey): void {
    const { keyId } = key.state;
    this.keys.delete(keyId);
    this.keys.set(keyId, key);
    if (this.keys.size <= KEPT) return;
    const [oldest] = this.keys.keys();
    this.keys.delete(oldest as string);
  }

  /** The key after events of these revisions, if it was read in this generation just before them; it is given once. */
  take(keyId: string, generation: string, first: number, last: number): ChangedKey | undefined {
    const key = this.keys.get(keyId);
    if (key?.revision !== last || key.before.generation !== generation) return undefined;
    this.keys.delete(keyId);
    return key.before.revision === first - 1 ? key : undefined;
  }
}
