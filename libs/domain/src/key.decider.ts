import {
  durationSeconds,
  plusSeconds,
  refusal,
  type Duration,
  type Instant,
  type KeyEvent,
  type KeyMetadata,
  type KeyTerms,
  type Owner,
  type Restrictions,
  type RevocationReason,
  type RotationPolicy,
  type SecretRecord,
} from '@keyledger/contracts';
import { eventsDue, type Surroundings } from './deadlines.js';
import { accept, refuse, type Decider, type Decision } from './decider.js';
import { sameJson } from './equality.js';
import { reportLeak, type ReportLeak } from './key.leak.js';
import { evolveKey, secretEndsAt, stateAt, type KeyState } from './key.state.js';
import {
  earlierErrors,
  environmentErrors,
  expiryOf,
  kindErrors,
  restrictionErrors,
  scopeErrors,
  type KeyRequest,
} from './key.terms.js';
import type { KeyspaceState } from './keyspace.decider.js';
import { rotationErrors } from './keyspace.terms.js';

export type { KeyRequest } from './key.terms.js';

export type KeyCommand =
  | ({ type: 'IssueKey' } & KeyRequest)
  | ({ type: 'ImportKey'; externalId?: string } & KeyRequest)
  | {
      type: 'RotateKey';
      keyspace: KeyspaceState;
      secret: SecretRecord;
      /** How long the previous secret still works; absent: the policy's default. */
      graceSeconds?: number;
      comment?: string;
      now: Instant;
    }
  | { type: 'RevokeKey'; reason: RevocationReason; comment?: string; requestedAt: Instant; now: Instant }
  | { type: 'SuspendKey'; reason: string; comment?: string; now: Instant }
  | { type: 'ReinstateKey'; reason: string; comment?: string; now: Instant }
  | {
      type: 'ChangeKey';
      name?: string;
      metadata?: KeyMetadata;
      owner?: Owner;
      restrictions?: Restrictions;
      /** Earlier than it is; a key without expiry may get one. */
      expiresAt?: Instant;
      /** The key's own rule; `keyspace` is needed to judge it. */
      rotation?: RotationPolicy | 'none';
      keyspace?: KeyspaceState;
      now: Instant;
    }
  | ({ type: 'MarkTime'; now: Instant } & Surroundings)
  | {
      type: 'ExtendGrace';
      secretId: string;
      length: Duration;
      /** The longest that an old secret may work after its rotation, by the policy. */
      maxGrace: Duration;
      now: Instant;
    }
  | ReportLeak;

type Command<T extends KeyCommand['type']> = Extract<KeyCommand, { type: T }>;

export const keyDecider: Decider<KeyCommand, KeyState | undefined, KeyEvent> = {
  initialState: undefined,
  decide: decideKey,
  evolve: evolveKey,
};

function decideKey(command: KeyCommand, key: KeyState | undefined): Decision<KeyEvent> {
  if (command.type === 'IssueKey' || command.type === 'ImportKey') return issue(command, key);
  if (!key) return refuse(refusal('NOT_FOUND', 'There is no such key.'));
  switch (command.type) {
    case 'RotateKey':
      return rotate(command, key);
    case 'RevokeKey':
      return revoke(command, key);
    case 'SuspendKey':
      return suspend(command, key);
    case 'ReinstateKey':
      return reinstate(command, key);
    case 'ChangeKey':
      return change(command, key);
    case 'MarkTime':
      return accept(...eventsDue(key, command, command.now));
    case 'ExtendGrace':
      return extendGrace(command, key);
    case 'ReportLeak':
      return reportLeak(command, key);
  }
}

function issue(command: Command<'IssueKey'> | Command<'ImportKey'>, key: KeyState | undefined): Decision<KeyEvent> {
  const { keyspace, now } = command;
  if (key) return refuse(refusal('KEY_EXISTS', `The key ${key.keyId} exists already.`));
  if (keyspace.archivedAt !== undefined) return refuse(archived(keyspace));
  const errors = [
    ...environmentErrors(command),
    ...scopeErrors(command),
    ...restrictionErrors(command.restrictions),
    ...kindErrors(keyspace.keyspaceId, command),
  ];
  const term = expiryOf(command, now);
  errors.push(...term.errors);
  if (command.rotation && command.rotation !== 'none') {
    errors.push(...rotationErrors('rotation', command.rotation, keyspace.policy));
  }
  if (errors.length > 0) return refuse(refusal('POLICY', 'The key cannot be as it was asked for.', errors));

  const data: KeyTerms = {
    keyId: command.keyId,
    keyspaceId: keyspace.keyspaceId,
    environment: command.environment,
    kind: command.kind,
    name: command.name,
    owner: command.owner,
    scopes: command.scopes,
    restrictions: command.restrictions,
    metadata: command.metadata,
    secret: command.secret,
    createdAt: now,
    ...(command.notBefore !== undefined && { notBefore: command.notBefore }),
    ...(term.expiresAt !== undefined && { expiresAt: term.expiresAt }),
    ...(command.justification !== undefined && { justification: command.justification }),
    ...(command.decoy && { decoy: true as const }),
    ...(command.rotation !== undefined && { rotation: command.rotation }),
  };
  if (command.type === 'IssueKey') return accept({ type: 'KeyIssued', data });
  const { externalId, secret } = command;
  const imported = { ...data, secret: { ...secret, imported: true as const } };
  return accept({ type: 'KeyImported', data: externalId === undefined ? imported : { ...imported, externalId } });
}

