import { streams } from '@keyledger/contracts';
import { reviewDecider, type ReviewState } from '@keyledger/domain';
import type { Decisions, EventStore } from '@keyledger/event-store';
import { unavailable, type Logger } from '@keyledger/platform';
import { summaryOf, type ReviewSummary } from './review.view.js';

const REVIEWS = ['review-'] as const;
/** How long a list waits for what the log has said before this process began. */
const LONGEST_WAIT_MS = 5000;
const LOADS_AT_ONCE = 8;

interface Noted {
  revision: number;
  summary: ReviewSummary;
}

/**
 * Which access reviews there are. They are few, so the board is in memory: it follows the log for which have changed
 * and reads those again when somebody asks. A change by this process is noted before its answer goes out.
 */
export class ReviewBoard {
  private readonly noted = new Map<string, Noted>();
  /** Reviews that the log knows more of, by the revision that was seen there. */
  private readonly behind = new Map<string, number>();
  private readonly stopping = new AbortController();
  /** Set once the log cannot be followed: then no list can be said to be whole. */
  private broken = false;
  private caughtUp: () => void = () => undefined;
  private readonly live = new Promise<void>((resolve) => (this.caughtUp = resolve));

  constructor(
    private readonly store: Pick<EventStore, 'subscribe'>,
    private readonly decisions: Decisions,
    private readonly logger: Logger,
  ) {}

  /** Begins to follow the log. */
  start(): void {
    this.follow().catch((error: unknown) => {
      this.broken = true;
      this.logger.error({ err: error }, 'access reviews cannot be listed any more: an event cannot be read');
    });
  }

  stop(): void {
    this.stopping.abort();
  }

  /** What a command has just made of a review. */
  note(review: ReviewState, revision: number): void {
    const { reviewId } = review;
    if ((this.noted.get(reviewId)?.revision ?? -1) < revision) {
      this.noted.set(reviewId, { revision, summary: summaryOf(review) });
    }
    if ((this.behind.get(reviewId) ?? -1) <= revision) this.behind.delete(reviewId);
  }

  /** All reviews, newest first. @throws RefusalError 503 until the log was read; what a load throws */
  async list(): Promise<ReviewSummary[]> {
    await this.untilLive();
    if (this.broken) throw unavailable('The access reviews cannot be listed: an event of theirs cannot be read.', 60);
    const behind = [...this.behind.keys()];
    for (let at = 0; at < behind.length; at += LOADS_AT_ONCE) {
      await Promise.all(behind.slice(at, at + LOADS_AT_ONCE).map((reviewId) => this.load(reviewId)));
    }
    const summaries = [...this.noted.values()].map(({ summary }) => summary);
    return summaries.sort((one, other) => (nameOf(one) < nameOf(other) ? 1 : -1));
  }

  private async load(reviewId: string): Promise<void> {
    const { state, revision } = await this.decisions.load(reviewDecider, streams.review(reviewId));
    if (state) this.note(state, revision);
  }

  private async follow(): Promise<void> {
    const { signal } = this.stopping;
    for await (const { events, live } of this.store.subscribe({ after: 'start', streamPrefixes: REVIEWS, signal })) {
      for (const { stream, revision } of events) {
        const reviewId = stream.slice(REVIEWS[0].length);
        if ((this.noted.get(reviewId)?.revision ?? -1) < revision) this.behind.set(reviewId, revision);
      }
      if (live) this.caughtUp();
    }
  }

  private async untilLive(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const detail = 'The access reviews are still being read from the event store; ask again in a moment.';
      timer = setTimeout(() => reject(unavailable(detail)), LONGEST_WAIT_MS);
    });
    await Promise.race([this.live, late]).finally(() => clearTimeout(timer));
  }
}

/** In the order of their beginning. */
const nameOf = ({ startedAt, reviewId }: ReviewSummary): string => `${startedAt} ${reviewId}`;
