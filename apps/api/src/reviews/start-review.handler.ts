import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { reachOf, refusal, streams, SYSTEM_KEYSPACE, type ReviewedKey, type ReviewEvent } from '@keyledger/contracts';
import type { ReviewView, StartReviewRequest } from '@keyledger/contracts/http';
import {
  coveredByAny,
  isOver,
  isScope,
  keyDecider,
  MOST_REVIEWED_KEYS,
  REVIEWED_KEYS_AT_ONCE,
  reviewDecider,
  type ReviewState,
} from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { idFrom, invalidField, RefusalError, systemClock, type Caller } from '@keyledger/platform';
import { isKeyId } from '../access.js';
import type { Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { KeyCatalogue } from '../keys/key-catalogue.js';
import { accepted, type Accepted } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { ReviewBoard } from './review-board.js';
import { shown } from './review.view.js';

type Started = Accepted<ReviewState | undefined, ReviewEvent>;

const PAGE = 1000;

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
    private readonly receipts: Receipts,
    private readonly catalogue: KeyCatalogue,
    private readonly board: ReviewBoard,
  ) {}

  async execute({ request, intent }: StartReview): Promise<Receipt<ReviewView>> {
    return this.receipts.same(intent, () => this.start(plain(request), intent));
  }

  private async start(request: StartReviewRequest, intent: Intent): Promise<Receipt<ReviewView>> {
    const { caller, context } = intent;
    const reviewId = idFrom(context.commandId);
    const loaded = await this.decisions.load(reviewDecider, streams.review(reviewId));
    const recalled = this.decisions.recall(reviewDecider, loaded, context);
    const before = recalled && accepted(recalled);
    const whole = before && before.state?.status !== 'preparing';
    const done = whole ? before : await this.write(reviewId, request, intent, before);
    if (!done.state) throw new Error(`review ${reviewId} was not started as it was decided`);
    this.board.note(done.state, done.revision);
    // Where an older version wrote the rest of the list, it did so under other ids.
    const state = done.left.state?.status === 'preparing' ? done.state : (done.left.state ?? done.state);
    return { body: shown(state, caller, done.left.recordedAt), replayed: before !== undefined };
  }

  /** Every event of it has the id of the request. A list that was left half written is written on by what is missing. */
  private async write(
    reviewId: string,
    { name, filter, reviewer, dueAt }: StartReviewRequest,
    { caller, context }: Intent,
    before: Started | undefined,
  ): Promise<Started> {
    if (reviewer !== undefined && reviewer !== 'owner') await this.assertReviewer(reviewer);
    const keys = await this.find(caller, filter, context.now);
    const [first = [], ...rest] = parts(keys);
    const stream = streams.review(reviewId);
    const terms = { reviewId, name, filter, ...(reviewer !== undefined && { reviewer }), dueAt, now: context.now };
    const start = { type: 'StartReview', ...terms, keys: first, complete: rest.length === 0 } as const;
    let done = before ?? accepted(await this.decisions.run(reviewDecider, stream, start, context));
    const missing = done.state?.status === 'preparing' ? (done.replayed ? [first, ...rest] : rest) : [];
    for (const [index, part] of missing.entries()) {
      const scope = { type: 'ScopeReview', keys: part, complete: index === missing.length - 1 } as const;
      const next = await this.decisions.runOn(done, reviewDecider, stream, scope, context);
      if (!next) throw writtenElsewhere();
      done = accepted(next);
    }
    return done;
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
        if (filter.state === undefined && isOver(key, now)) continue;
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
    if (!isKeyId(keyId)) throw invalidField('reviewer', 'is no reviewer', fix);
    const { state: key } = await this.decisions.load(keyDecider, streams.key(keyId));
    const may = key && key.keyspaceId === SYSTEM_KEYSPACE && reachOf(key.scopes, 'reviews:attest').length > 0;
    if (!may || isOver(key, systemClock())) throw invalidField('reviewer', 'cannot attest', fix);
  }
}

function parts(keys: ReviewedKey[]): ReviewedKey[][] {
  const count = Math.ceil(keys.length / REVIEWED_KEYS_AT_ONCE);
  return Array.from({ length: count }, (_, index) =>
    keys.slice(index * REVIEWED_KEYS_AT_ONCE, (index + 1) * REVIEWED_KEYS_AT_ONCE),
  );
}

const writtenElsewhere = (): RefusalError =>
  new RefusalError(refusal('CONFLICT', 'The same request writes this list at the same time; ask again in a moment.'));

function tooMany(): RefusalError {
  const message = `finds more than ${MOST_REVIEWED_KEYS} keys`;
  const fix = 'a narrower one: a review for each keyspace, environment or owner';
  return new RefusalError(
    refusal('UNPROCESSABLE', 'One review cannot hold so many.', [{ field: 'filter', message, fix }]),
  );
}
