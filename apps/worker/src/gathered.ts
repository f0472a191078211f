interface Asked<T, R> {
  item: T;
  answer: (result: R) => void;
  fail: (error: unknown) => void;
}

/**
 * Brings together what many jobs ask one at a time: the first goes at the end of its turn of the event loop, and what
 * comes while it is under way goes together when that is back. So nobody waits who is alone, and under load a round trip,
 * with all that it costs both ends, is shared.
 */
export class Gathered<T, R> {
  private asked: Asked<T, R>[] = [];
  private underWay = false;

  /**
   * @param work gives a result for each item, in their order; what it throws all of them get
   * @param most how many it takes at once
   */
  constructor(
    private readonly work: (items: readonly T[]) => Promise<readonly R[]>,
    private readonly most: number,
  ) {}

  ask(item: T): Promise<R> {
    return new Promise((answer, fail) => {
      this.asked.push({ item, answer, fail });
      if (this.underWay) return;
      this.underWay = true;
      setImmediate(() => void this.send());
    });
  }

  private async send(): Promise<void> {
    while (this.asked.length > 0) {
      const asked = this.asked.splice(0, this.most);
      try {
        const results = await this.work(asked.map(({ item }) => item));
        for (const [index, { answer }] of asked.entries()) answer(results[index] as R);
      } catch (error) {
        for (const { fail } of asked) fail(error);
      }
    }
    this.underWay = false;
  }
}
