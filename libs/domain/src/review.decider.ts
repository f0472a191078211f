import {
  refusal,
  type AccessAttested,
  type AccessReviewStarted,
  type AttestationDecision,
  type AttestedAs,
  type FieldError,
  type Instant,
  type ReviewedKey,
  type ReviewEvent,
} from '@keyledger/contracts';
import { accept, refuse, type Decider, type Decision } from './decider.js';
import { sameJson } from './equality.js';
import { coveredByAny } from './scope.js';

/** Keys in one event: with the longest names and owners that a key can have it stays well below a megabyte. */
export const REVIEWED_KEYS_AT_ONCE = 400;
/** What one review may hold; every attestation reads the whole of it. */
export const MOST_REVIEWED_KEYS = 10_000;

type Started = AccessReviewStarted['data'];
export type Attestation = Omit<AccessAttested['data'], 'reviewId'>;

/** An access review as its events make it. */
export interface ReviewState extends Started {
  /** `preparing`: its list of keys is not whole yet. */
  status: 'preparing' | 'open' | 'closed';
  keys: readonly ReviewedKey[];
  /** In the order in which they were made; the last about a key holds. */
  attestations: readonly Attestation[];
  closedAt?: Instant;
  closingComment?: string;
}

/** Who attests: a management key with its owner, or the reviewed key itself. */
export type Attester = { as: 'manager'; keyId: string; ownerId: string } | { as: 'holder'; keyId: string };

export type ReviewCommand =
  /** With the first part of the list. */
  | ({ type: 'StartReview'; keys: ReviewedKey[]; complete: boolean; now: Instant } & Omit<Started, 'startedAt'>)
  | { type: 'ScopeReview'; keys: ReviewedKey[]; complete: boolean }
  | {
      type: 'AttestAccess';
      keyId: string;
      decision: AttestationDecision;
      comment?: string;
      scopes?: string[];
      /** The key that was issued in its place, and what it may do. */
      replacement?: { keyId: string; scopes: readonly string[] };
      /** What the key may do, which nothing changes. */
      held: readonly string[];
      attester: Attester;
      now: Instant;
    }
  | { type: 'CloseReview'; comment?: string; now: Instant };

type Command<T extends ReviewCommand['type']> = Extract<ReviewCommand, { type: T }>;

export const reviewDecider: Decider<ReviewCommand, ReviewState | undefined, ReviewEvent> = {
  initialState: undefined,
  decide: decideReview,
  evolve: evolveReview,
};

function decideReview(command: ReviewCommand, review: ReviewState | undefined): Decision<ReviewEvent> {
  if (command.type === 'StartReview') return start(command, review);
  if (!review) return refuse(refusal('NOT_FOUND', 'There is no such access review.'));
  if (command.type === 'ScopeReview') return scope(command, review);
  if (command.type === 'CloseReview') return close(command, review);
  return attest(command, review);
}

/** Repeated, it goes on with a list that is not whole. */
function start(command: Command<'StartReview'>, review: ReviewState | undefined): Decision<ReviewEvent> {
  const { reviewId, name, filter, reviewer, dueAt, keys, complete, now } = command;
  if (review) return accept();
  if (dueAt <= now) {
    const error = { field: 'dueAt', message: 'lies in the past', fix: `after ${now}` };
    return refuse(refusal('UNPROCESSABLE', 'The review would be overdue at once.', [error]));
  }
  if (keys.length === 0) {
    const error = { field: 'filter', message: 'finds no key', fix: 'a filter that some key fits' };
    return refuse(refusal('UNPROCESSABLE', 'There is nothing to review.', [error]));
  }
  const started: ReviewEvent = {
    type: 'AccessReviewStarted',
    data: { reviewId, name, filter, ...(reviewer !== undefined && { reviewer }), dueAt, startedAt: now },
  };
  return accept(started, scoped(reviewId, keys, complete));
}

/** Keys that are on the list already stay as they stand there. */
function scope({ keys, complete }: Command<'ScopeReview'>, review: ReviewState): Decision<ReviewEvent> {
  if (review.status !== 'preparing') return accept();
  const listed = new Set(review.keys.map(({ keyId }) => keyId));
  const more = keys.filter(({ keyId }) => !listed.has(keyId));
  if (more.length === 0 && !complete) return accept();
  return accept(scoped(review.reviewId, more, complete));
}

function scoped(reviewId: string, keys: ReviewedKey[], complete: boolean): ReviewEvent {
  return { type: 'AccessReviewScoped', data: { reviewId, keys, ...(complete && { complete: true as const }) } };
}

