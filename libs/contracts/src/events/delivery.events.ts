import type { Instant } from '../time.js';
import type { SecretRecord } from './key.events.js';

/**
 * A new secret was made for a key and encrypted to its receiver, before the key was rotated to it: so a process that
 * dies in between loses nothing. Nobody but the receiver can read `jwe` (RFC 7516, ECDH-ES with A256GCM).
 */
export interface SecretDeliveryPrepared {
  type: 'SecretDeliveryPrepared';
  data: {
    deliveryId: string;
    keyId: string;
    keyspaceId: string;
    ownerId: string;
    secret: SecretRecord;
    previousSecretId: string;
    channelId: string;
    via: 'webhook' | 'pickup';
    jwe: string;
    /** After this it is not given out any more. */
    expiresAt: Instant;
    preparedAt: Instant;
  };
}

/** The receiver has it: it answered 2xx, or picked it up. */
export interface SecretDelivered {
  type: 'SecretDelivered';
  data: { deliveryId: string; keyId: string; via: 'webhook' | 'pickup'; attempts: number; deliveredAt: Instant };
}

/** The receiver does not have it and will not get it. */
export interface SecretDeliveryFailed {
  type: 'SecretDeliveryFailed';
  data: { deliveryId: string; keyId: string; attempts: number; problem: string; failedAt: Instant };
}

export type DeliveryEvent = SecretDeliveryPrepared | SecretDelivered | SecretDeliveryFailed;
