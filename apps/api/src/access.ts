import { mayGrant, refusal, SYSTEM_KEYSPACE, streams } from '@keyledger/contracts';
import { keyspaceDecider, PREFIX_PATTERN, type KeyspaceState, type KeyState } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { CHALLENGES, reaches, RefusalError, type Caller } from '@keyledger/platform';

/** What is out of a caller's reach does not exist for him: the same answer, to the byte, as for what nobody has. */
export const noSuchKey = (keyId: string, field?: string): RefusalError => notThere('key', keyId, field);

export const noSuchKeyspace = (keyspaceId: string, field = 'keyspaceId'): RefusalError =>
  notThere('keyspace', keyspaceId, field);

/** @param field where the id stands in a body or a query; left out, it is the path */
export function notThere(what: string, id: string, field?: string): RefusalError {
  const errors = field === undefined ? undefined : [{ field, message: `is no ${what}`, fix: WITHIN_REACH }];
  return new RefusalError(refusal('NOT_FOUND', `There is no ${what} ${id}.`, errors));
}

const WITHIN_REACH = 'the id of one that you may work in';

/** Whether a text can be the id of a key: only then it may become part of a name in a store. */
export const isKeyId = (text: string): boolean => /^[0-9A-Za-z]{8,64}$/.test(text);

/** @throws RefusalError 404 for what cannot be the id of a key. */
export function assertKeyId(keyId: string, field?: string): void {
  if (!isKeyId(keyId)) throw noSuchKey(keyId, field);
}

/** The keyspace as its events make it, for the policy of a decision. */
export async function keyspaceFor(
  decisions: Decisions,
  keyspaceId: string,
  caller?: Caller,
): Promise<{ state: KeyspaceState; revision: number }> {
  if (!PREFIX_PATTERN.test(keyspaceId) || (caller && !reaches(caller.reach, keyspaceId))) {
    throw noSuchKeyspace(keyspaceId);
  }
  const { state, revision } = await decisions.load(keyspaceDecider, streams.keyspace(keyspaceId));
  if (!state) throw noSuchKeyspace(keyspaceId);
  return { state, revision };
}

/**
 * The key, if the caller may change it.
 * @throws RefusalError 404 if it is unknown or out of reach; 403 for a management key that can do what the caller
 * cannot: nobody takes over or takes away a credential mightier than his own.
 */
export function permitted(caller: Caller, keyId: string, key: KeyState | undefined): KeyState {
  if (!key || !reaches(caller.reach, key.keyspaceId)) throw noSuchKey(keyId);
  assertGrantable(caller, key.keyspaceId, key.scopes);
  return key;
}

/** @throws RefusalError 403 naming the scopes of a management key that the caller does not hold himself. */
export function assertGrantable(caller: Caller, keyspaceId: string, scopes: readonly string[]): void {
  if (keyspaceId !== SYSTEM_KEYSPACE) return;
  const errors = scopes.flatMap((scope, index) => {
    if (mayGrant(caller.principal.scopes, scope)) return [];
    return [{ field: `scopes[${index}]`, message: 'is more than your own credential may do', fix: 'leave it out' }];
  });
  const first = scopes.find((scope) => !mayGrant(caller.principal.scopes, scope));
  if (first === undefined) return;
  throw new RefusalError(refusal('INSUFFICIENT_SCOPE', `The credential lacks the scope ${first}.`, errors), {
    'www-authenticate': CHALLENGES.scope(first),
  });
}
