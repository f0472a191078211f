import {
  durationSeconds,
  isManagementScope,
  parseInstant,
  plusSeconds,
  SYSTEM_KEYSPACE,
  type FieldError,
  type Instant,
  type KeyKind,
  type KeyMetadata,
  type Owner,
  type Restrictions,
  type RotationPolicy,
  type SecretRecord,
} from '@keyledger/contracts';
import type { KeyState } from './key.state.js';
import type { KeyspaceState } from './keyspace.decider.js';
import { isAddressBlock, isOriginPattern } from './network.js';
import { coveredByAny, isScope } from './scope.js';

/** What a new key shall be. The keyspace is as it was read for this decision. */
export interface KeyRequest {
  keyId: string;
  keyspace: KeyspaceState;
  environment: string;
  kind: KeyKind;
  name: string;
  owner: Owner;
  scopes: string[];
  /** An ISO-8601 duration from `notBefore`, or from now. At most one of `lifetime` and `expiresAt`. */
  lifetime?: string;
  /** `null`: never, which the policy must allow and `justification` must explain. */
  expiresAt?: Instant | null;
  notBefore?: Instant;
  restrictions: Restrictions;
  metadata: KeyMetadata;
  justification?: string;
  decoy?: true;
  rotation?: RotationPolicy | 'none';
  secret: SecretRecord;
  now: Instant;
}

export function environmentErrors({ keyspace, environment }: KeyRequest): FieldError[] {
  if (keyspace.environments.includes(environment)) return [];
  const fix = `one of ${keyspace.environments.join(', ')}`;
  return [{ field: 'environment', message: `keyspace ${keyspace.keyspaceId} has no such environment`, fix }];
}

export function scopeErrors({ keyspace, scopes }: KeyRequest): FieldError[] {
  const allowed = keyspace.policy.scopes;
  return scopes.flatMap((scope, index) => {
    const field = `scopes[${index}]`;
    if (scopes.indexOf(scope) < index) return [{ field, message: 'stands there twice', fix: 'name each scope once' }];
    const ofSystem = keyspace.keyspaceId === SYSTEM_KEYSPACE;
    if (ofSystem && !isManagementScope(scope)) {
      return [{ field, message: 'is not a management scope', fix: 'e.g. "keys:read", "keys:*" or "keys:issue@acme"' }];
    }
    if (!ofSystem && !isScope(scope)) {
      return [{ field, message: 'is not a scope', fix: 'e.g. "payments:read" or "payments:*"' }];
    }
    // Bound to a keyspace, a management scope is less than unbound, so what allows the one allows the other.
    const [unbound = ''] = scope.split('@');
    if (!allowed || coveredByAny(allowed, unbound)) return [];
    return [
      { field, message: `keyspace ${keyspace.keyspaceId} does not allow it`, fix: `one of ${allowed.join(', ')}` },
    ];
  });
}

export function restrictionErrors({ addresses, origins }: Restrictions): FieldError[] {
  const errors: FieldError[] = [];
  const empty = 'is empty, which would allow nothing';
  if (addresses?.length === 0) errors.push({ field: 'restrictions.addresses', message: empty, fix: 'leave it out' });
  if (origins?.length === 0) errors.push({ field: 'restrictions.origins', message: empty, fix: 'leave it out' });
  for (const [index, block] of (addresses ?? []).entries()) {
    if (isAddressBlock(block)) continue;
    const field = `restrictions.addresses[${index}]`;
    errors.push({ field, message: 'is no address block', fix: 'e.g. "203.0.113.0/24" or "2001:db8::/32"' });
  }
  for (const [index, origin] of (origins ?? []).entries()) {
    if (isOriginPattern(origin)) continue;
    const field = `restrictions.origins[${index}]`;
    errors.push({
      field,
      message: 'is no web origin',
      fix: 'e.g. "https://app.example.com" or "https://*.example.com"',
    });
  }
  return errors;
}

