/** No turn came in time, or too many wait for one. */
export class NoTurn extends Error {}

interface Waiting {
  count: number;
  begin: () => void;
}

/** At most `width` at once; the others wait in the order in which they came, at most `maxWaiting` of them. */
export class Turns {
  private taken = 0;
  private asked = 0;
  private readonly waiting = new Set<Waiting>();

  constructor(
    private readonly width: number,
    private readonly maxWaiting: number,
  ) {}

  /**
   * Resolves with the function that gives the turns back; calling it again does nothing.
   * @param count so many turns, all or none; at most `width`
   * @throws NoTurn
   */
  async take(timeoutMs: number, count = 1): Promise<() => void> {
    // Not past somebody who waits for more than is free.
    if (this.waiting.size === 0 && this.taken + count <= this.width) this.taken += count;
    else await this.wait(timeoutMs, count);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.taken -= count;
      this.pass();
    };
  }

  private wait(timeoutMs: number, count: number): Promise<void> {
    if (this.asked + count > this.maxWaiting) throw new NoTurn(`${this.asked} wait already`);
    return new Promise((resolve, reject) => {
      const one = {
        count,
        begin: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.leave(one);
        reject(new NoTurn(`no turn within ${Math.round(timeoutMs)} ms`));
        // Who came later may want less.
        this.pass();
      }, timeoutMs);
      this.waiting.add(one);
      this.asked += count;
    });
  }

  private pass(): void {
    for (const one of this.waiting) {
      if (this.taken + one.count > this.width) return;
      this.taken += one.count;
      this.leave(one);
      one.begin();
    }
  }

  private leave(one: Waiting): void {
    this.waiting.delete(one);
    this.asked -= one.count;
  }
}
