import type { Instant, KeyspaceEvent, RecordedEvent } from '@keyledger/contracts';
import { isOver, keyspaceDecider, type KeyspaceState, type KeyState } from '@keyledger/domain';
import type { KeyAt } from '../replay.js';
import { eventsLink, isWithin, type ReportQuestion, type ReportRow } from './report.js';

/** A key as it stands. */
export interface HeldKey {
  state: KeyState;
  /** Of its newest event. */
  position: bigint;
}

export interface HeldKeyspace {
  state: KeyspaceState;
  /** Since when it is as it is, and who made it so. */
  since: Instant;
  changedBy: string;
  position: bigint;
}

/** All keyspaces as the events up to now make them: there are few. */
export class Keyspaces extends Map<string, HeldKeyspace> {
  take(recorded: RecordedEvent): void {
    if (!recorded.stream.startsWith('keyspace-')) return;
    const { event, position, recordedAt, metadata } = recorded as RecordedEvent<KeyspaceEvent>;
    const { keyspaceId } = event.data;
    const state = keyspaceDecider.evolve(this.get(keyspaceId)?.state, event);
    if (state) this.set(keyspaceId, { state, position, since: recordedAt, changedBy: metadata.actor.id });
  }
}

/** The longest life that the policies of keyspaces allowed, at any place of the log. */
export class Lifetimes {
  private readonly byKeyspace = new Map<string, { from: bigint; maxLifetime: string }[]>();

  /** @param keyspaces as they are since the event */
  take({ event, position }: RecordedEvent, keyspaces: Keyspaces): void {
    const { keyspaceId } = event.data as { keyspaceId: string };
    const policy = keyspaces.get(keyspaceId)?.state.policy;
    if (!policy) return;
    const known = this.byKeyspace.get(keyspaceId) ?? [];
    if (known.at(-1)?.maxLifetime === policy.maxLifetime) return;
    this.byKeyspace.set(keyspaceId, [...known, { from: position, maxLifetime: policy.maxLifetime }]);
  }

  at(keyspaceId: string, position: bigint): string | undefined {
    return this.byKeyspace.get(keyspaceId)?.findLast(({ from }) => from < position)?.maxLifetime;
  }
}

/** Keys of which it is held at once how they were used: some 30 MB. */
const MOST_USED_HELD = 100_000;

/** How often and until when each key was used: of as many keys at once as fit, in the order of ids, pass by pass. */
export class Uses {
  /** Counts by secret in pairs: nearly every key has one or two secrets. */
  private readonly byKey = new Map<string, { lastUsedAt?: Instant; secrets: [secretId: string, count: number][] }>();
  /** The keys of this pass: from one id on, and before another. */
  private from = '';
  private before: string | undefined;

  constructor(private readonly mostHeld = MOST_USED_HELD) {}

  take({ event }: RecordedEvent): void {
    if (event.type !== 'KeyUsageRecorded') return;
    const { keyId, secrets } = event.data;
    if (!this.covers(keyId)) return;
    const known = this.byKey.get(keyId) ?? { secrets: [] };
    this.byKey.set(keyId, known);
    for (const { secretId, lastUsedAt, count } of secrets) {
      const before = known.secrets.find(([one]) => one === secretId);
      // Counts of a secret only grow.
      if (before) before[1] = Math.max(count, before[1]);
      else known.secrets.push([secretId, count]);
      if (lastUsedAt !== undefined && lastUsedAt > (known.lastUsedAt ?? '')) known.lastUsedAt = lastUsedAt;
    }
    if (this.byKey.size > this.mostHeld) this.shrink();
  }

  /** Whether this pass is about the key. */
  covers(keyId: string): boolean {
    return keyId >= this.from && (this.before === undefined || keyId < this.before);
  }

  /** Goes on to the keys that did not fit; false: there are none. */
  next(): boolean {
    if (this.before === undefined) return false;
    this.byKey.clear();
    [this.from, this.before] = [this.before, undefined];
    return true;
  }

  get held(): number {
    return this.byKey.size;
  }

  lastUsedAt(keyId: string): Instant | undefined {
    return this.byKey.get(keyId)?.lastUsedAt;
  }

  count(keyId: string): number {
    return (this.byKey.get(keyId)?.secrets ?? []).reduce((sum, [, count]) => sum + count, 0);
  }

  private shrink(): void {
    const dropped = [...this.byKey.keys()].sort().slice(Math.ceil(this.mostHeld / 2));
    for (const keyId of dropped) this.byKey.delete(keyId);
    this.before = dropped[0];
  }
}

/** What every line about a key begins with. */
export function keyCells({ keyId, keyspaceId, environment, name, owner }: KeyState) {
  return { keyId, keyspaceId, environment, name, ownerId: owner.id, ownerType: owner.type };
}

export const KEY_COLUMNS = `keyId: Key
keyspaceId: Keyspace
environment: Environment
name: Name
ownerId: Owner
ownerType: Kind of owner`;

/** A line about a key, with all its events up to the report's instant. */
export function keyRow({ state, position }: HeldKey, cells: Omit<ReportRow, 'events'>): ReportRow {
  const events = eventsLink({ keyId: state.keyId, toPosition: position });
  return { ...keyCells(state), ...cells, events };
}

/** Of every report about all keys as they stood: a line or none for each that the reader may see. */
export const linesOf =
  ({ within }: ReportQuestion, line: (key: KeyAt) => ReportRow | undefined) =>
  (key: KeyAt): ReportRow[] => {
    const row = isWithin(within, key.state.keyspaceId) && line(key);
    return row ? [row] : [];
  };

/** Whether it gives access, or would without more than time passing or somebody reinstating it. */
export function isHeld({ state }: HeldKey, at: Instant): boolean {
  return !state.decoy && !isOver(state, at);
}
