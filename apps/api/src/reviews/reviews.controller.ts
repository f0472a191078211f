import { Body, Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { streams } from '@keyledger/contracts';
import {
  AttestedKey,
  AttestRequest,
  CloseReviewRequest,
  ListReviewsQuery,
  ReviewDetail,
  ReviewKeysQuery,
  ReviewList,
  ReviewView,
  StartReviewRequest,
} from '@keyledger/contracts/http';
import { reviewDecider } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { CurrentCaller, invalidField, systemClock, type Caller } from '@keyledger/platform';
import type { FastifyReply } from 'fastify';
import { cursorOf, openCursor, sealOf } from '../audit/inquiry.js';
import { received } from '../http/answers.js';
import { CurrentIntent, type Intent } from '../http/intent.js';
import { Needs } from '../http/needs.js';
import { ReviewBoard } from './review-board.js';
import { AttestAccess, CloseReview } from './review.handlers.js';
import { assertReviewId, noSuchReview, reviewedKeys, reviewView, summaryOf } from './review.view.js';
import { StartReview } from './start-review.handler.js';

const DEFAULT_LIMIT = 100;

/** Access reviews: somebody looks at every key of a list and says whether it is still needed. */
@Controller('v1/audit/reviews')
export class ReviewsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly decisions: Decisions,
    private readonly board: ReviewBoard,
  ) {}

  /** Start a review over the keys that the filter finds now. The list of keys stays as it is found. */
  @Post()
  @Needs('reviews:write', { repeatable: true, located: true, refusals: [404, 409, 422] })
  async start(
    @Body() request: StartReviewRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ReviewView> {
    const review = received(reply, await this.commands.execute(new StartReview(request, intent)));
    void reply.header('location', `/v1/audit/reviews/${review.reviewId}`);
    return review;
  }

  /** List the reviews that concern keyspaces in your reach, newest first. */
  @Get()
  @Needs('reviews:read')
  async list(@Query() query: ListReviewsQuery, @CurrentCaller() { reach }: Caller): Promise<ReviewList> {
    const now = systemClock();
    const { status } = query;
    const found = (await this.board.list())
      .flatMap((summary) => reviewView(summary, reach, now) ?? [])
      .filter((review) => status === undefined || review.status === status);
    return pageOf(found, ({ reviewId }) => reviewId, { reach, status }, query);
  }

  /** Show a review with its keys: who attested what and when, and what is outstanding. */
  @Get(':reviewId')
  @Needs('reviews:read', { refusals: [404] })
  async show(
    @Param('reviewId') reviewId: string,
    @Query() query: ReviewKeysQuery,
    @CurrentCaller() { reach }: Caller,
  ): Promise<ReviewDetail> {
    assertReviewId(reviewId);
    const { state } = await this.decisions.load(reviewDecider, streams.review(reviewId));
    const view = state && reviewView(summaryOf(state), reach, systemClock());
    if (!state || !view) throw noSuchReview(reviewId);
    const { decision } = query;
    const keys = reviewedKeys(state, reach).filter((key) => decision === undefined || key.decision === decision);
    const { items, ...page } = pageOf(keys, ({ keyId }) => keyId, { reviewId, reach, decision }, query);
    return { ...view, keys: items, ...page };
  }

  /** Attest one key: keep it, have it replaced by one with fewer scopes, or revoke it at once. */
  @Post(':reviewId/attest')
  @HttpCode(200)
  @Needs('reviews:attest', { repeatable: true, refusals: [404, 409, 422] })
  async attest(
    @Param('reviewId') reviewId: string,
    @Body() request: AttestRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AttestedKey> {
    const { keyId, owner } = intent.caller.principal;
    const attester = { as: 'manager', keyId, ownerId: owner.id } as const;
    return received(reply, await this.commands.execute(new AttestAccess(reviewId, request, attester, intent)));
  }

  /** Close a review. Keys that nobody attested stay as they are, and on record as outstanding. */
  @Post(':reviewId/close')
  @HttpCode(200)
  @Needs('reviews:write', { repeatable: true, refusals: [404, 409, 422] })
  async close(
    @Param('reviewId') reviewId: string,
    @Body() request: CloseReviewRequest,
    @CurrentIntent() intent: Intent,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ReviewView> {
    return received(reply, await this.commands.execute(new CloseReview(reviewId, request, intent)));
  }
}

/** Some of a list that is whole in memory. Its cursor names the last item before, and belongs to the filters. */
function pageOf<T>(
  items: T[],
  idOf: (item: T) => string,
  filters: object,
  { limit = DEFAULT_LIMIT, cursor }: { limit?: number; cursor?: string },
): { items: T[]; nextCursor?: string } {
  const seal = sealOf(filters);
  const [after] = openCursor(cursor, seal, 1) ?? [];
  const before = after === undefined ? -1 : items.findIndex((item) => idOf(item) === after);
  if (after !== undefined && before < 0) {
    throw invalidField('cursor', 'does not belong to this query', 'the nextCursor of the same query, unchanged');
  }
  const page = items.slice(before + 1, before + 1 + limit);
  const last = page.at(-1);
  return before + 1 + limit < items.length && last !== undefined
    ? { items: page, nextCursor: cursorOf(seal, idOf(last)) }
    : { items: page };
}
