import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What comes one after the other and is written in lots: the first at once, what comes within a while after it together.
 * So a sync of files is shared by many, what is waiting can be small, and who brings it need not wait.
 */
export class Gathering<T> {
  private items: T[] = [];
  private live = false;
  private news = false;
  private writing: Promise<void> | undefined;
  private failure: { error: unknown } | undefined;
  private readonly over = new AbortController();

  /**
   * @param write writes a lot, which may be empty; `live` is what was said with the last of it
   * @param most so many wait at most: who brings more waits himself
   * @param onFailure told when a write has failed, after which nothing is written any more
   */
  constructor(
    private readonly write: (items: readonly T[], live: boolean) => Promise<void>,
    private readonly everyMs: number,
    private readonly most: number,
    private readonly onFailure: () => void,
  ) {}

  /** Resolves when there is room for more. @throws what a write has failed with */
  async add(items: readonly T[], live: boolean): Promise<void> {
    for (const one of items) this.items.push(one);
    this.live = live;
    this.news = true;
    this.writing ??= this.next();
    while (this.items.length >= this.most && !this.failure && !this.over.signal.aborted) await this.writing;
    if (this.failure) throw this.failure.error;
  }

  /** Writes nothing more. Resolves when no write is under way. @throws what a write has failed with */
  async end(): Promise<void> {
    this.over.abort();
    await this.writing;
    if (this.failure) throw this.failure.error;
  }

  /** One write, and the while after it. */
  private async next(): Promise<void> {
    const { items, live } = this;
    this.items = [];
    this.news = false;
    try {
      await this.write(items, live);
    } catch (error) {
      this.failure = { error };
      this.onFailure();
      return;
    }
    await sleep(this.everyMs, undefined, { signal: this.over.signal, ref: false }).catch(() => undefined);
    this.writing = this.news && !this.over.signal.aborted ? this.next() : undefined;
  }
}
