import type { DeliveryView } from '@keyledger/contracts/http';
import type { DeliveryState } from '@keyledger/domain';

/** A delivery as everybody in reach may see it: without what it brings. */
export function deliveryView(delivery: DeliveryState): DeliveryView {
  const { deliveryId, keyId, keyspaceId, ownerId, secret, previousSecretId, channelId, via, status } = delivery;
  const { attempts, preparedAt, expiresAt, deliveredAt, failedAt, problem } = delivery;
  return {
    deliveryId,
    keyId,
    keyspaceId,
    ownerId,
    secretId: secret.secretId,
    mask: secret.mask,
    previousSecretId,
    channelId,
    via,
    state: status,
    attempts,
    preparedAt,
    expiresAt,
    ...(deliveredAt !== undefined && { deliveredAt }),
    ...(failedAt !== undefined && { failedAt }),
    ...(problem !== undefined && { problem }),
  };
}
