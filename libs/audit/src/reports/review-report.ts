import type { KeyStateName, RecordedEvent, ReviewEvent, ReviewedKey } from '@keyledger/contracts';
import { attestedKeys, reviewDecider, stateAt, type Attestation, type ReviewState } from '@keyledger/domain';
import { columns, eventsLink, inPeriod, isWithin, type Report, type ReportRow } from './report.js';

/** Decisions of access reviews, and whether they were carried out: the state of each key stands beside them. */
export const accessReview: Report = {
  name: 'access-review',
  title: 'Access reviews',
  description:
    'Every key of every access review that was started in the period: who attested what and when, what is outstanding, ' +
    'and in which state the key was at the instant.',
  period: true,
  streams: ['review-'],
  columns: columns(`reviewId: Review
reviewName: Name of the review
reviewStatus: State of the review
startedAt: Started
dueAt: Due
keyId: Key
keyspaceId: Keyspace
name: Name
ownerId: Owner
ownerType: Kind of owner
decision: Decision
overdue: Overdue
attestedBy: Attested by
attestedAs: Attested as
attestedAt: Attested
comment: Comment
scopes: Scopes that are enough
replacementKeyId: Key in its place
keyState: State of the key`),
  begin(question) {
    const reviews = new Map<string, { state: ReviewState; from: bigint; to: bigint }>();
    /** Of the keys under review. */
    let keyStates: Map<string, KeyStateName | undefined> | undefined;
    return {
      take(recorded) {
        const { event, position, recordedAt } = recorded as RecordedEvent<ReviewEvent>;
        const { reviewId } = event.data;
        const known = reviews.get(reviewId);
        // Only of those that are asked about there is anything to hold.
        if (!known && (event.type !== 'AccessReviewStarted' || !inPeriod(question, recordedAt))) return;
        const state = reviewDecider.evolve(known?.state, event);
        if (state) reviews.set(reviewId, { state, from: known?.from ?? position, to: position });
      },
      key({ state }) {
        keyStates ??= new Map(
          [...reviews.values()].flatMap((one) => one.state.keys).map((key) => [key.keyId, undefined]),
        );
        if (keyStates.has(state.keyId)) keyStates.set(state.keyId, stateAt(state, question.at));
        return [];
      },
      *rest() {
        for (const { state, from, to } of reviews.values()) {
          const said = attestedKeys(state);
          for (const key of state.keys) {
            if (!isWithin(question.within, key.keyspaceId)) continue;
            const place = { fromPosition: from, toPosition: to };
            yield {
              ...reviewRow(state, key, said.get(key.keyId), question.at),
              keyState: keyStates?.get(key.keyId),
              events: eventsOf(key, place),
            };
          }
        }
      },
    };
  },
};

const eventsOf = ({ keyId }: ReviewedKey, place: { fromPosition: bigint; toPosition: bigint }): string =>
  eventsLink({ keyId, ...place });

function reviewRow(
  { reviewId, name, status, startedAt, dueAt }: ReviewState,
  { keyId, keyspaceId, name: keyName, owner }: ReviewedKey,
  attestation: Attestation | undefined,
  at: string,
): Omit<ReportRow, 'events'> {
  return {
    reviewId,
    reviewName: name,
    reviewStatus: status,
    startedAt,
    dueAt,
    keyId,
    keyspaceId,
    name: keyName,
    ownerId: owner.id,
    ownerType: owner.type,
    decision: attestation?.decision ?? 'outstanding',
    overdue: attestation === undefined && status !== 'closed' && dueAt < at,
    attestedBy: attestation?.attestedBy,
    attestedAs: attestation?.attestedAs,
    attestedAt: attestation?.attestedAt,
    comment: attestation?.comment,
    scopes: attestation?.scopes,
    replacementKeyId: attestation?.replacementKeyId,
  };
}
