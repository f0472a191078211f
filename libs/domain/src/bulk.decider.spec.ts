import { describe, expect, it } from '@jest/globals';
import { bulkDecider, type AcceptBulkRequest, type BulkState } from './bulk.decider.js';

const terms = { bulkId: 'b4Xc81LmQz7Wd0VtYs3Rka', operation: 'revoke', count: 1, keyIds: ['one'] } as const;
const request: AcceptBulkRequest = {
  type: 'AcceptBulkRequest',
  ...terms,
  keyIds: [...terms.keyIds],
  now: '2026-11-24T10:00:00.000Z',
};
const taken: BulkState = { ...terms, keyIds: ['one'], acceptedAt: '2026-11-24T10:00:00.000Z' };

describe('taking a bulk request on', () => {
  it('records what it is about', () => {
    const decision = bulkDecider.decide(request, undefined);
    expect(decision).toEqual({ accepted: true, events: [{ type: 'BulkRequestAccepted', data: taken }] });
    expect(bulkDecider.evolve(undefined, { type: 'BulkRequestAccepted', data: taken })).toEqual(taken);
  });

  it('again, with other keys, leaves it as it was', () => {
    const later = { ...request, keyIds: ['two'], now: '2026-11-25T10:00:00.000Z' };
    expect(bulkDecider.decide(later, taken)).toEqual({ accepted: true, events: [] });
  });
});
