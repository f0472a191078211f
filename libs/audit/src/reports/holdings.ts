import type { Instant, KeyEvent, KeyspaceEvent, RecordedEvent } from '@keyledger/contracts';
import { evolveKey, keyspaceDecider, stateAt, type KeyspaceState, type KeyState } from '@keyledger/domain';
import { eventsLink, type ReportRow } from './report.js';

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

/** Prefixes of the streams that `Holdings` is made from. */
export const HOLDINGS = ['key-', 'keyspace-'] as const;

/** All keys and keyspaces as the events up to now make them: the same `evolve` as everywhere. */
export class Holdings {
  readonly keys = new Map<string, HeldKey>();
  readonly keyspaces = new Map<string, HeldKeyspace>();

  take(recorded: RecordedEvent): void {
    if (recorded.stream.startsWith('key-')) this.takeKey(recorded as RecordedEvent<KeyEvent>);
    else if (recorded.stream.startsWith('keyspace-')) this.takeKeyspace(recorded as RecordedEvent<KeyspaceEvent>);
  }

  private takeKey({ event, position }: RecordedEvent<KeyEvent>): void {
    const before = this.keys.get(event.data.keyId);
    const state = slim(evolveKey(before?.state, event));
    if (before) Object.assign(before, { state, position });
    else this.keys.set(state.keyId, { state, position });
  }

  private takeKeyspace({ event, position, recordedAt, metadata }: RecordedEvent<KeyspaceEvent>): void {
    const { keyspaceId } = event.data;
    const state = keyspaceDecider.evolve(this.keyspaces.get(keyspaceId)?.state, event);
    if (!state) return;
    this.keyspaces.set(keyspaceId, { state, position, since: recordedAt, changedBy: metadata.actor.id });
  }
}

/** The longest life that the policies of keyspaces allowed, at any place of the log. */
export class Lifetimes {
  private readonly byKeyspace = new Map<string, { from: bigint; maxLifetime: string }[]>();

  /** @param keyspaces as they are since the event */
  take({ event, position }: RecordedEvent, keyspaces: ReadonlyMap<string, HeldKeyspace>): void {
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

/** How often and until when each key was used. */
export class Uses {
  /** Counts by secret in pairs: nearly every key has one or two secrets. */
  private readonly byKey = new Map<string, { lastUsedAt?: Instant; secrets: [secretId: string, count: number][] }>();

  take({ event }: RecordedEvent): void {
    if (event.type !== 'KeyUsageRecorded') return;
    const { keyId, secrets } = event.data;
    const known = this.byKey.get(keyId) ?? { secrets: [] };
    this.byKey.set(keyId, known);
    for (const { secretId, lastUsedAt, count } of secrets) {
      const before = known.secrets.find(([one]) => one === secretId);
      // Counts of a secret only grow.
      if (before) before[1] = Math.max(count, before[1]);
      else known.secrets.push([secretId, count]);
      if (lastUsedAt !== undefined && lastUsedAt > (known.lastUsedAt ?? '')) known.lastUsedAt = lastUsedAt;
    }
  }

  lastUsedAt(keyId: string): Instant | undefined {
    return this.byKey.get(keyId)?.lastUsedAt;
  }

  count(keyId: string): number {
    return (this.byKey.get(keyId)?.secrets ?? []).reduce((sum, [, count]) => sum + count, 0);
  }
}

/** No report asks for secrets that are over, and there may be five of them for each of many keys. */
function slim(state: KeyState): KeyState {
  if (state.retired.length > 0) state.retired = [];
  return state;
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

/** Whether it gives access, or would without more than time passing or somebody reinstating it. */
export function isHeld({ state }: HeldKey, at: Instant): boolean {
  return !state.decoy && !['revoked', 'expired'].includes(stateAt(state, at));
}
