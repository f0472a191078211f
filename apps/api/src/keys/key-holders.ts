import { refusal, streams, SYSTEM_KEYSPACE, type ManagementScope } from '@keyledger/contracts';
import { keyDecider, leakDecider, type KeyState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import {
  credentialInvalid,
  credentialMissing,
  FailedCredentials,
  presentedFrom,
  presentedKey,
  RefusalError,
} from '@keyledger/platform';
import type { Caller } from '@keyledger/platform';
import { Verification } from '@keyledger/verification';
import type { FastifyRequest } from 'fastify';
import { keyspaceFor } from '../access.js';
import { intentOf, partOf } from '../http/intent.js';

export interface Holder {
  keyId: string;
  caller: Caller;
  /** @throws RefusalError if the secret that was presented is not the key's current one (any more). */
  assertCurrent: (key: KeyState) => void;
}

/** Who stands behind a request that carries an issued key instead of a management credential: the key itself. */
export class KeyHolders {
  constructor(
    private readonly verification: Verification,
    private readonly decisions: Decisions,
    private readonly failed: FailedCredentials,
  ) {}

  /**
   * Judged as any verification of that key would judge it, restrictions included. A publishable key is everybody's, so
   * that holding it proves nothing.
   *
   * A key that has revoked itself is good for one thing only: to hear the answer to that very request again.
   * @param permission what the policy of its keyspace must allow; `undefined`: nothing is asked of it
   * @throws RefusalError 401, always the same, for a key that is not good here; 403 where its keyspace does not allow it
   */
  async holderOf(
    request: FastifyRequest,
    scope: ManagementScope,
    permission: 'selfRotate' | 'selfRevoke' | undefined,
  ): Promise<Holder> {
    const presented = presentedKey(request.headers);
    if (presented === undefined) throw credentialMissing();
    const asked = { key: presented, ...presentedFrom(request) };
    const anybody = await this.verification.verify(asked, { reach: 'all' }, request);
    // A management key is known only to whoever asks for one.
    const verdict =
      anybody.keyId !== undefined
        ? anybody
        : await this.verification.verify({ ...asked, keyspaceId: SYSTEM_KEYSPACE }, { reach: 'all' });
    const { valid, keyId, keyspaceId, secretId, owner, scopes } = verdict;
    const known = keyId !== undefined && keyspaceId !== undefined && owner && scopes;
    const caller = known && { principal: { keyId, scopes, owner }, scope, reach: [keyspaceId] };
    if (!caller || !(valid || (verdict.code === 'REVOKED' && (await this.hasRevokedItself(request, caller))))) {
      this.failed.note(request.ip, presented);
      throw credentialInvalid();
    }
    const { state: keyspace } = await keyspaceFor(this.decisions, keyspaceId);
    if (permission && !keyspace.policy[permission])
      throw notAllowed(`Keyspace ${keyspaceId} does not allow ${permission}.`);
    const { state: key } = await this.decisions.load(keyDecider, streams.key(keyId));
    if (key?.kind !== 'secret') throw notAllowed('A publishable key cannot manage itself: everybody has it.');
    if (permission === 'selfRotate') await this.assertUnreported(key);
    return {
      keyId,
      caller,
      assertCurrent: ({ secrets }) => {
        if (secrets[0]?.secretId !== secretId) throw rotatedOut();
      },
    };
  }

  /** Whether this is the request, repeated, by which the key was revoked: its command id stands in the event. */
  private async hasRevokedItself(request: FastifyRequest, caller: Caller): Promise<boolean> {
    const intent = intentOf(request, caller);
    if (intent.seal === undefined) return false;
    const ids = [intent, partOf(intent, 'revoke')].map(({ context }) => context.commandId);
    const { events } = await this.decisions.load(keyDecider, streams.key(caller.principal.keyId));
    return events.some(({ event, metadata }) => event.type === 'KeyRevoked' && ids.includes(metadata.commandId));
  }

  /**
   * Whoever holds a secret that was found somewhere may be its finder: until somebody has looked at it, holding it is no
   * reason to get the next one. Revoking harms nobody but the finder.
   */
  private async assertUnreported({ leak, secrets }: KeyState): Promise<void> {
    if (!leak || leak.secretId !== secrets[0]?.secretId) return;
    const { state } = await this.decisions.load(leakDecider, streams.leak(leak.leakId));
    if (!state?.resolution) throw notAllowed(leaked(leak.leakId));
  }
}

const leaked = (leakId: string): string =>
  `The key was reported as leaked (${leakId}); its owner rotates it, or revoke it. By itself it is rotated once that is resolved.`;

const notAllowed = (detail: string) => new RefusalError(refusal('NOT_ALLOWED', detail));

/** Else whoever found an old secret could move its grace on for ever. */
function rotatedOut(): RefusalError {
  return new RefusalError(refusal('CONFLICT', 'This secret was rotated out; rotate with the current one.'));
}
