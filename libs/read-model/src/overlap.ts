interface AtWork {
  streams: ReadonlySet<string>;
  settled: Promise<void>;
}

/**
 * Batches of one ordered log, several at work at a time: while Redis writes one, the next is decoded and folded. What
 * order there must be is kept: batches that share a stream follow one another, and each is settled (that is where
 * checkpoints move) only when it and all before it are written. After a failure nothing is settled any more.
 */
export class Overlap {
  private readonly atWork: AtWork[] = [];
  private last: Promise<void> = Promise.resolve();

  /**
   * @param width batches at work at most.
   * @param onFailure told of failures, for whoever waits for news of the log and not for this.
   */
  constructor(
    private readonly width: number,
    private readonly onFailure: () => void = () => undefined,
  ) {}

  /**
   * Resolves when the batch is at work and there is room to begin another.
   * @throws what an earlier batch failed with, where it had to wait for that.
   */
  async begin(streams: readonly string[], work: () => Promise<void>, settle: () => Promise<void>): Promise<void> {
    await this.atWork.findLast((other) => streams.some((stream) => other.streams.has(stream)))?.settled;
    const settled = inOrder(this.last, work, settle);
    this.last = settled;
    this.atWork.push({ streams: new Set(streams), settled });
    settled.then(() => this.atWork.shift(), this.onFailure);
    if (this.atWork.length >= this.width) await this.atWork[0]?.settled;
  }

  /** Resolves when nothing is at work any more. @throws what the first failure was. */
  end(): Promise<void> {
    return this.last;
  }
}

async function inOrder(before: Promise<void>, work: () => Promise<void>, settle: () => Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled([before, work()]);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  await settle();
}
