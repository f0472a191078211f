import type { Instant, KeyEvent, KeyStateName, KeyTerms, RevocationReason, SecretRecord } from '@keyledger/contracts';

/** A secret that may still be good: the current one, or the one before it in its grace. */
export interface UsableSecret extends SecretRecord {
  createdAt: Instant;
  /** Set once the secret has been rotated out: good until then. */
  graceEndsAt?: Instant;
}

/** A secret that is over, remembered so that whoever presents it hears `EXPIRED`. */
export interface RetiredSecret {
  secretId: string;
  hash: string;
  imported?: true;
  endedAt: Instant;
}

/** How many retired secrets a key remembers; older ones are unknown. */
export const RETIRED_SECRETS_KEPT = 5;

/** A key as its events make it. What Redis holds is this and the stream revision, nothing else. */
export interface KeyState extends Omit<KeyTerms, 'secret'> {
  status: 'active' | 'suspended' | 'revoked';
  /** Newest first, one or two. */
  secrets: UsableSecret[];
  /** Newest first. */
  retired: RetiredSecret[];
  externalId?: string;
  suspension?: { reason: string; comment?: string; suspendedAt: Instant };
  revocation?: { reason: RevocationReason; comment?: string; requestedAt: Instant; revokedAt: Instant };
  reinstatedAt?: Instant;
  /** Its end is on record. */
  expiryRecorded?: true;
  /** What its owner was told, by the names that `deadlines.ts` gives it; of the secrets that it still has. */
  announced?: string[];
  /** The newest leak report about it, or the newest about its current secret if there is one. */
  leak?: { leakId: string; secretId: string; reportedAt: Instant };
}

/** The state of a key at an instant, as people see it. */
export function stateAt(key: KeyState, now: Instant): KeyStateName {
  if (key.status !== 'active') return key.status;
  if (key.notBefore !== undefined && now < key.notBefore) return 'pending';
  if (key.expiresAt !== undefined && now >= key.expiresAt) return 'expired';
  return 'active';
}

/** Whether it gives no access any more, whatever else happens: a suspended key that has come to its end cannot be reinstated. */
export function isOver(key: KeyState, now: Instant): boolean {
  return key.status === 'revoked' || (key.expiresAt !== undefined && now >= key.expiresAt);
}

/** Until when a usable secret works: its grace, never past the key's own expiry; `undefined` is for ever. */
export function secretEndsAt(key: KeyState, secret: UsableSecret): Instant | undefined {
  const { graceEndsAt } = secret;
  if (graceEndsAt === undefined) return key.expiresAt;
  return key.expiresAt !== undefined && key.expiresAt < graceEndsAt ? key.expiresAt : graceEndsAt;
}

/** Folds one event. The first must be KeyIssued or KeyImported; one that follows nothing is a broken stream. */
export function evolveKey(state: KeyState | undefined, event: KeyEvent): KeyState {
  if (event.type === 'KeyIssued') return begin(event.data);
  if (event.type === 'KeyImported') {
    const { externalId } = event.data;
    const key = begin(event.data);
    return externalId === undefined ? key : { ...key, externalId };
  }
  if (!state) throw new RangeError(`${event.type} stands before the key was issued or imported`);
  return advance(state, event);
}

type LaterKeyEvent = Exclude<KeyEvent, { type: 'KeyIssued' | 'KeyImported' }>;

function advance(state: KeyState, event: LaterKeyEvent): KeyState {
  switch (event.type) {
    case 'KeyRotated':
      return rotate(state, event.data);
    case 'KeyRevoked': {
      const { keyId: _, ...revocation } = event.data;
      return { ...state, status: 'revoked', revocation };
    }
    case 'KeySuspended': {
      const { keyId: _, ...suspension } = event.data;
      return { ...state, status: 'suspended', suspension };
    }
    case 'KeyReinstated': {
      const { suspension: _, ...rest } = state;
      return { ...rest, status: 'active', reinstatedAt: event.data.reinstatedAt };
    }
    case 'KeyDetailsChanged':
      return change(state, event.data.changes);
    case 'KeyExpiryAnnounced':
    case 'KeyRotationAnnounced':
    case 'KeyUnusedAnnounced':
      return { ...state, announced: [...(state.announced ?? []), announcementOf(event)] };
    case 'KeyExpired':
      return { ...state, expiryRecorded: true };
    case 'KeyGraceEnded':
      return endSecret(state, event.data.secretId, event.data.endedAt);
    case 'KeyGraceExtended':
      return endAt(state, event.data.secretId, event.data.after);
    case 'KeyLeakReported': {
      const { secretId, leakId, reportedAt, secretEndsAt } = event.data;
      const current = state.secrets[0]?.secretId;
      const graver = state.leak && state.leak.secretId === current && secretId !== current ? state.leak : undefined;
      const reported = { ...state, leak: graver ?? { leakId, secretId, reportedAt } };
      return secretEndsAt === undefined ? reported : endAt(reported, secretId, secretEndsAt);
    }
  }
}

