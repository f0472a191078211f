import type { Instant, VerdictCode } from '@keyledger/contracts';
import { secretEndsAt, type KeyState, type UsableSecret } from './key.state.js';
import { addressAllowed, originAllowed } from './network.js';
import { coveredByAny } from './scope.js';

/** What a service asks about a key that it was shown. Every part that is left out is not asked. */
export interface JudgeRequest {
  scopes?: readonly string[];
  clientIp?: string;
  /** An `Origin` header or a referrer URL. */
  origin?: string;
  environment?: string;
  keyspaceId?: string;
}

export interface Verdict {
  code: VerdictCode;
  /** The secret that was presented, where it is known. */
  secret?: Pick<UsableSecret, 'secretId' | 'graceEndsAt'>;
}

/**
 * Whether a key is good at an instant: the one place where that is decided, for live verification and for replay.
 *
 * The checks come in the order of `VERDICT_CODES`, and the first that fails is the answer. All ends are exclusive: at
 * `expiresAt` and at `graceEndsAt` themselves the key or the secret is no longer good.
 */
export function judge(
  key: KeyState | undefined,
  presentedHashes: readonly string[],
  request: JudgeRequest,
  now: Instant,
): Verdict {
  // A decoy must look to everybody like a key that is not there.
  if (!key || key.decoy) return { code: 'NOT_FOUND' };
  if (request.keyspaceId !== undefined && request.keyspaceId !== key.keyspaceId) return { code: 'NOT_FOUND' };
  const secret = key.secrets.find(({ hash }) => presentedHashes.includes(hash));
  const known = secret ?? key.retired.find(({ hash }) => presentedHashes.includes(hash));
  if (!known) return { code: 'NOT_FOUND' };

  const { secretId } = known;
  const graceEndsAt = secret?.graceEndsAt;
  const shown = graceEndsAt === undefined ? { secretId } : { secretId, graceEndsAt };
  return { code: codeFor(key, secret, request, now), secret: shown };
}

/** The code for a usable secret, or with none for a retired one, which is over whatever the clock here says. */
function codeFor(key: KeyState, secret: UsableSecret | undefined, request: JudgeRequest, now: Instant): VerdictCode {
  if (key.status === 'revoked') return 'REVOKED';
  if (key.status === 'suspended') return 'SUSPENDED';
  if (key.notBefore !== undefined && now < key.notBefore) return 'NOT_YET_VALID';
  if (!secret) return 'EXPIRED';
  const endsAt = secretEndsAt(key, secret);
  if (endsAt !== undefined && now >= endsAt) return 'EXPIRED';
  if (!allowedHere(key, request)) return 'FORBIDDEN';
  if (request.scopes && !request.scopes.every((scope) => coveredByAny(key.scopes, scope))) return 'INSUFFICIENT_SCOPE';
  return 'VALID';
}

/** A key that is restricted is refused where the request does not say where it comes from. */
function allowedHere(key: KeyState, request: JudgeRequest): boolean {
  if (request.environment !== undefined && request.environment !== key.environment) return false;
  const { addresses, origins } = key.restrictions;
  if (addresses && !(request.clientIp !== undefined && addressAllowed(addresses, request.clientIp))) return false;
  if (origins && !(request.origin !== undefined && originAllowed(origins, request.origin))) return false;
  return true;
}
