import { durationSeconds, plusSeconds } from '@keyledger/contracts';
import { stateAt } from '@keyledger/domain';
import { HOLDINGS, Holdings, isHeld, KEY_COLUMNS, keyRow, type HeldKey, type HeldKeyspace } from './holdings.js';
import {
  columns,
  daysBetween,
  eventsLink,
  isWithin,
  type Report,
  type ReportQuestion,
  type ReportRow,
} from './report.js';

type Lines = (holdings: Holdings, keys: Iterable<HeldKey>, question: ReportQuestion) => Iterable<ReportRow>;

/** A report of what held at an instant: everything is folded, then the keys in reach are looked at once. */
function ofHoldings(report: Omit<Report, 'begin' | 'period'>, lines: Lines): Report {
  return {
    ...report,
    period: false,
    begin(question) {
      const holdings = new Holdings();
      return {
        take: (recorded) => holdings.take(recorded),
        rest: () => lines(holdings, inReach(holdings, question), question),
      };
    },
  };
}

function* inReach({ keys }: Holdings, { within }: ReportQuestion): Generator<HeldKey> {
  for (const key of keys.values()) if (isWithin(within, key.state.keyspaceId)) yield key;
}

export const inventory = ofHoldings(
  {
    name: 'inventory',
    title: 'Inventory of keys',
    description:
      'Every key there was at the instant, whatever its state, with its owner, its age, its last use and its end. ' +
      'Last use and counts are as far as they had been recorded by then, which happens every few minutes.',
    streams: [...HOLDINGS, 'usage-'],
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
  },
  function* (_holdings, keys, { at }) {
    for (const key of keys) {
      const { kind, scopes, createdAt, expiresAt, secrets, decoy, revocation } = key.state;
      const secretCreatedAt = secrets[0]?.createdAt;
      yield keyRow(key, {
        kind,
        decoy,
        scopes,
        state: stateAt(key.state, at),
        createdAt,
        ageDays: daysBetween(createdAt, at),
        secretCreatedAt,
        secretAgeDays: secretCreatedAt === undefined ? undefined : daysBetween(secretCreatedAt, at),
        lastUsedAt: key.lastUsedAt,
        uses: [...(key.uses?.values() ?? [])].reduce((sum, count) => sum + count, 0),
        expiresAt,
        revokedAt: revocation?.revokedAt,
      });
    }
  },
);

export const olderThanPolicy = ofHoldings(
  {
    name: 'older-than-policy',
    title: 'Keys older than their policy allowed',
    description:
      'Keys that were neither revoked nor expired at the instant and whose life is longer than the policy in force then ' +
      'allowed: "over", they were older already; "outlives", they will be before they end. A policy that was made ' +
      'stricter leaves the keys that it finds as they are; what held when a key was issued stands beside it.',
    streams: HOLDINGS,
    columns: columns(`${KEY_COLUMNS}
state: State
finding: Finding
createdAt: Issued
expiresAt: Expires
maxLifetime: Longest life by the policy
maxLifetimeAtIssue: Longest life when it was issued
allowedUntil: Allowed until
overDays: Days over`),
  },
  function* ({ keyspaces }, keys, { at }) {
    for (const key of keys) {
      const policy = keyspaces.get(key.state.keyspaceId)?.state.policy;
      const { createdAt, notBefore, expiresAt } = key.state;
      if (!policy || !isHeld(key, at) || (expiresAt === undefined && policy.nonExpiring)) continue;
      const allowedUntil = plusSeconds(notBefore ?? createdAt, durationSeconds(policy.maxLifetime) ?? 0);
      const over = allowedUntil < at;
      if (!over && expiresAt !== undefined && expiresAt <= allowedUntil) continue;
      yield keyRow(key, {
        state: stateAt(key.state, at),
        finding: over ? 'over' : 'outlives',
        createdAt,
        expiresAt,
        maxLifetime: policy.maxLifetime,
        maxLifetimeAtIssue: key.maxLifetimeAtIssue,
        allowedUntil,
        overDays: over ? daysBetween(allowedUntil, at) : undefined,
      });
    }
  },
);

export const neverUsed = ofHoldings(
  {
    name: 'never-used',
    title: 'Keys never used',
    description:
      'Active and suspended keys of which no use had been recorded by the instant. Uses are recorded every few minutes, ' +
      'so that of the newest keys it says less.',
    streams: [...HOLDINGS, 'usage-'],
    columns: columns(`${KEY_COLUMNS}
state: State
scopes: Scopes
createdAt: Issued
unusedDays: Days without use
expiresAt: Expires`),
  },
  function* (_holdings, keys, { at }) {
    for (const key of keys) {
      const { createdAt, expiresAt, scopes } = key.state;
      const state = stateAt(key.state, at);
      if (key.lastUsedAt !== undefined || !isHeld(key, at) || state === 'pending') continue;
      yield keyRow(key, { state, scopes, createdAt, unusedDays: daysBetween(createdAt, at), expiresAt });
    }
  },
);

export const scopeHolders = ofHoldings(
  {
    name: 'scope-holders',
    title: 'Who holds which scope',
    description:
      'For every scope the keys that held it at the instant and were neither revoked nor expired. A scope that ends in ' +
      '":*" grants everything below it.',
    streams: HOLDINGS,
    columns: columns(`scope: Scope
${KEY_COLUMNS}
state: State
createdAt: Issued
expiresAt: Expires`),
  },
  function* (_holdings, keys, { at }) {
    const holders = new Map<string, HeldKey[]>();
    for (const key of keys) {
      if (!isHeld(key, at)) continue;
      for (const scope of key.state.scopes) {
        const known = holders.get(scope);
        if (known) known.push(key);
        else holders.set(scope, [key]);
      }
    }
    for (const scope of [...holders.keys()].sort()) {
      for (const key of holders.get(scope) ?? []) {
        const { createdAt, expiresAt } = key.state;
        yield { scope, ...keyRow(key, { state: stateAt(key.state, at), createdAt, expiresAt }) };
      }
    }
  },
);

export const policies = ofHoldings(
  {
    name: 'policies',
    title: 'Policy in force',
    description: 'The policy of every keyspace as it was in force at the instant, since when, and who made it so.',
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
  },
  function* ({ keyspaces }, _keys, { within }) {
    for (const keyspace of keyspaces.values()) {
      if (isWithin(within, keyspace.state.keyspaceId)) yield policyRow(keyspace);
    }
  },
);

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
