/** What the receiver of a rotation by policy finds when it has decrypted a delivery: JSON, in a JWE (RFC 7516). */
export interface DeliveredSecret {
  deliveryId: string;
  keyId: string;
  keyspaceId: string;
  environment: string;
  /** Of the new secret, and of the one that it replaces. */
  secretId: string;
  previousSecretId: string;
  /** The whole new key. */
  key: string;
}
