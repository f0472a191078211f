import type { BulkEvent, BulkRequestAccepted, Instant } from '@keyledger/contracts';
import { accept, type Decider } from './decider.js';

/** A request that changes many keys, as it was taken on. What became of each key stands in that key's stream. */
export type BulkState = BulkRequestAccepted['data'];

export interface AcceptBulkRequest extends Omit<BulkState, 'acceptedAt'> {
  type: 'AcceptBulkRequest';
  now: Instant;
}

/** Taken on once: what it is about never changes afterwards. */
export const bulkDecider: Decider<AcceptBulkRequest, BulkState | undefined, BulkEvent> = {
  initialState: undefined,
  decide({ type: _, now, ...request }, state) {
    if (state) return accept();
    return accept({ type: 'BulkRequestAccepted', data: { ...request, acceptedAt: now } });
  },
  evolve: (_, { data }) => data,
};
