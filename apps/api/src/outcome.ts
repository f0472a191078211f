import { refusal, type LedgerEvent } from '@keyledger/contracts';
import type { Outcome } from '@keyledger/event-store';
import { RefusalError } from '@keyledger/platform';
import type { Receipt } from './receipts.js';

export type Accepted<S, E extends LedgerEvent> = Extract<Outcome<S, E>, { accepted: true }>;

/** @throws RefusalError if the decision was a no. */
export function accepted<S, E extends LedgerEvent>(outcome: Outcome<S, E>): Accepted<S, E> {
  if (!outcome.accepted) throw new RefusalError(outcome.refusal);
  return outcome;
}

/** The receipt of an outcome: what changed nothing has left nothing in the log that could tell its answer. */
export const receiptFor = <R>(body: R, { replayed, events }: { replayed: boolean; events: unknown[] }): Receipt<R> => ({
  body,
  replayed,
  untold: events.length === 0,
});

/**
 * For a decision that was made on a revision of our own reading: if the stream went on meanwhile, that is a conflict
 * with somebody else's change, not a precondition that the caller had set.
 */
export function conflictIfOvertaken<S, E extends LedgerEvent>(outcome: Outcome<S, E>): Outcome<S, E> {
  if (outcome.accepted || outcome.refusal.code !== 'PRECONDITION_FAILED') return outcome;
  const detail = 'Another change of the same resource came first; look at it and ask again.';
  return { ...outcome, refusal: refusal('CONFLICT', detail) };
}

/** `{ expectedRevision }` for Decisions.run, where there is one. */
export const expecting = (expectedRevision: number | undefined) =>
  expectedRevision === undefined ? {} : { expectedRevision };
