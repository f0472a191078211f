import type { Instant } from '@keyledger/contracts';
import type { ReviewCounts, ReviewedKeyView, ReviewStatus, ReviewView } from '@keyledger/contracts/http';
import { attestedKeys, type Attestation, type ReviewState } from '@keyledger/domain';
import { reaches, systemClock, type Caller, type Reach, type RefusalError } from '@keyledger/platform';
import { notThere } from '../access.js';

/** What lists need of a review, however many keys it has. */
export interface ReviewSummary extends Pick<ReviewState, 'reviewId' | 'name' | 'filter' | 'dueAt' | 'startedAt'> {
  reviewer?: string;
  status: ReviewStatus;
  closedAt?: Instant;
  /** By keyspace, since not every reader may hear of all. */
  counts: ReadonlyMap<string, ReviewCounts>;
}

export const noSuchReview = (reviewId: string, field?: string): RefusalError =>
  notThere('access review', reviewId, field);

const REVIEW_ID = /^[0-9A-Za-z]{22}$/;

/** @throws RefusalError 404 for what cannot be the id of a review, before it becomes part of a name in a store. */
export function assertReviewId(reviewId: string, field?: string): void {
  if (!REVIEW_ID.test(reviewId)) throw noSuchReview(reviewId, field);
}

const none = (): ReviewCounts => ({ keys: 0, keep: 0, narrow: 0, revoke: 0, outstanding: 0 });

export function summaryOf(review: ReviewState): ReviewSummary {
  const { reviewId, name, filter, reviewer, dueAt, startedAt, status, closedAt } = review;
  const counts = new Map<string, ReviewCounts>();
  const said = attestedKeys(review);
  for (const { keyId, keyspaceId } of review.keys) {
    const count = counts.get(keyspaceId) ?? none();
    count.keys += 1;
    count[said.get(keyId)?.decision ?? 'outstanding'] += 1;
    counts.set(keyspaceId, count);
  }
  return {
    reviewId,
    name,
    filter,
    dueAt,
    startedAt,
    status,
    ...(reviewer !== undefined && { reviewer }),
    ...(closedAt !== undefined && { closedAt }),
    counts,
  };
}

/** A review as a reader may see it; `undefined` where none of its keys is in his reach. */
export function reviewView({ counts, ...review }: ReviewSummary, reach: Reach, now: Instant): ReviewView | undefined {
  const inReach = [...counts].filter(([keyspaceId]) => reaches(reach, keyspaceId));
  if (inReach.length === 0) return undefined;
  const sum = none();
  for (const [, count] of inReach)
    for (const name of Object.keys(sum) as (keyof ReviewCounts)[]) sum[name] += count[name];
  const overdue = review.status !== 'closed' && review.dueAt < now && sum.outstanding > 0;
  return { ...review, overdue, counts: sum };
}

/** The answer about a review. @throws RefusalError 404 where none of its keys is in the caller's reach */
export function shown(state: ReviewState, { reach }: Caller, at: Instant = systemClock()): ReviewView {
  const view = reviewView(summaryOf(state), reach, at);
  if (!view) throw noSuchReview(state.reviewId);
  return view;
}

/** The keys of a review that a reader may see, with the word that holds about each. */
export function reviewedKeys(review: ReviewState, reach: Reach): ReviewedKeyView[] {
  const said = attestedKeys(review);
  return review.keys
    .filter(({ keyspaceId }) => reaches(reach, keyspaceId))
    .map((key) => ({ ...key, ...decisionOf(said.get(key.keyId)) }));
}

export function decisionOf(
  attestation: Attestation | undefined,
): Omit<ReviewedKeyView, keyof ReviewState['keys'][number]> {
  if (!attestation) return { decision: 'outstanding' };
  const { keyId: _, ...decision } = attestation;
  return decision;
}
