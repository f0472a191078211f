import type { Instant } from '../time.js';

/**
 * A request that changes many keys was taken on, under an Idempotency-Key: each key is changed in its own stream, and
 * this says what the whole is, so that a repetition goes on with it and another request under the same id is noticed.
 */
export interface BulkRequestAccepted {
  type: 'BulkRequestAccepted';
  data: {
    bulkId: string;
    operation: 'import' | 'revoke';
    /** How many keys it is about. */
    count: number;
    /** Of `revoke`: those that were chosen when it came. */
    keyIds?: string[];
    /** Of `revoke`: where the next request would go on. */
    nextCursor?: string;
    acceptedAt: Instant;
  };
}

export type BulkEvent = BulkRequestAccepted;
