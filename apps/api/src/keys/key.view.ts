import type { Instant } from '@keyledger/contracts';
import type { IssuedKey, KeyView, RevokedKey, RotatedKey, SecretView } from '@keyledger/contracts/http';
import { stateAt, type KeyState, type KeyUsage, type UsableSecret } from '@keyledger/domain';

/** A key as callers see it: its secrets by their masks, its state at `now`, and when they were used where that is known. */
export function keyView(key: KeyState, revision: number, now: Instant, usage: KeyUsage = []): KeyView {
  const { notBefore, justification, externalId, suspension, revocation, decoy, rotation, leak } = key;
  return {
    keyId: key.keyId,
    keyspaceId: key.keyspaceId,
    environment: key.environment,
    kind: key.kind,
    name: key.name,
    owner: key.owner,
    scopes: key.scopes,
    restrictions: key.restrictions,
    metadata: key.metadata,
    state: stateAt(key, now),
    secrets: key.secrets
      .filter(({ graceEndsAt }) => graceEndsAt === undefined || now < graceEndsAt)
      .map((secret) => secretView(secret, usage)),
    createdAt: key.createdAt,
    ...(notBefore !== undefined && { notBefore }),
    expiresAt: key.expiresAt ?? null,
    ...(justification !== undefined && { justification }),
    ...(externalId !== undefined && { externalId }),
    ...(suspension && { suspension }),
    ...(revocation && { revocation }),
    ...(decoy && { decoy }),
    ...(rotation !== undefined && { rotation: rotation === 'none' ? null : rotation }),
    ...(leak && { leak }),
    revision,
  };
}

export function secretView({ secretId, mask, createdAt, graceEndsAt }: UsableSecret, usage: KeyUsage): SecretView {
  const lastUsedAt = usage.find((use) => use.secretId === secretId)?.lastUsedAt;
  return {
    secretId,
    mask,
    createdAt,
    ...(graceEndsAt !== undefined && { graceEndsAt }),
    ...(lastUsedAt !== undefined && { lastUsedAt }),
  };
}

/** What a secret was minted as, before anything was decided. */
export interface Minted {
  key: string;
  secretId: string;
  mask: string;
}

/** What an event recorded of a secret. */
type Recorded = Pick<Minted, 'secretId' | 'mask'>;

/** The plaintext belongs to an answer only if the recorded secret is the one that this request minted. */
const shownOnce = (recorded: Recorded, minted: Minted) =>
  recorded.secretId === minted.secretId ? { key: minted.key } : {};

export function issuedKey(view: KeyView, { secretId, mask }: Recorded, minted: Minted, effective: boolean): IssuedKey {
  return { ...view, secretId, mask, ...shownOnce({ secretId, mask }, minted), effective };
}

export function rotatedKey(
  { keyId, expiresAt, revision }: KeyView,
  { secretId, mask }: Recorded,
  previous: RotatedKey['previous'],
  minted: Minted,
  effective: boolean,
): RotatedKey {
  return { keyId, secretId, ...shownOnce({ secretId, mask }, minted), mask, previous, expiresAt, revision, effective };
}

export function revokedKey(key: KeyState, revision: number, effective: boolean): RevokedKey {
  const { keyId, revocation } = key;
  if (!revocation) throw new RangeError(`the key ${keyId} is not revoked`);
  return { keyId, state: 'revoked', requestedAt: revocation.requestedAt, revision, effective };
}
