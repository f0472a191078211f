import type { Duration, Instant } from '../time.js';
import type { Change } from './key.events.js';

/** The rules that hold for the keys of a keyspace, judged when a key is issued, rotated or changed. */
export interface KeyspacePolicy {
  /** How long a key lives when its request says nothing. */
  defaultLifetime: Duration;
  maxLifetime: Duration;
  /** How long the previous secret works after a rotation that says nothing. */
  defaultGrace: Duration;
  maxGrace: Duration;
  /** The scopes that keys may have; absent: any. */
  scopes?: string[];
  /** Whether keys without expiry may be issued, each with a justification. */
  nonExpiring: boolean;
  /** What a rotation does while an earlier one is in its grace: end the oldest secret at once, or be refused. */
  secondRotation: 'end-oldest' | 'refuse';
  /** Whether the holder of a key may rotate or revoke it with nothing but the key. */
  selfRotate: boolean;
  selfRevoke: boolean;
}

export interface KeyspaceCreated {
  type: 'KeyspaceCreated';
  data: {
    keyspaceId: string;
    name: string;
    prefix: string;
    environments: string[];
    policy: KeyspacePolicy;
    createdAt: Instant;
  };
}

/** Name, environments or policy changed. */
export interface KeyspacePolicyChanged {
  type: 'KeyspacePolicyChanged';
  data: {
    keyspaceId: string;
    changes: { name?: Change<string>; environments?: Change<string[]>; policy?: Change<KeyspacePolicy> };
    changedAt: Instant;
  };
}

/** No key is issued, imported or rotated here any more; those that exist are judged as before. */
export interface KeyspaceArchived {
  type: 'KeyspaceArchived';
  data: { keyspaceId: string; archivedAt: Instant };
}

export type KeyspaceEvent = KeyspaceCreated | KeyspacePolicyChanged | KeyspaceArchived;
