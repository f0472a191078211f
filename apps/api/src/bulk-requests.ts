import { streams } from '@keyledger/contracts';
import { bulkDecider, type BulkState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { idFrom } from '@keyledger/platform';
import type { Intent } from './http/intent.js';
import { accepted } from './outcome.js';

/** What a request is about, once that is settled. */
export type BulkTerms = Omit<BulkState, 'bulkId' | 'acceptedAt'>;

/**
 * Knows a request that changes many keys again, as a whole: each of its keys is a command of its own on a stream of its
 * own, so none of those streams could tell that the Idempotency-Key came with other keys before, or which keys were
 * chosen at first. So that is written down before the first key is changed. Without an Idempotency-Key nothing repeats.
 */
export class BulkRequests {
  constructor(private readonly decisions: Decisions) {}

  /**
   * The terms of this request as they were when it first came.
   * @param settle finds them, if it comes for the first time
   * @throws RefusalError IDEMPOTENCY_KEY_REUSED, with nothing done; whatever `settle` throws; as `Decisions.run`
   */
  async accept(
    { context, seal }: Intent,
    settle: () => Promise<BulkTerms>,
  ): Promise<{ terms: BulkTerms; before: boolean }> {
    if (seal === undefined) return { terms: await settle(), before: false };
    const bulkId = idFrom(`bulk ${context.commandId}`);
    const stream = streams.bulk(bulkId);
    const recalled = this.decisions.recall(bulkDecider, await this.decisions.load(bulkDecider, stream), context);
    const { state, replayed } = accepted(
      recalled ??
        (await this.decisions.run(
          bulkDecider,
          stream,
          { type: 'AcceptBulkRequest', bulkId, ...(await settle()), now: context.now },
          context,
        )),
    );
    if (!state) throw new Error(`the request ${bulkId} was not taken on as it was decided`);
    return { terms: state, before: replayed };
  }
}