/** A publishable key is seen by everybody, so where it works or what it may do must be narrow. */
export function kindErrors(
  keyspaceId: string,
  { kind, scopes, restrictions }: Pick<KeyRequest, 'kind' | 'scopes' | 'restrictions'>,
): FieldError[] {
  if (kind === 'secret') return [];
  if (keyspaceId === SYSTEM_KEYSPACE) {
    return [{ field: 'kind', message: 'a management credential must stay secret', fix: '"secret"' }];
  }
  if (restrictions.origins || restrictions.addresses) return [];
  if (scopes.length > 0 && !scopes.some((scope) => scope.endsWith(':*'))) return [];
  const message = 'a publishable key must be restricted';
  const fix = 'give restrictions.origins or restrictions.addresses, or scopes without wildcards';
  return [{ field: 'restrictions', message, fix }];
}

/** The expiry that a request and the policy give together. */
export function expiryOf(request: KeyRequest, now: Instant): { expiresAt?: Instant; errors: FieldError[] } {
  const { lifetime, expiresAt, notBefore, justification, keyspace } = request;
  const { policy } = keyspace;
  const errors = [...instantErrors('notBefore', notBefore), ...instantErrors('expiresAt', expiresAt ?? undefined)];
  if (errors.length > 0) return { errors };
  const isLate = notBefore !== undefined && notBefore < now;
  if (isLate) errors.push(past('notBefore', now));
  if (lifetime !== undefined && expiresAt !== undefined) {
    errors.push({ field: 'lifetime', message: 'stands beside expiresAt', fix: 'give one of the two' });
    return { errors };
  }
  if (expiresAt === null) {
    if (!policy.nonExpiring) {
      const message = `keyspace ${keyspace.keyspaceId} does not allow keys that never expire`;
      errors.push({ field: 'expiresAt', message, fix: `an instant at most ${policy.maxLifetime} from now` });
    } else if (!justification?.trim()) {
      const fix = 'say why this key may live for ever';
      errors.push({ field: 'justification', message: 'is missing for a key that never expires', fix });
    }
    return { errors };
  }
  // A start that has passed is one error, not two: the rest is looked at as if it were left out.
  const begin = isLate ? undefined : notBefore;
  const start = begin ?? now;
  const end = expiresAt ?? endOf(start, lifetime ?? policy.defaultLifetime);
  if (end === undefined) {
    const fix = 'an ISO-8601 duration of weeks, days, hours, minutes or seconds, e.g. "P90D"';
    errors.push({ field: 'lifetime', message: 'is not a usable duration', fix });
    return { errors };
  }
  const field = expiresAt === undefined ? 'lifetime' : 'expiresAt';
  errors.push(...endErrors(field, end, begin, now));
  const latest = endOf(start, policy.maxLifetime);
  if (latest === undefined || end > latest) {
    const message = `is beyond what keyspace ${keyspace.keyspaceId} allows`;
    errors.push({ field, message, fix: `at most ${policy.maxLifetime} after ${start}` });
  }
  return { expiresAt: end, errors };
}

function endOf(start: Instant, lifetime: string): Instant | undefined {
  const length = durationSeconds(lifetime);
  return length === undefined || length === 0 ? undefined : plusSeconds(start, length);
}

/** Instants are compared as text, which is the order of time only in their stored form. */
function instantErrors(field: string, instant: Instant | undefined): FieldError[] {
  if (instant === undefined || parseInstant(instant) === instant) return [];
  return [{ field, message: 'is not an instant', fix: 'e.g. "2027-01-31T12:00:00.000Z"' }];
}

/** A key that ends before it begins would never be good. */
function endErrors(field: string, end: Instant, notBefore: Instant | undefined, now: Instant): FieldError[] {
  if (end <= now) return [past(field, now)];
  if (notBefore === undefined || end > notBefore) return [];
  return [{ field, message: 'is not after notBefore', fix: `after ${notBefore}` }];
}

/** What is wrong with an expiry that shall replace that of a key: it may only come earlier than it was. */
export function earlierErrors(key: KeyState, expiresAt: Instant, now: Instant): FieldError[] {
  const unreadable = instantErrors('expiresAt', expiresAt);
  if (unreadable.length > 0) return unreadable;
  if (key.expiresAt === undefined || expiresAt <= key.expiresAt) {
    return endErrors('expiresAt', expiresAt, key.notBefore, now);
  }
  const fix = `at most ${key.expiresAt}; to live longer, issue a new key`;
  return [{ field: 'expiresAt', message: 'is later than it was', fix }];
}

function past(field: string, now: Instant): FieldError {
  return { field, message: 'lies in the past', fix: `after ${now}` };
}
