import { Command, CommandBus, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import {
  reachOf,
  refusal,
  streams,
  SYSTEM_KEYSPACE,
  type CommandContext,
  type KeyStateName,
  type ReviewedKey,
  type ReviewEvent,
} from '@keyledger/contracts';
import type {
  AttestedKey,
  AttestRequest,
  CloseReviewRequest,
  ReviewView,
  StartReviewRequest,
} from '@keyledger/contracts/http';
import {
  attestedKeys,
  coveredByAny,
  isScope,
  keyDecider,
  MOST_REVIEWED_KEYS,
  REVIEWED_KEYS_AT_ONCE,
  reviewDecider,
  stateAt,
  type Attester,
  type KeyState,
  type ReviewCommand,
  type ReviewState,
} from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { idFrom, invalidField, reaches, RefusalError, systemClock, type Caller } from '@keyledger/platform';
import { randomUUID } from 'node:crypto';
import { noSuchKey } from '../access.js';
import { partOf, type Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { KeyCatalogue } from '../keys/key-catalogue.js';
import { RevokeKey } from '../keys/revoke-keys.handlers.js';
import { accepted } from '../outcome.js';
import type { Receipt } from '../receipts.js';
import { ReviewBoard } from './review-board.js';
import { assertReviewId, decisionOf, noSuchReview, reviewView, summaryOf } from './review.view.js';

const PAGE = 1000;
const OVER: readonly KeyStateName[] = ['revoked', 'expired'];

/** A review over the keys that its filter finds now. */
export class StartReview extends Command<Receipt<ReviewView>> {
  constructor(
    readonly request: StartReviewRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(StartReview)
export class StartReviewHandler implements ICommandHandler<StartReview> {
  constructor(
    private readonly decisions: Decisions,
    private readonly catalogue: KeyCatalogue,
    private readonly board: ReviewBoard,
  ) {}

  async execute({ request, intent }: StartReview): Promise<Receipt<ReviewView>> {
    const { caller, context } = intent;
    const { name, filter, reviewer, dueAt } = plain(request);
    if (reviewer !== undefined && reviewer !== 'owner') await this.assertReviewer(reviewer);
    const keys = await this.find(caller, filter, context.now);
    const [first = [], ...rest] = parts(keys);
    const reviewId = idFrom(context.commandId);
    const stream = streams.review(reviewId);
    const terms = { reviewId, name, filter, ...(reviewer !== undefined && { reviewer }), dueAt, now: context.now };
    const start = { type: 'StartReview', ...terms, keys: first, complete: rest.length === 0 } as const;
    let outcome = accepted(await this.decisions.run(reviewDecider, stream, start, context));
    const { replayed } = outcome;
    // A list that was left half written is written on, by whichever part is missing.
    const missing = outcome.state?.status === 'preparing' ? (replayed ? [first, ...rest] : rest) : [];
    for (const [index, part] of missing.entries()) {
      const scope = { type: 'ScopeReview', keys: part, complete: index === missing.length - 1 } as const;
      outcome = accepted(await this.decisions.run(reviewDecider, stream, scope, anew(context)));
    }
    const { state, revision } = outcome;
    if (!state) throw new Error(`review ${reviewId} was not started as it was decided`);
    this.board.note(state, revision);
    return { body: shown(state, caller), replayed };
  }

  private async find(caller: Caller, filter: StartReviewRequest['filter'], now: string): Promise<ReviewedKey[]> {
    const { scope, ...search } = filter;
    if (scope !== undefined && !isScope(scope)) {
      throw invalidField('filter.scope', 'is no scope', 'words joined by ":", e.g. "payments:read"');
    }
    const found: ReviewedKey[] = [];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const asked = { ...search, limit: PAGE, ...(cursor !== undefined && { cursor }) };
      const page = await this.catalogue.list(caller, asked, 'filter.keyspaceId');
      for (const { state: key } of page.items) {
        if (filter.state === undefined && OVER.includes(stateAt(key, now))) continue;
        if (scope !== undefined && !coveredByAny(key.scopes, scope)) continue;
        const { keyId, keyspaceId, name, owner } = key;
        found.push({ keyId, keyspaceId, name, owner: { id: owner.id, type: owner.type } });
      }
      if (found.length > MOST_REVIEWED_KEYS) throw tooMany();
      cursor = page.nextCursor;
    }
    return found;
  }

  /** @throws RefusalError 400 for what could not attest anything */
  private async assertReviewer(keyId: string): Promise<void> {
    const fix = '"owner", or the id of a management key that has the scope reviews:attest';
    if (!/^[0-9A-Za-z]{8,64}$/.test(keyId)) throw invalidField('reviewer', 'is no reviewer', fix);
    const { state: key } = await this.decisions.load(keyDecider, streams.key(keyId));
    const may = key && key.keyspaceId === SYSTEM_KEYSPACE && reachOf(key.scopes, 'reviews:attest').length > 0;
    if (!may || OVER.includes(stateAt(key, systemClock()))) throw invalidField('reviewer', 'cannot attest', fix);
  }
}

function parts(keys: ReviewedKey[]): ReviewedKey[][] {
  const count = Math.ceil(keys.length / REVIEWED_KEYS_AT_ONCE);
  return Array.from({ length: count }, (_, index) =>
    keys.slice(index * REVIEWED_KEYS_AT_ONCE, (index + 1) * REVIEWED_KEYS_AT_ONCE),
  );
}

/** The same person and reason for a further command, which its decider keeps from happening twice. */
function anew({ fingerprint: _, ...context }: CommandContext): CommandContext {
  return { ...context, commandId: randomUUID() };
}

function tooMany(): RefusalError {
  const message = `finds more than ${MOST_REVIEWED_KEYS} keys`;
  const fix = 'a narrower one: a review for each keyspace, environment or owner';
  return new RefusalError(
    refusal('UNPROCESSABLE', 'One review cannot hold so many.', [{ field: 'filter', message, fix }]),
  );
}

function shown(state: ReviewState, { reach }: Caller): ReviewView {
  const view = reviewView(summaryOf(state), reach, systemClock());
  if (!view) throw noSuchReview(state.reviewId);
  return view;
}

/** What is to become of one key, by a reviewer or by the key itself. */
export class AttestAccess extends Command<Receipt<AttestedKey>> {
  constructor(
    readonly reviewId: string,
    readonly request: AttestRequest,
    readonly attester: Attester,
    readonly intent: Intent,
  ) {
    super();
  }
}

/**
 * A key that shall go is revoked before its attestation is recorded, and after it was found that it can be: so that
 * nobody ever reads "revoked by review" of a key that works. Whoever repeats a request that broke off between the two
 * finds the key revoked, which is no change, and records the rest.
 */
@CommandHandler(AttestAccess)
export class AttestAccessHandler implements ICommandHandler<AttestAccess> {
  constructor(
    private readonly commands: CommandBus,
    private readonly decisions: Decisions,
    private readonly board: ReviewBoard,
  ) {}

  async execute({ reviewId, request, attester, intent }: AttestAccess): Promise<Receipt<AttestedKey>> {
    // The holder names the review in his body, the manager in his path.
    const field = attester.as === 'holder' ? 'reviewId' : undefined;
    assertReviewId(reviewId, field);
    const { caller, context } = intent;
    const { keyId, replacementKeyId, ...said } = plain(request);
    const stream = streams.review(reviewId);
    const { state: review } = await this.decisions.load(reviewDecider, stream);
    const held = review && (await this.keyFor(review, keyId, caller));
    if (!held) throw noSuchReview(reviewId, field);
    const replacement = replacementKeyId === undefined ? undefined : await this.replacement(replacementKeyId, caller);
    const command: ReviewCommand = {
      type: 'AttestAccess',
      keyId,
      ...said,
      ...(replacement && { replacement: { keyId: replacement.keyId, scopes: replacement.scopes } }),
      held: held.scopes,
      attester,
      now: context.now,
    };
    const decision = reviewDecider.decide(command, review);
    if (!decision.accepted) throw new RefusalError(decision.refusal);

    const effective = said.decision !== 'revoke' || (await this.revoke(keyId, reviewId, intent));
    const outcome = await this.decisions.run<ReviewCommand, ReviewState | undefined, ReviewEvent>(
      reviewDecider,
      stream,
      command,
      context,
    );
    const { state, revision, replayed } = accepted(outcome);
    const key = state?.keys.find((one) => one.keyId === keyId);
    if (!state || !key) throw new Error(`review ${reviewId} has lost the key ${keyId}`);
    this.board.note(state, revision);
    return { body: { reviewId, ...key, ...decisionOf(attestedKeys(state).get(keyId)), effective }, replayed };
  }

  private async revoke(keyId: string, reviewId: string, intent: Intent): Promise<boolean> {
    const why = { reason: 'policy', comment: `access review ${reviewId}` } as const;
    const { body } = await this.commands.execute(new RevokeKey(keyId, why, partOf(intent, 'revoke')));
    return body.effective;
  }

  /** @throws RefusalError 404 for a key that is not on the list, or out of reach: the caller cannot tell which */
  private async keyFor(review: ReviewState, keyId: string, { reach }: Caller): Promise<KeyState | undefined> {
    if (!review.keys.some(({ keyspaceId }) => reaches(reach, keyspaceId))) return undefined;
    const listed = review.keys.find((one) => one.keyId === keyId);
    if (!listed || !reaches(reach, listed.keyspaceId)) throw noSuchKey(keyId, 'keyId');
    const { state } = await this.decisions.load(keyDecider, streams.key(keyId));
    if (!state) throw noSuchKey(keyId, 'keyId');
    return state;
  }

  private async replacement(keyId: string, { reach }: Caller): Promise<KeyState> {
    const known =
      /^[0-9A-Za-z]{8,64}$/.test(keyId) && (await this.decisions.load(keyDecider, streams.key(keyId))).state;
    if (known && reaches(reach, known.keyspaceId)) return known;
    throw invalidField('replacementKeyId', 'is no key', 'the id of the key that was issued in place of this one');
  }
}

export class CloseReview extends Command<Receipt<ReviewView>> {
  constructor(
    readonly reviewId: string,
    readonly request: CloseReviewRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(CloseReview)
export class CloseReviewHandler implements ICommandHandler<CloseReview> {
  constructor(
    private readonly decisions: Decisions,
    private readonly board: ReviewBoard,
  ) {}

  async execute({ reviewId, request, intent }: CloseReview): Promise<Receipt<ReviewView>> {
    assertReviewId(reviewId);
    const { caller, context } = intent;
    const { comment } = plain(request);
    const command = (review: ReviewState | undefined): ReviewCommand => {
      const keyspaces = review?.keys.map(({ keyspaceId }) => keyspaceId) ?? [];
      if (!keyspaces.some((one) => reaches(caller.reach, one))) throw noSuchReview(reviewId);
      if (!keyspaces.every((one) => reaches(caller.reach, one))) throw notWholly();
      return { type: 'CloseReview', ...(comment !== undefined && { comment }), now: context.now };
    };
    const outcome = await this.decisions.run<ReviewCommand, ReviewState | undefined, ReviewEvent>(
      reviewDecider,
      streams.review(reviewId),
      command,
      context,
    );
    const { state, revision, replayed } = accepted(outcome);
    if (!state) throw noSuchReview(reviewId);
    this.board.note(state, revision);
    return { body: shown(state, caller), replayed };
  }
}

const notWholly = (): RefusalError =>
  new RefusalError(refusal('NOT_ALLOWED', 'The review is about keyspaces beyond your reach too; its owner closes it.'));
