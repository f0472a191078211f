/** Names of streams, headers and reserved things. */

export const SYSTEM_KEYSPACE = 'system';
export const DEFAULT_PREFIX = 'kl';

/** Stream names: `<category>-<id>`. */
export const streams = {
  key: (keyId: string) => `key-${keyId}`,
  keyspace: (keyspaceId: string) => `keyspace-${keyspaceId}`,
} as const;

/** Prefixes of the streams that the read model is made of. */
export const READ_MODEL_STREAM_PREFIXES = ['key-', 'keyspace-'] as const;

/** Request and response headers of our own, in lower case as Node gives them. */
export const HEADERS = {
  apiKey: 'x-api-key',
  requestId: 'x-request-id',
  idempotencyKey: 'idempotency-key',
  reason: 'x-keyledger-reason',
  onBehalfOf: 'x-keyledger-on-behalf-of',
} as const;
