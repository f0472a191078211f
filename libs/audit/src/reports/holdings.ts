import type { Instant, KeyEvent, KeyspaceEvent, KeyUsageRecorded, RecordedEvent } from '@keyledger/contracts';
import { evolveKey, keyspaceDecider, stateAt, type KeyspaceState, type KeyState } from '@keyledger/domain';
import { eventsLink, type ReportRow } from './report.js';

/** A key as it stands, and what the reports need beside its state. */
export interface HeldKey {
  state: KeyState;
  /** What the policy of its keyspace allowed when it came. */
  maxLifetimeAtIssue?: string;
  lastUsedAt?: Instant;
  /** Uses by secret; counts of a secret only grow. */
  uses?: Map<string, number>;
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
    const { stream, event } = recorded;
    if (stream.startsWith('key-')) this.takeKey(recorded as RecordedEvent<KeyEvent>);
    else if (stream.startsWith('keyspace-')) this.takeKeyspace(recorded as RecordedEvent<KeyspaceEvent>);
    else if (event.type === 'KeyUsageRecorded') this.takeUsage(event);
  }

  private takeKey({ event, position }: RecordedEvent<KeyEvent>): void {
    const before = this.keys.get(event.data.keyId);
    const state = slim(evolveKey(before?.state, event));
    if (before) {
      before.state = state;
      before.position = position;
      return;
    }
    const maxLifetimeAtIssue = this.keyspaces.get(state.keyspaceId)?.state.policy.maxLifetime;
    this.keys.set(state.keyId, { state, position, ...(maxLifetimeAtIssue !== undefined && { maxLifetimeAtIssue }) });
  }

  private takeKeyspace({ event, position, recordedAt, metadata }: RecordedEvent<KeyspaceEvent>): void {
    const { keyspaceId } = event.data;
    const state = keyspaceDecider.evolve(this.keyspaces.get(keyspaceId)?.state, event);
    if (!state) return;
    this.keyspaces.set(keyspaceId, { state, position, since: recordedAt, changedBy: metadata.actor.id });
  }

  private takeUsage({ data: { keyId, secrets } }: KeyUsageRecorded): void {
    const key = this.keys.get(keyId);
    if (!key) return;
    key.uses ??= new Map();
    for (const { secretId, lastUsedAt, count } of secrets) {
      key.uses.set(secretId, Math.max(count, key.uses.get(secretId) ?? 0));
      if (lastUsedAt !== undefined && lastUsedAt > (key.lastUsedAt ?? '')) key.lastUsedAt = lastUsedAt;
    }
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