function attest(command: Command<'AttestAccess'>, review: ReviewState): Decision<ReviewEvent> {
  const { keyId, decision, comment, scopes, replacement, attester, now } = command;
  if (review.status === 'closed') return refuse(refusal('REVIEW_CLOSED', `It was closed at ${review.closedAt}.`));
  if (review.status === 'preparing') {
    return refuse(refusal('CONFLICT', 'The list of its keys is not whole; repeat the request that started it.'));
  }
  const key = review.keys.find((one) => one.keyId === keyId);
  if (!key) {
    const error = { field: 'keyId', message: 'is not on the list of this review', fix: 'a key that the review shows' };
    return refuse(refusal('NOT_FOUND', `The key ${keyId} is not reviewed here.`, [error]));
  }
  const attestedAs = roleOf(attester, key, review.reviewer);
  if (!attestedAs) return refuse(refusal('NOT_ALLOWED', notYours(review.reviewer)));
  const errors = narrowingErrors(command);
  if (errors.length > 0) return refuse(refusal('UNPROCESSABLE', 'The decision cannot be recorded.', errors));

  const before = review.attestations.findLast((one) => one.keyId === keyId);
  if (before?.decision === 'revoke' && decision !== 'revoke') {
    return refuse(refusal('CONFLICT', `This review has revoked the key ${keyId}, and that is final.`));
  }
  const said = {
    keyId,
    decision,
    ...(comment !== undefined && { comment }),
    ...(scopes && { scopes }),
    ...(replacement && { replacementKeyId: replacement.keyId }),
    attestedBy: attester.keyId,
    attestedAs,
  };
  if (before && sameJson({ ...said, attestedAt: before.attestedAt }, before)) return accept();
  return accept({ type: 'AccessAttested', data: { reviewId: review.reviewId, ...said, attestedAt: now } });
}

function roleOf(attester: Attester, key: ReviewedKey, reviewer: string | undefined): AttestedAs | undefined {
  if (attester.as === 'holder') {
    const mayHolder = reviewer === undefined || reviewer === 'owner';
    return mayHolder && attester.keyId === key.keyId ? 'holder' : undefined;
  }
  if (reviewer === 'owner') return attester.ownerId === key.owner.id ? 'owner' : undefined;
  return reviewer === undefined || reviewer === attester.keyId ? 'reviewer' : undefined;
}

function notYours(reviewer: string | undefined): string {
  if (reviewer === 'owner') return 'Each key is attested by its owner here: with a key of that owner.';
  return reviewer === undefined ? 'A key attests for itself only.' : `The reviewer is the key ${reviewer}.`;
}

/** What is wrong with the scopes that would be enough, and with the key that takes the place of the old one. */
function narrowingErrors({
  keyId,
  decision,
  scopes,
  replacement,
  held,
  attester,
}: Command<'AttestAccess'>): FieldError[] {
  if (decision !== 'narrow') {
    const given = [...(scopes ? ['scopes'] : []), ...(replacement ? ['replacementKeyId'] : [])];
    return given.map((field) => ({ field, message: `says nothing with "${decision}"`, fix: 'leave it out' }));
  }
  if (attester.as === 'holder') {
    return [{ field: 'decision', message: 'is for a reviewer', fix: '"keep" or "revoke"' }];
  }
  if (!scopes?.length) {
    return [{ field: 'scopes', message: 'is missing', fix: `those of ${held.join(', ') || 'none'} that are enough` }];
  }
  const errors = scopes.flatMap((wanted, index): FieldError[] => {
    if (coveredByAny(held, wanted)) return [];
    return [{ field: `scopes[${index}]`, message: 'is more than the key may do', fix: `within ${held.join(', ')}` }];
  });
  if (held.every((one) => coveredByAny(scopes, one))) {
    errors.push({ field: 'scopes', message: 'is all that the key may do', fix: 'fewer scopes, or "keep"' });
  }
  if (replacement?.keyId === keyId) {
    errors.push({ field: 'replacementKeyId', message: 'is the key itself', fix: 'the key that takes its place' });
  } else if (replacement?.scopes.some((one) => !coveredByAny(scopes, one))) {
    const fix = `a key with no more than ${scopes.join(', ')}`;
    errors.push({ field: 'replacementKeyId', message: 'may do more than the decision says', fix });
  }
  return errors;
}

function close({ comment, now }: Command<'CloseReview'>, review: ReviewState): Decision<ReviewEvent> {
  if (review.status === 'closed') return accept();
  const { reviewId } = review;
  const outstanding = review.keys.length - attestedKeys(review).size;
  const said = comment === undefined ? {} : { comment };
  return accept({ type: 'AccessReviewClosed', data: { reviewId, ...said, outstanding, closedAt: now } });
}

/** The word that holds about each key that has one. */
export function attestedKeys({ attestations }: ReviewState): Map<string, Attestation> {
  return new Map(attestations.map((one) => [one.keyId, one]));
}

function evolveReview(review: ReviewState | undefined, event: ReviewEvent): ReviewState {
  if (event.type === 'AccessReviewStarted') {
    return { ...event.data, status: 'preparing', keys: [], attestations: [] };
  }
  if (!review) throw new RangeError(`${event.type} stands before the review was started`);
  switch (event.type) {
    case 'AccessReviewScoped': {
      const { keys, complete } = event.data;
      const status = complete && review.status === 'preparing' ? 'open' : review.status;
      return { ...review, keys: [...review.keys, ...keys], status };
    }
    case 'AccessAttested': {
      const { reviewId: _, ...attestation } = event.data;
      return { ...review, attestations: [...review.attestations, attestation] };
    }
    case 'AccessReviewClosed': {
      const { closedAt, comment } = event.data;
      return { ...review, status: 'closed', closedAt, ...(comment !== undefined && { closingComment: comment }) };
    }
  }
}
