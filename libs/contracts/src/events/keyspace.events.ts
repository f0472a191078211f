import type { Duration, Instant } from '../time.js';
import type { KeyKind, LeakResponse, RotationPolicy } from '../words.js';
import type { Change } from './key.events.js';

/** What happens to a key that nobody has used for so long. */
export interface UnusedPolicy {
  after: Duration;
  action: 'announce' | 'suspend';
}

/** The response for the keys that it names; an absent member names all. The first rule that names a key holds. */
export interface LeakRule {
  environment?: string;
  kind?: KeyKind;
  response: LeakResponse;
}

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
  /** How long before its end the owner of a key is warned. */
  expiryWarnings: Duration[];
  /** Absent: keys are rotated by whoever wants to. */
  rotation?: RotationPolicy;
  /** When a grace ends: at its deadline, or earlier once the new secret is used and the old was silent for so long. */
  endGrace: 'at-deadline' | `when-idle:${Duration}`;
  /** What a rotation by policy does to the old secret when the new one cannot be delivered. */
  failedDelivery: 'keep' | `extend:${Duration}`;
  /** Absent: keys may stay unused. */
  unused?: UnusedPolicy;
  /** Where no rule names a key: `revoke` for a secret key, `alert` for a publishable one. */
  leaks: LeakRule[];
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