function archived(keyspace: KeyspaceState) {
  return refusal('KEYSPACE_ARCHIVED', `Keyspace ${keyspace.keyspaceId} is archived and takes no new keys or secrets.`);
}

/** The new secret replaces the current one; whatever else the key is stays as it is, its expiry included. */
function rotate(command: Command<'RotateKey'>, key: KeyState): Decision<KeyEvent> {
  const { keyspace, now } = command;
  const { policy } = keyspace;
  if (key.status === 'revoked') return refuse(revokedAlready(key));
  if (key.status === 'suspended') {
    return refuse(refusal('KEY_SUSPENDED', `The key ${key.keyId} is suspended; reinstate it before you rotate it.`));
  }
  if (stateAt(key, now) === 'expired') {
    return refuse(expiredAlready(key));
  }
  if (keyspace.archivedAt !== undefined) return refuse(archived(keyspace));
  const [current, previous] = key.secrets;
  if (!current) throw new RangeError(`the key ${key.keyId} has no secret`);
  const inGrace = previous !== undefined && now < (secretEndsAt(key, previous) ?? now);
  // What was found somewhere is replaced at once, whoever has not changed over yet.
  if (inGrace && policy.secondRotation === 'refuse' && current.graceEndsAt === undefined) {
    const detail = `The secret ${previous.secretId} is in its grace until ${previous.graceEndsAt}.`;
    return refuse(refusal('ROTATION_IN_PROGRESS', detail));
  }
  if ([...key.secrets, ...key.retired].some((known) => sameSecret(known, command.secret))) {
    throw new RangeError(`the secret ${command.secret.secretId} is not new to the key ${key.keyId}`);
  }
  const maxSeconds = durationSeconds(policy.maxGrace) ?? 0;
  const graceSeconds = command.graceSeconds ?? durationSeconds(policy.defaultGrace) ?? 0;
  if (!Number.isInteger(graceSeconds) || graceSeconds < 0) {
    const error = { field: 'graceSeconds', message: 'is not a whole number from 0', fix: `from 0 to ${maxSeconds}` };
    return refuse(refusal('UNPROCESSABLE', 'The grace cannot be read.', [error]));
  }
  if (graceSeconds > maxSeconds) {
    const message = `is longer than keyspace ${keyspace.keyspaceId} allows (${policy.maxGrace})`;
    const error = { field: 'graceSeconds', message, fix: `at most ${maxSeconds}` };
    return refuse(refusal('POLICY', 'The grace is too long.', [error]));
  }
  const wanted = plusSeconds(now, graceSeconds);
  // A secret that was found somewhere may end before any grace does.
  const end = secretEndsAt(key, current);
  const graceEndsAt = end !== undefined && end < wanted ? end : wanted;
  return accept({
    type: 'KeyRotated',
    data: {
      keyId: key.keyId,
      secret: command.secret,
      previousSecretId: current.secretId,
      graceEndsAt,
      ...(inGrace && { endedSecretId: previous.secretId }),
      rotatedAt: now,
      ...(command.comment !== undefined && { comment: command.comment }),
    },
  });
}

function sameSecret(one: Pick<SecretRecord, 'secretId' | 'hash'>, other: SecretRecord): boolean {
  return one.secretId === other.secretId || one.hash === other.hash;
}

/** A key that is revoked already stays as it was revoked first. */
function revoke(command: Command<'RevokeKey'>, key: KeyState): Decision<KeyEvent> {
  if (key.status === 'revoked') return accept();
  const { reason, comment, requestedAt, now } = command;
  const data = { keyId: key.keyId, reason, ...(comment !== undefined && { comment }), requestedAt, revokedAt: now };
  return accept({ type: 'KeyRevoked', data });
}

