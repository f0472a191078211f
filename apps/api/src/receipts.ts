import { Injectable } from '@nestjs/common';
import { refusal } from '@keyledger/contracts';
import { KeyDigests, newId, RefusalError, type Logger } from '@keyledger/platform';
import type { Claim, IdempotencyStash } from '@keyledger/read-model';
import type { Intent } from './http/intent.js';

/** An answer, and whether it is that of an earlier request with the same Idempotency-Key. */
export interface Receipt<R> {
  body: R;
  replayed: boolean;
  /** It, or a part of it, changed nothing: the log will not tell how it was answered. */
  untold?: boolean;
  /** Part of it could not be done for now: a repeated request shall go on with it instead of hearing the same again. */
  unfinished?: boolean;
}

/**
 * Gives whoever repeats his Idempotency-Key the same answer again, and another request under it a refusal: for ten
 * minutes byte for byte, sealed for that caller alone; a day for what changed nothing. Later, and where Redis was emptied
 * or cannot be reached, the event store knows the command id of what was changed: that is not done again, and its answer
 * is made from the state that it left. Only what changed nothing is then decided anew.
 */
@Injectable()
export class Receipts {
  constructor(
    private readonly stash: IdempotencyStash,
    private readonly digests: KeyDigests,
    private readonly logger: Logger,
  ) {}

  /**
   * For an answer with a new secret, which is to be had again for ten minutes.
   *
   * What a request will need once (the secret that it minted) is sealed and kept before anything is appended. So a process
   * that dies between the append and its answer costs nobody a key: the repeated request finds the draft, and the event
   * store says that it was done. Without Redis only the comfort of a second look at the key is lost.
   * @param draft what the work needs and must not be made twice; JSON.
   * @param work does it, or finds that it was done (`replayed`).
   * @throws RefusalError IN_PROGRESS or IDEMPOTENCY_KEY_REUSED, or whatever `work` throws
   */
  once<D, R>(intent: Intent, draft: D, work: (draft: D) => Promise<Receipt<R>>): Promise<Receipt<R>> {
    return this.sealed(intent, intent.seal?.secret, draft, work);
  }

  /** For any other answer. @throws as `once` */
  same<R>(intent: Intent, work: () => Promise<Receipt<R>>): Promise<Receipt<R>> {
    return this.sealed(intent, intent.seal?.answer, null, work);
  }

  private async sealed<D, R>(
    { context }: Intent,
    seal: string | undefined,
    draft: D,
    work: (draft: D) => Promise<Receipt<R>>,
  ): Promise<Receipt<R>> {
    const { commandId: id, fingerprint = '' } = context;
    if (seal === undefined) return work(draft);
    const token = newId();
    const claim = await this.claim(id, fingerprint, token, this.digests.seal(seal, JSON.stringify(draft)));
    if (claim === undefined) return work(draft);
    if (claim.outcome === 'running') throw inProgress();
    if (claim.outcome === 'other') throw keyReused();
    if (claim.outcome === 'done') {
      const receipt = this.digests.open(seal, claim.receipt);
      // Sealed for a credential that was rotated meanwhile: the event store still knows what came of it.
      return receipt === undefined ? work(draft) : { body: JSON.parse(receipt) as R, replayed: true };
    }
    const kept = this.digests.open(seal, claim.draft);
    return this.settle(id, token, seal, () => work(kept === undefined ? draft : (JSON.parse(kept) as D)));
  }

  private async claim(id: string, fingerprint: string, token: string, draft: string): Promise<Claim | undefined> {
    try {
      return await this.stash.claim({ id, fingerprint, token, draft });
    } catch (error) {
      this.logger.warn({ err: error }, 'an Idempotency-Key is left to the event store: Redis cannot be asked');
      return undefined;
    }
  }

  private async settle<R>(
    id: string,
    token: string,
    seal: string,
    work: () => Promise<Receipt<R>>,
  ): Promise<Receipt<R>> {
    try {
      const receipt = await work();
      const { body, unfinished, untold } = receipt;
      await this.quietly(() =>
        unfinished
          ? this.stash.release(id, token, 'keep')
          : this.stash.settle(id, token, this.digests.seal(seal, JSON.stringify(body)), untold ? 'long' : 'short'),
      );
      return receipt;
    } catch (error) {
      // A refusal changed nothing, so the caller may put it right under the same key. A failure may have.
      const what = error instanceof RefusalError && error.refusal.code !== 'UNAVAILABLE' ? 'forget' : 'keep';
      await this.quietly(() => this.stash.release(id, token, what));
      throw error;
    }
  }

  /** The work is done or not done; a receipt that cannot be kept changes neither. */
  private async quietly(keep: () => Promise<void>): Promise<void> {
    try {
      await keep();
    } catch (error) {
      this.logger.warn({ err: error }, 'a receipt could not be kept: Redis cannot be asked');
    }
  }
}

function inProgress(): RefusalError {
  const detail = 'The first request with this Idempotency-Key is still running; ask again in a moment.';
  return new RefusalError(refusal('IN_PROGRESS', detail), { 'retry-after': '1' });
}

const keyReused = (): RefusalError =>
  new RefusalError(refusal('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key came with another request before.'));
