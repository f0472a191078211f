import { durationSeconds, plusSeconds } from '@keyledger/contracts';
import { stateAt } from '@keyledger/domain';
import { isHeld, KEY_COLUMNS, Keyspaces, keyRow, Lifetimes, linesOf, Uses, type HeldKeyspace } from './holdings.js';
import { columns, daysBetween, eventsLink, isWithin, type Report, type ReportRow } from './report.js';

/** How often later uses are recorded is a setting of the worker (`KEYLEDGER_USAGE_INTERVAL_SECONDS`). */
const RECORDING_OF_USES =
  'The first use of each secret is recorded within seconds, later ones together once in an interval that the worker is ' +
  'configured with, an hour unless it was changed.';

export const inventory: Report = {
  name: 'inventory',
  title: 'Inventory of keys',
  description:
    'Every key there was at the instant, whatever its state, with its owner, its age, its last use and its end. ' +
    `Last use and counts are as far as they had been recorded by then. ${RECORDING_OF_USES}`,
  period: false,
  streams: ['usage-'],
  columns: columns(`${KEY_COLUMNS}
kind: Kind
decoy: Honeykey
scopes: Scopes
state: State
createdAt: Issued
ageDays: Age in days
secretCreatedAt: Secret since
secretAgeDays: Age of the secret in days
lastUsedAt: Last used
uses: Uses
expiresAt: Expires
revokedAt: Revoked`),
  begin(question) {
    const uses = new Uses();
    const { at } = question;
    return {
      take: (recorded) => uses.take(recorded),
      key: linesOf(question, (key) => {
        const { keyId, kind, scopes, createdAt, expiresAt, secrets, decoy, revocation } = key.state;
        if (!uses.covers(keyId)) return undefined;
        const secretCreatedAt = secrets[0]?.createdAt;
        return keyRow(key, {
          kind,
          decoy,
          scopes,
          state: stateAt(key.state, at),
          createdAt,
          ageDays: daysBetween(createdAt, at),
          secretCreatedAt,
          secretAgeDays: secretCreatedAt === undefined ? undefined : daysBetween(secretCreatedAt, at),
          lastUsedAt: uses.lastUsedAt(keyId),
          uses: uses.count(keyId),
          expiresAt,
          revokedAt: revocation?.revokedAt,
        });
      }),
      isUnfinished: () => uses.next(),
    };
  },
};

export const olderThanPolicy: Report = {
  name: 'older-than-policy',
  title: 'Keys older than their policy allowed',
  description:
    'Keys that were neither revoked nor expired at the instant and whose life is longer than the policy in force then ' +
    'allowed: "over", they were older already; "outlives", they will be before they end. A policy that was made ' +
    'stricter leaves the keys that it finds as they are; what held when a key was issued stands beside it.',
  period: false,
  streams: ['keyspace-'],
  columns: columns(`${KEY_COLUMNS}
state: State
finding: Finding
createdAt: Issued
expiresAt: Expires
maxLifetime: Longest life by the policy
maxLifetimeAtIssue: Longest life when it was issued
allowedUntil: Allowed until
overDays: Days over`),
  begin(question) {
    const keyspaces = new Keyspaces();
    const lifetimes = new Lifetimes();
    const { at } = question;
    return {
      take(recorded) {
        keyspaces.take(recorded);
        lifetimes.take(recorded, keyspaces);
      },
      key: linesOf(question, (key) => {
        const { keyspaceId, createdAt, notBefore, expiresAt } = key.state;
        const policy = keyspaces.get(keyspaceId)?.state.policy;
        if (!policy || !isHeld(key, at) || (expiresAt === undefined && policy.nonExpiring)) return undefined;
        const allowedUntil = plusSeconds(notBefore ?? createdAt, durationSeconds(policy.maxLifetime) ?? 0);
        const over = allowedUntil < at;
        if (!over && expiresAt !== undefined && expiresAt <= allowedUntil) return undefined;
        return keyRow(key, {
          state: stateAt(key.state, at),
          finding: over ? 'over' : 'outlives',
          createdAt,
          expiresAt,
          maxLifetime: policy.maxLifetime,
          maxLifetimeAtIssue: lifetimes.at(keyspaceId, key.begun),
          allowedUntil,
          overDays: over ? daysBetween(allowedUntil, at) : undefined,
        });
      }),
    };
  },
};

export const neverUsed: Report = {
  name: 'never-used',
  title: 'Keys never used',
  description: `Active and suspended keys of which no use had been recorded by the instant. ${RECORDING_OF_USES}`,
  period: false,
  streams: ['usage-'],
  columns: columns(`${KEY_COLUMNS}
state: State
scopes: Scopes
createdAt: Issued
unusedDays: Days without use
expiresAt: Expires`),
  begin(question) {
    const uses = new Uses();
    const { at } = question;
    return {
      take: (recorded) => uses.take(recorded),
      key: linesOf(question, (key) => {
        const { keyId, createdAt, expiresAt, scopes } = key.state;
        const state = stateAt(key.state, at);
        if (!uses.covers(keyId)) return undefined;
        if (uses.lastUsedAt(keyId) !== undefined || !isHeld(key, at) || state === 'pending') return undefined;
        return keyRow(key, { state, scopes, createdAt, unusedDays: daysBetween(createdAt, at), expiresAt });
      }),
      isUnfinished: () => uses.next(),
    };
  },
};

export const policies: Report = {
  name: 'policies',
  title: 'Policy in force',
  description: 'The policy of every keyspace as it was in force at the instant, since when, and who made it so.',
  period: false,
  streams: ['keyspace-'],
  columns: columns(`keyspaceId: Keyspace
name: Name
environments: Environments
defaultLifetime: Usual life
maxLifetime: Longest life
nonExpiring: Keys without end
defaultGrace: Usual grace
maxGrace: Longest grace
rotation: Rotation
unused: Unused keys
scopes: Scopes allowed
leaks: Response to leaks
selfRotate: Holders rotate
selfRevoke: Holders revoke
expiryWarnings: Warnings before the end
since: Since
changedBy: By
archivedAt: Archived`),
  begin({ within }) {
    const keyspaces = new Keyspaces();
    return {
      take: (recorded) => keyspaces.take(recorded),
      *rest() {
        for (const keyspace of keyspaces.values()) {
          if (isWithin(within, keyspace.state.keyspaceId)) yield policyRow(keyspace);
        }
      },
    };
  },
};

function policyRow({ state, since, changedBy, position }: HeldKeyspace): ReportRow {
  const { keyspaceId, name, environments, policy, archivedAt } = state;
  const { rotation, unused, leaks } = policy;
  return {
    keyspaceId,
    name,
    environments,
    defaultLifetime: policy.defaultLifetime,
    maxLifetime: policy.maxLifetime,
    nonExpiring: policy.nonExpiring,
    defaultGrace: policy.defaultGrace,
    maxGrace: policy.maxGrace,
    rotation: rotation && `${rotation.mode} every ${rotation.every}, grace ${rotation.grace}`,
    unused: unused && `${unused.action} after ${unused.after}`,
    scopes: policy.scopes,
    leaks: leaks.map(({ environment = 'any', kind = 'any', response }) => `${environment}/${kind}=${response}`),
    selfRotate: policy.selfRotate,
    selfRevoke: policy.selfRevoke,
    expiryWarnings: policy.expiryWarnings,
    since,
    changedBy,
    archivedAt,
    events: eventsLink({ keyspaceId, toPosition: position }),
  };
}
