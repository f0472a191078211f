import { Command, CommandBus, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { refusal, streams, type ReviewEvent } from '@keyledger/contracts';
import type { AttestedKey, AttestRequest, CloseReviewRequest, ReviewView } from '@keyledger/contracts/http';
import {
  attestedKeys,
  keyDecider,
  reviewDecider,
  type Attester,
  type KeyState,
  type ReviewCommand,
  type ReviewState,
} from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { invalidField, reaches, RefusalError, type Caller } from '@keyledger/platform';
import { isKeyId, noSuchKey } from '../access.js';
import { partOf, type Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { RevokeKey } from '../keys/revoke-keys.handlers.js';
import { accepted, receiptFor, type Accepted } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { ReviewBoard } from './review-board.js';
import { assertReviewId, decisionOf, noSuchReview, shown } from './review.view.js';

type Done = Accepted<ReviewState | undefined, ReviewEvent>;

/** Where a review is named: in the path, or by a key that attests itself in its body. */
const fieldOf = ({ as }: Attester): string | undefined => (as === 'holder' ? 'reviewId' : undefined);

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
    private readonly receipts: Receipts,
    private readonly board: ReviewBoard,
  ) {}

  async execute(attestation: AttestAccess): Promise<Receipt<AttestedKey>> {
    assertReviewId(attestation.reviewId, fieldOf(attestation.attester));
    return this.receipts.same(attestation.intent, () => this.attest(attestation));
  }

  private async attest({ reviewId, request, attester, intent }: AttestAccess): Promise<Receipt<AttestedKey>> {
    const { caller, context } = intent;
    const { keyId, replacementKeyId, ...said } = plain(request);
    const stream = streams.review(reviewId);
    const loaded = await this.decisions.load(reviewDecider, stream);
    const { state: review } = loaded;
    const held = review && (await this.keyFor(review, keyId, caller));
    if (!held) throw noSuchReview(reviewId, fieldOf(attester));
    const before = this.decisions.recall(reviewDecider, loaded, context);
    // Repeated, it was judged on what was then.
    if (before) return this.answer(accepted(before), keyId, intent);

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
    return this.answer(accepted(outcome), keyId, intent, effective);
  }

  private async answer(done: Done, keyId: string, intent: Intent, effective?: boolean): Promise<Receipt<AttestedKey>> {
    const { state, revision, left } = done;
    const key = left.state?.keys.find((one) => one.keyId === keyId);
    if (!state || !left.state || !key) throw new Error(`a review has lost the key ${keyId}`);
    const { reviewId } = state;
    this.board.note(state, revision);
    const decided = decisionOf(attestedKeys(left.state).get(keyId));
    const visible = effective ?? (decided.decision !== 'revoke' || (await this.revoke(keyId, reviewId, intent)));
    return receiptFor({ reviewId, ...key, ...decided, effective: visible }, done);
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
    const known = isKeyId(keyId) && (await this.decisions.load(keyDecider, streams.key(keyId))).state;
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
    private readonly receipts: Receipts,
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
    return this.receipts.same(intent, async () => {
      const stream = streams.review(reviewId);
      const outcome = await this.decisions.run<ReviewCommand, ReviewState | undefined, ReviewEvent>(
        reviewDecider,
        stream,
        command,
        context,
      );
      const done = accepted(outcome);
      const { state, left } = done;
      if (!state || !left.state) throw noSuchReview(reviewId);
      this.board.note(state, done.revision);
      return receiptFor(shown(left.state, caller, left.recordedAt), done);
    });
  }
}

const notWholly = (): RefusalError =>
  new RefusalError(refusal('NOT_ALLOWED', 'The review is about keyspaces beyond your reach too; its owner closes it.'));
