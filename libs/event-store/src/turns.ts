/** No turn came in time, or too many wait for one. */
export class NoTurn extends Error {}

/** At most `width` at once; the others wait in the order in which they came, at most `maxWaiting` of them. */
export class Turns {
  private taken = 0;
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly width: number,
    private readonly maxWaiting: number,
  ) {}

  /** Resolves with the function that gives the turn back; calling it again does nothing. @throws NoTurn */
  async take(timeoutMs: number): Promise<() => void> {
    if (this.taken < this.width) this.taken += 1;
    else await this.wait(timeoutMs);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.pass();
    };
  }

  private wait(timeoutMs: number): Promise<void> {
    if (this.waiting.size >= this.maxWaiting) throw new NoTurn(`${this.waiting.size} wait already`);
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.waiting.delete(turn);
        reject(new NoTurn(`no turn within ${Math.round(timeoutMs)} ms`));
      }, timeoutMs);
      this.waiting.add(turn);
    });
  }

  private pass(): void {
    const [next] = this.waiting;
    if (!next) {
      this.taken -= 1;
      return;
    }
    this.waiting.delete(next);
    next();
  }
}