/** The name under which it is remembered that the owner was told. */
export function announcementOf(
  event: Extract<KeyEvent, { type: 'KeyExpiryAnnounced' | 'KeyRotationAnnounced' | 'KeyUnusedAnnounced' }>,
): string {
  switch (event.type) {
    case 'KeyExpiryAnnounced':
      return `${event.data.secretId} ${event.data.end} ${event.data.warning}`;
    case 'KeyRotationAnnounced':
      return `${event.data.secretId} rotation`;
    case 'KeyUnusedAnnounced':
      return `${UNUSED} ${event.data.unusedSince}`;
  }
}

/** Stands where the others name a secret: the news is about the key. */
const UNUSED = 'unused';

function endSecret(state: KeyState, secretId: string, endedAt: Instant): KeyState {
  const ended = state.secrets.filter((secret) => secret.secretId === secretId).map((one) => retiredAt(one, endedAt));
  const secrets = state.secrets.filter((secret) => secret.secretId !== secretId);
  return withSecrets(state, secrets, ended);
}

function endAt(state: KeyState, secretId: string, graceEndsAt: Instant): KeyState {
  const cut = (secret: UsableSecret) => (secret.secretId === secretId ? { ...secret, graceEndsAt } : secret);
  return { ...state, secrets: state.secrets.map(cut) };
}

function retiredAt({ secretId, hash, imported }: UsableSecret, endedAt: Instant): RetiredSecret {
  return { secretId, hash, ...(imported && { imported }), endedAt };
}

/** What was announced of secrets that are over is forgotten with them, so that a record does not grow for ever. */
function withSecrets(state: KeyState, secrets: UsableSecret[], ended: RetiredSecret[]): KeyState {
  const { announced = [], ...rest } = state;
  const kept = announced.filter((name) => {
    const of = name.slice(0, name.indexOf(' '));
    return of === UNUSED || secrets.some(({ secretId }) => secretId === of);
  });
  return {
    ...rest,
    secrets,
    retired: [...ended, ...state.retired].slice(0, RETIRED_SECRETS_KEPT),
    ...(kept.length > 0 && { announced: kept }),
  };
}

function begin(terms: KeyTerms): KeyState {
  const { secret, keyId, keyspaceId, environment, kind, name, owner, scopes, restrictions, metadata } = terms;
  const { createdAt, notBefore, expiresAt, justification, decoy, rotation } = terms;
  return {
    keyId,
    keyspaceId,
    environment,
    kind,
    name,
    owner,
    scopes,
    restrictions,
    metadata,
    status: 'active',
    secrets: [{ ...secret, createdAt }],
    retired: [],
    createdAt,
    ...(notBefore !== undefined && { notBefore }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(justification !== undefined && { justification }),
    ...(decoy && { decoy }),
    ...(rotation !== undefined && { rotation }),
  };
}

function rotate(state: KeyState, data: Extract<KeyEvent, { type: 'KeyRotated' }>['data']): KeyState {
  const previous = state.secrets
    .filter((secret) => secret.secretId === data.previousSecretId)
    .map((secret) => ({ ...secret, graceEndsAt: data.graceEndsAt }));
  const ended = state.secrets
    .filter((secret) => secret.secretId !== data.previousSecretId)
    .map((secret) => {
      const { graceEndsAt } = secret;
      return retiredAt(
        secret,
        graceEndsAt !== undefined && graceEndsAt < data.rotatedAt ? graceEndsAt : data.rotatedAt,
      );
    });
  return withSecrets(state, [{ ...data.secret, createdAt: data.rotatedAt }, ...previous], ended);
}

function change(
  state: KeyState,
  changes: Extract<KeyEvent, { type: 'KeyDetailsChanged' }>['data']['changes'],
): KeyState {
  return {
    ...state,
    ...(changes.name?.after !== undefined && { name: changes.name.after }),
    ...(changes.metadata?.after && { metadata: changes.metadata.after }),
    ...(changes.owner?.after && { owner: changes.owner.after }),
    ...(changes.restrictions?.after && { restrictions: changes.restrictions.after }),
    ...(changes.expiresAt?.after !== undefined && expireAt(state, changes.expiresAt.after)),
    ...(changes.rotation?.after !== undefined && { rotation: changes.rotation.after }),
  };
}

/** No grace outlives the key, so what is shown of a secret is what holds. */
function expireAt({ secrets }: KeyState, expiresAt: Instant): Pick<KeyState, 'expiresAt' | 'secrets'> {
  const cut = (secret: UsableSecret) =>
    secret.graceEndsAt !== undefined && expiresAt < secret.graceEndsAt ? { ...secret, graceEndsAt: expiresAt } : secret;
  return { expiresAt, secrets: secrets.map(cut) };
}
