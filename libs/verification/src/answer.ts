import type { VerdictCode, VerifyResponse } from '@keyledger/contracts';
import { secretEndsAt, type Verdict } from '@keyledger/domain';
import type { KeyRead } from '@keyledger/read-model';

type PresentedSecret = NonNullable<Verdict['secret']>;

/** What a verification found: the verdict and, where the caller may know them, the key and which of its secrets it was. */
export interface Outcome {
  code: VerdictCode;
  key?: KeyRead;
  secret?: PresentedSecret;
}

/** An outcome in the words of the API. */
export function responseOf({ code, key, secret }: Outcome): VerifyResponse {
  const verdict: VerifyResponse = { valid: code === 'VALID', code };
  return key && secret ? Object.assign(verdict, identityOf(key, secret)) : verdict;
}

/** `responseOf` as JSON. All but the verdict follows from the record and the secret, and is written once where it can be kept. */
export function textOf({ code, key, secret }: Outcome): string {
  const verdict = code === 'VALID' ? '{"valid":true,"code":"VALID"' : `{"valid":false,"code":"${code}"`;
  return key && secret ? `${verdict},${identityText(key, secret)}` : `${verdict}}`;
}

/** Without its opening brace. */
function identityText(key: KeyRead, secret: PresentedSecret): string {
  const { memo } = key;
  if (memo?.text !== undefined && memo.about === secret.secretId) return memo.text;
  const text = JSON.stringify(identityOf(key, secret)).slice(1);
  if (memo) Object.assign(memo, { about: secret.secretId, text });
  return text;
}

type Identity = Omit<VerifyResponse, 'valid' | 'code'>;

function identityOf({ state: key, revision }: KeyRead, { secretId, graceEndsAt }: PresentedSecret): Identity {
  const identity: Identity = {
    keyId: key.keyId,
    secretId,
    keyspaceId: key.keyspaceId,
    // Whom to ask about a key is for those who govern it, not for the services that verify it.
    owner: { id: key.owner.id, type: key.owner.type },
    name: key.name,
    environment: key.environment,
    scopes: key.scopes,
    metadata: key.metadata,
  };
  if (key.expiresAt !== undefined) identity.expiresAt = key.expiresAt;
  if (graceEndsAt !== undefined) {
    const usable = key.secrets.find((secret) => secret.secretId === secretId);
    identity.graceEndsAt = (usable && secretEndsAt(key, usable)) ?? graceEndsAt;
  }
  identity.revision = revision;
  return identity;
}
