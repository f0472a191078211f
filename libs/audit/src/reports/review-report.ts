import type { RecordedEvent, ReviewEvent, ReviewedKey } from '@keyledger/contracts';
import { attestedKeys, reviewDecider, stateAt, type Attestation, type ReviewState } from '@keyledger/domain';
import { Holdings } from './holdings.js';
import { columns, eventsLink, inPeriod, isWithin, type Report, type ReportRow } from './report.js';

/** Decisions of access reviews, and whether they were carried out: the state of each key stands beside them. */
export const accessReview: Report = {
  name: 'access-review',
  title: 'Access reviews',
  description:
    'Every key of every access review that was started in the period: who attested what and when, what is outstanding, ' +
    'and in which state the key was at the instant.',
  period: true,
  streams: ['key-', 'review-'],
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
    const holdings = new Holdings();
    const reviews = new Map<string, { state: ReviewState; asked: boolean; from: bigint; to: bigint }>();
    return {
      take(recorded) {
        if (!recorded.stream.startsWith('review-')) return holdings.take(recorded);
        const { event, position } = recorded as RecordedEvent<ReviewEvent>;
        const { reviewId } = event.data;
        const known = reviews.get(reviewId);
        const state = reviewDecider.evolve(known?.state, event);
        const asked = known?.asked ?? inPeriod(question, recorded.recordedAt);
        if (state) reviews.set(reviewId, { state, asked, from: known?.from ?? position, to: position });
      },
      *rest() {
        for (const { state, asked, from, to } of reviews.values()) {
          if (!asked) continue;
          const said = attestedKeys(state);
          for (const key of state.keys) {
            if (!isWithin(question.within, key.keyspaceId)) continue;
            const held = holdings.keys.get(key.keyId)?.state;
            const keyState = held && stateAt(held, question.at);
            const place = { fromPosition: from, toPosition: to };
            yield {
              ...reviewRow(state, key, said.get(key.keyId), question.at),
              keyState,
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
