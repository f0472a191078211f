import type {
  IssuedKey,
  KeyView,
  RevokedKey,
  RotatedKey,
  RotationView,
  SecretUseView,
} from '@keyledger/contracts/http';
import { fields, type Terminal } from '../print.js';
import { table, type Column } from '../table.js';

const KEY_COLUMNS: Column<KeyView>[] = [
  { head: 'KEY', of: ({ keyId }) => keyId, whole: true },
  { head: 'NAME', of: ({ name }) => name },
  { head: 'KEYSPACE', of: ({ keyspaceId, environment }) => `${keyspaceId}/${environment}` },
  { head: 'OWNER', of: ({ owner }) => owner.id },
  { head: 'STATE', of: ({ state }) => state },
  { head: 'EXPIRES', of: ({ expiresAt }) => day(expiresAt) },
  { head: 'LAST USED', of: ({ secrets }) => lastUse(secrets)?.slice(0, 10) },
];

export function keyTable(keys: readonly KeyView[], terminal: Terminal): string {
  return table(keys, KEY_COLUMNS, terminal);
}

export function keyText(key: KeyView): string {
  const { suspension, revocation } = key;
  return fields([
    ['key', key.keyId],
    ['name', key.name],
    ['state', key.state],
    ['revoked', revocation && `${revocation.revokedAt}, ${said(revocation)}`],
    ['suspended', suspension && `${suspension.suspendedAt}, ${said(suspension)}`],
    ['keyspace', key.keyspaceId],
    ['environment', key.environment],
    ['kind', key.kind],
    ['owner', `${key.owner.id} (${key.owner.type})`],
    ['contact', contactText(key.owner)],
    ['scopes', key.scopes.join(', ')],
    ['addresses', key.restrictions.addresses?.join(', ')],
    ['origins', key.restrictions.origins?.join(', ')],
    ['metadata', metadataText(key.metadata)],
    ...key.secrets.map((secret, index): [string, string] => [
      index === 0 ? 'secret' : 'old secret',
      secret.mask + (secret.graceEndsAt === undefined ? '' : ` until ${secret.graceEndsAt}`),
    ]),
    ['last used', lastUse(key.secrets)],
    ['created', key.createdAt],
    ['not before', key.notBefore],
    ['expires', key.expiresAt ?? 'never'],
    ['justification', key.justification],
    ['external id', key.externalId],
    ['rotation', key.rotation === undefined ? undefined : rotationRuleText(key.rotation ?? undefined)],
    ['revision', String(key.revision)],
  ]);
}

export function rotationRuleText(rule: KeyView['rotation']): string {
  if (!rule) return 'not by policy';
  return `every ${rule.every}, the old secret works ${rule.grace} longer, ${rule.mode}`;
}

export function issuedText(key: IssuedKey): string {
  return fields([['secret', key.key]]) + keyText(key) + late(key.effective);
}

export function rotatedText(key: RotatedKey): string {
  const text = fields([
    ['key', key.keyId],
    ['new secret', key.key ?? key.mask],
    ['old secret', `${key.previous.secretId}, works until ${key.previous.graceEndsAt}`],
    ['expires', key.expiresAt ?? 'never'],
    ['revision', String(key.revision)],
  ]);
  return text + late(key.effective);
}

const WHAT_NEXT = {
  'end-at-deadline': 'the old secret ends at its deadline',
  'end-when-idle': 'the old secret ends, if it stays silent until then',
  'look-again': 'another look: the new secret was not used yet',
};

export function rotationText({ keyId, current, previous, grace, nextRotation }: RotationView): string {
  return fields([
    ['key', keyId],
    ['secret', current && useText(current)],
    ['old secret', previous && useText(previous)],
    ['grace ends', grace && `${grace.endsAt} (${grace.endGrace})`],
    ['then', grace && `${grace.nextAt}: ${WHAT_NEXT[grace.next]}`],
    ['next rotation', nextRotation && `${nextRotation.dueAt} (every ${nextRotation.every}, ${nextRotation.mode})`],
  ]);
}

function useText({ mask, count, firstUsedAt, lastUsedAt }: SecretUseView): string {
  if (count === 0 || lastUsedAt === undefined) return `${mask}, not used yet`;
  return `${mask}, used ${count} times, first ${firstUsedAt ?? 'unknown'}, last ${lastUsedAt}`;
}

export function revokedText(key: RevokedKey): string {
  const text = fields([
    ['key', key.keyId],
    ['state', key.state],
    ['requested', key.requestedAt],
    ['revision', String(key.revision)],
  ]);
  return text + late(key.effective);
}

/** A change whose answer says that verifiers do not know it yet is recorded, and reaches them by itself. */
function late(effective: boolean): string {
  return effective ? '' : 'Recorded; verifiers do not see it yet, and will as soon as the read model can be reached.\n';
}

function said({ reason, comment }: { reason: string; comment?: string }): string {
  return comment === undefined ? reason : `${reason}: ${comment}`;
}

function contactText({ contact: { name, email } = {} }: KeyView['owner']): string {
  return [name, email].filter((part) => part !== undefined).join(', ');
}

function metadataText(metadata: Record<string, string>): string {
  return Object.entries(metadata)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

function lastUse(secrets: KeyView['secrets']): string | undefined {
  return secrets
    .map(({ lastUsedAt }) => lastUsedAt)
    .filter((instant) => instant !== undefined)
    .sort()
    .at(-1);
}

function day(instant: string | null): string {
  return instant === null ? 'never' : instant.slice(0, 10);
}
