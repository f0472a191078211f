import { refusal, streams } from '@keyledger/contracts';
import { deliveryDecider, keyDecider, type DeliveryState, type KeyState } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import {
  callerOf,
  credentialInvalid,
  credentialMissing,
  DELIVERIES_PER_SECRET,
  deliveryIdOf,
  presentedFrom,
  presentedKey,
  reaches,
  RefusalError,
  type Caller,
  type CredentialCheck,
  type FailedCredentials,
} from '@keyledger/platform';
import type { Verification } from '@keyledger/verification';
import type { FastifyRequest } from 'fastify';
import { assertKeyId, noSuchKey } from '../access.js';

const DELIVERY_ID = /^[0-9A-Za-z]{22}$/;
const SECRETS_LISTED = 20;

const noSuchDelivery = (deliveryId: string): RefusalError =>
  new RefusalError(refusal('NOT_FOUND', `There is no delivery ${deliveryId}.`));

/** Who may see deliveries, and who may have one. */
export class DeliveryReaders {
  constructor(
    private readonly credentials: CredentialCheck,
    private readonly verification: Verification,
    private readonly decisions: Decisions,
    private readonly failed: FailedCredentials,
  ) {}

  /**
   * Those of a key, the newest first. Their ids follow from the secrets that they replace, so the key's own events name
   * them all.
   * @throws RefusalError 404 for a key that is unknown or out of reach
   */
  async list(caller: Caller, keyId: string): Promise<DeliveryState[]> {
    assertKeyId(keyId, 'keyId');
    const { state, events } = await this.decisions.load(keyDecider, streams.key(keyId));
    if (!state || !reaches(caller.reach, state.keyspaceId)) throw noSuchKey(keyId, 'keyId');
    const secretIds = events.flatMap(({ event }) => ('secret' in event.data ? [event.data.secret.secretId] : []));
    const newest = secretIds.slice(-SECRETS_LISTED).reverse();
    const found = await Promise.all(newest.map((secretId) => this.replacing(keyId, secretId)));
    return found.flat();
  }

  /**
   * The caller who may have a delivery: a management key that may rotate keys there, or whoever holds a secret of the
   * very key, as long as none was found somewhere.
   * @throws RefusalError 401, 403, or 404 for a delivery that is unknown or out of reach
   */
  async readerOf(request: FastifyRequest, deliveryId: string): Promise<Caller> {
    const presented = presentedKey(request.headers);
    if (presented === undefined) throw credentialMissing();
    const principal = await this.credentials.check(presented, presentedFrom(request));
    const caller = principal ? callerOf(principal, 'keys:rotate') : await this.holder(request, presented);
    const delivery = await this.byId(deliveryId);
    if (!delivery || !reaches(caller.reach, delivery.keyspaceId)) throw noSuchDelivery(deliveryId);
    if (!principal && delivery.keyId !== caller.principal.keyId) throw noSuchDelivery(deliveryId);
    return caller;
  }

  private async byId(deliveryId: string): Promise<DeliveryState | undefined> {
    if (!DELIVERY_ID.test(deliveryId)) return undefined;
    return (await this.decisions.load(deliveryDecider, streams.delivery(deliveryId))).state;
  }

  private async holder(request: FastifyRequest, presented: string): Promise<Caller> {
    const verdict = await this.verification.verify({ key: presented, ...presentedFrom(request) }, { reach: 'all' });
    const { valid, keyId, keyspaceId, owner, scopes } = verdict;
    if (!valid || keyId === undefined || keyspaceId === undefined || !owner || !scopes) {
      this.failed.note(request.ip, presented);
      throw credentialInvalid();
    }
    const { state: key } = await this.decisions.load(keyDecider, streams.key(keyId));
    if (!key || !provesOwnership(key)) {
      const detail =
        'Holding this key proves nothing: it is publishable, or was found somewhere. Use a management key.';
      throw new RefusalError(refusal('NOT_ALLOWED', detail));
    }
    return { principal: { keyId, scopes, owner }, scope: 'keys:rotate', reach: [keyspaceId] };
  }

  private async replacing(keyId: string, secretId: string): Promise<DeliveryState[]> {
    const found: DeliveryState[] = [];
    for (let nth = 0; nth < DELIVERIES_PER_SECRET; nth++) {
      const delivery = await this.byId(deliveryIdOf(keyId, secretId, nth));
      if (!delivery) break;
      found.unshift(delivery);
    }
    return found;
  }
}

const provesOwnership = ({ kind, leak }: KeyState): boolean => kind === 'secret' && leak === undefined;
