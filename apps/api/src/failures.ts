import { EventStoreRefused, EventStoreUnavailable, RevisionConflict } from '@keyledger/event-store';
import { refusal } from '@keyledger/contracts';
import { invalidField, RefusalError, SealingUnavailable, unavailable } from '@keyledger/platform';
import { BadCursor, ReadModelUnavailable } from '@keyledger/read-model';

/** What the failures of our stores mean to a caller. */
export function translateFailure(error: unknown): RefusalError | undefined {
  if (error instanceof EventStoreUnavailable) {
    return error.outcome === 'not-done'
      ? unavailable('The event store cannot be reached; nothing was changed.')
      : unavailable('The event store did not answer in time; repeat the request with the same Idempotency-Key.');
  }
  if (error instanceof EventStoreRefused && error.reason === 'too-large') {
    return new RefusalError(refusal('TOO_LARGE', 'The event store does not take a change of this size at once.'));
  }
  if (error instanceof ReadModelUnavailable) {
    return unavailable(`The read model cannot answer (${error.reason}); nothing was changed.`);
  }
  if (error instanceof BadCursor) {
    return invalidField('cursor', 'does not belong to this query', 'the nextCursor of the same query, unchanged');
  }
  if (error instanceof RevisionConflict) {
    return new RefusalError(refusal('CONFLICT', 'Other changes of the same resource came first; ask again.'));
  }
  if (error instanceof SealingUnavailable) return unavailable(`Nothing was changed: ${error.message}.`);
  return undefined;
}