function suspend(command: Command<'SuspendKey'>, key: KeyState): Decision<KeyEvent> {
  if (key.status === 'revoked') return refuse(revokedAlready(key));
  if (key.status === 'suspended') return accept();
  const { reason, comment, now } = command;
  const data = { keyId: key.keyId, reason, ...(comment !== undefined && { comment }), suspendedAt: now };
  return accept({ type: 'KeySuspended', data });
}

function reinstate(command: Command<'ReinstateKey'>, key: KeyState): Decision<KeyEvent> {
  if (key.status === 'revoked') return refuse(revokedAlready(key));
  if (key.status === 'active') return accept();
  const { reason, comment, now } = command;
  const data = { keyId: key.keyId, reason, ...(comment !== undefined && { comment }), reinstatedAt: now };
  return accept({ type: 'KeyReinstated', data });
}

function change(command: Command<'ChangeKey'>, key: KeyState): Decision<KeyEvent> {
  if (key.status === 'revoked') return refuse(revokedAlready(key));
  const { name, metadata, owner, restrictions, expiresAt, now } = command;
  const errors = restrictions ? restrictionErrors(restrictions) : [];
  if (expiresAt !== undefined && expiresAt !== key.expiresAt) {
    if (key.expiresAt !== undefined && key.expiresAt <= now) return refuse(expiredAlready(key));
    errors.push(...earlierErrors(key, expiresAt, now));
  }
  if (restrictions && key.kind === 'publishable') {
    errors.push(...kindErrors(key.keyspaceId, { ...key, restrictions }));
  }
  const { rotation, keyspace } = command;
  if (rotation && rotation !== 'none' && keyspace) {
    errors.push(...rotationErrors('rotation', rotation, keyspace.policy));
  }
  if (errors.length > 0) return refuse(refusal('UNPROCESSABLE', 'The key cannot be changed like this.', errors));

  const changes = {
    ...(name !== undefined && name !== key.name && { name: { before: key.name, after: name } }),
    ...(metadata && !sameJson(metadata, key.metadata) && { metadata: { before: key.metadata, after: metadata } }),
    ...(owner && !sameJson(owner, key.owner) && { owner: { before: key.owner, after: owner } }),
    ...(restrictions &&
      !sameJson(restrictions, key.restrictions) && { restrictions: { before: key.restrictions, after: restrictions } }),
    ...(expiresAt !== undefined &&
      expiresAt !== key.expiresAt && {
        expiresAt: { ...(key.expiresAt !== undefined && { before: key.expiresAt }), after: expiresAt },
      }),
    ...(rotation !== undefined &&
      !sameJson(rotation, key.rotation) && {
        rotation: { ...(key.rotation !== undefined && { before: key.rotation }), after: rotation },
      }),
  };
  if (Object.keys(changes).length === 0) return accept();
  return accept({ type: 'KeyDetailsChanged', data: { keyId: key.keyId, changes, changedAt: now } });
}

/**
 * A grace that is still running ends later, but neither after the key nor after the longest grace that the policy allows;
 * one that is over stays over. Where a secret of the key was found nothing works longer: of several reports the state
 * remembers one, which may be about the other secret.
 */
function extendGrace(command: Command<'ExtendGrace'>, key: KeyState): Decision<KeyEvent> {
  const { secretId, length, maxGrace, now } = command;
  const [current, previous] = key.secrets;
  if (!current || previous?.secretId !== secretId || key.status === 'revoked') return accept();
  if (key.secrets.some((secret) => secret.secretId === key.leak?.secretId)) return accept();
  const before = secretEndsAt(key, previous);
  const ends = [
    plusSeconds(now, durationSeconds(length) ?? 0),
    plusSeconds(current.createdAt, durationSeconds(maxGrace) ?? 0),
    ...(key.expiresAt === undefined ? [] : [key.expiresAt]),
  ];
  const after = ends.reduce((least, one) => (one < least ? one : least));
  if (before === undefined || before <= now || after <= before) return accept();
  return accept({ type: 'KeyGraceExtended', data: { keyId: key.keyId, secretId, before, after, extendedAt: now } });
}

function revokedAlready(key: KeyState) {
  return refusal('KEY_REVOKED', `The key ${key.keyId} was revoked at ${key.revocation?.revokedAt}; issue a new one.`);
}

function expiredAlready(key: KeyState) {
  return refusal('KEY_EXPIRED', `The key ${key.keyId} expired at ${key.expiresAt}; issue a new one.`);
}
