import { ApiProperty } from '@nestjs/swagger';
import { LIMITS, Line } from './fields.js';

const STATES = ['open', 'delivered', 'failed'] as const;
const WAYS = ['webhook', 'pickup'] as const;

export class ListDeliveriesQuery {
  /** The key whose new secrets are asked for. */
  @Line(LIMITS.name)
  keyId: string;
}

/** The way of a new secret, made by a rotation by policy, to the owner's receiver. */
export class DeliveryView {
  deliveryId: string;
  keyId: string;
  keyspaceId: string;
  ownerId: string;
  /** The new secret, and the one that it replaces. */
  secretId: string;
  mask: string;
  previousSecretId: string;
  /** The receiver. */
  channelId: string;
  @ApiProperty({ enum: WAYS })
  via: 'webhook' | 'pickup';
  @ApiProperty({ enum: STATES })
  state: 'open' | 'delivered' | 'failed';
  /** How often it was tried. */
  attempts: number;
  preparedAt: string;
  /** After this it is not given out any more. */
  expiresAt: string;
  deliveredAt?: string;
  failedAt?: string;
  /** Why it failed. */
  problem?: string;
}

export class PickedUpDelivery extends DeliveryView {
  /**
   * The new key, encrypted to the receiver's public key: a JWE in its compact form (ECDH-ES, A256GCM), whose content is
   * JSON with the key under `key`.
   */
  jwe: string;
}

export class DeliveryList {
  /** Newest first; of the newest 20 secrets of the key. */
  items: DeliveryView[];
}
