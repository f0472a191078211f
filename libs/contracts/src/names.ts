/** Names of streams, headers and reserved things. */

export const SYSTEM_KEYSPACE = 'system';
export const DEFAULT_PREFIX = 'kl';

/** Stream names: `<category>-<id>`. */
export const streams = {
  key: (keyId: string) => `key-${keyId}`,
  keyspace: (keyspaceId: string) => `keyspace-${keyspaceId}`,
  leak: (leakId: string) => `leak-${leakId}`,
  channel: (channelId: string) => `channel-${channelId}`,
  notification: (notificationId: string) => `notification-${notificationId}`,
  delivery: (deliveryId: string) => `delivery-${deliveryId}`,
  usage: (keyId: string) => `usage-${keyId}`,
  subject: (subjectId: string) => `subject-${subjectId}`,
  /** One a day and process, so that no process waits for another to write down who reads. */
  auditAccess: (day: string, process: string) => `audit-access-${day}-${process}`,
  /** A request that changes many keys. Its prefix is that of the audit streams, so that every reader of the log knows it. */
  bulk: (bulkId: string) => `audit-request-${bulkId}`,
  review: (reviewId: string) => `review-${reviewId}`,
  auditCheckpoint: 'audit-checkpoint',
  auditCheck: 'audit-check',
} as const;

/** Prefixes of the streams that the read model is made of. */
export const READ_MODEL_STREAM_PREFIXES = ['key-', 'keyspace-'] as const;

/** The queues of the worker. Each has a hash tag of its own, so that on a Redis Cluster they spread over its nodes. */
export const QUEUES = ['deadlines', 'deliveries', 'notifications', 'housekeeping'] as const;
export type QueueName = (typeof QUEUES)[number];

export const queuePrefix = (queue: QueueName): string => `{kl:q:${queue}}`;

/** Places to which sealed texts of channels are bound. */
export const sealedPlaces = {
  channelSecret: (channelId: string, secretId: string) => `channel ${channelId} secret ${secretId}`,
  channelUrl: (channelId: string) => `channel ${channelId} url`,
} as const;

/**
 * Prefixes of the streams whose events are leaves of the audit tree: all of ours. A leaf's index is its place among
 * them, so the list is part of the record. A prefix may be added in the release before the one that first writes under
 * it, and none is ever taken away.
 */
export const AUDITED_STREAM_PREFIXES = [
  'key-',
  'keyspace-',
  'leak-',
  'channel-',
  'notification-',
  'delivery-',
  'usage-',
  'review-',
  'subject-',
  'audit-',
] as const;

/** Request and response headers of our own, in lower case as Node gives them. */
export const HEADERS = {
  apiKey: 'x-api-key',
  requestId: 'x-request-id',
  idempotencyKey: 'idempotency-key',
  reason: 'x-keyledger-reason',
  onBehalfOf: 'x-keyledger-on-behalf-of',
} as const;
