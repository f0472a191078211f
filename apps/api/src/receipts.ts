import { Injectable } from '@nestjs/common';
import { refusal } from '@keyledger/contracts';
import { KeyDigests, newId, RefusalError, type Logger } from '@keyledger/platform';
import type { Claim, IdempotencyStash } from '@keyledger/read-model';
import type { Intent } from './http/intent.js';

/** An answer, and whether it is that of an earlier request with the same Idempotency-Key. */
export interface Receipt<R> {
  body: R;
  replayed: boolean;
  /** Part of it could not be done for now: a repeated request shall go on with it instead of hearing the same again. */
  unfinished?: boolean;
}

/**
 * Repeats the answer of a creating request to whoever repeats its Idempotency-Key: within ten minutes byte for byte, the
 * new key included, sealed for that caller alone.
 *
 * What a request will need once (the secret that it minted) is sealed and kept before anything is appended. So a process
 * that dies between the append and its answer costs nobody a key: the repeated request finds the draft, and the event
 * store says that it was done. Where Redis cannot be reached, the command id of the event store still lets it happen
 * once, and only the comfort of a second look at the key is lost.
 */
@Injectable()
export class Receipts {
  constructor(
    private readonly stash: IdempotencyStash,
    private readonly digests: KeyDigests,
    private readonly logger: Logger,
  ) {}

  /**
   * @param draft what the work needs and must not be made twice; JSON.
   * @param work does it, or finds that it was done (`replayed`).
   * @throws RefusalError IN_PROGRESS or IDEMPOTENCY_KEY_REUSED, or whatever `work` throws
   */
  async once<D, R>(intent: Intent, draft: D, work: (draft: D) => Promise<Receipt<R>>): Promise<Receipt<R>> {
    const { seal } = intent;
    const { commandId: id, fingerprint = '' } = intent.context;
    if (seal === undefined) return work(draft);
    const token = newId();
    const claim = await this.claim(id, fingerprint, token, this.digests.seal(seal, JSON.stringify(draft)));
    if (claim === undefined) return work(draft);
    if (claim.outcome === 'running') throw inProgress();
    if (claim.outcome === 'other') throw reused();
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
      const { body, unfinished } = receipt;
      await this.quietly(() =>
        unfinished
          ? this.stash.release(id, token, 'keep')
          : this.stash.settle(id, token, this.digests.seal(seal, JSON.stringify(body))),
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

const reused = () =>
  new RefusalError(refusal('IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key came with another request before.'));
