import { NotReady } from './health.js';

export const PATIENCE_SECONDS = 120;

/**
 * How long services are waited for that do not come up: two minutes since any of them was seen to come forward. One for all
 * that start together, since they wait for what another of them does.
 */
export class Patience {
  /** How far each part of each of them has come at most: one that has got there, or begins anew, hides none of the others. */
  private readonly most = new Map<string, number>();
  private endsAt = -Infinity;

  get isOver(): boolean {
    return Date.now() >= this.endsAt;
  }

  renew(): void {
    this.endsAt = Date.now() + PATIENCE_SECONDS * 1000;
  }

  /** What a service has answered when it was asked whether it is ready. */
  hear(service: string, answer: Error): void {
    if (!(answer instanceof NotReady)) return;
    for (const [part, done] of Object.entries(answer.done)) {
      const name = `${service} ${part}`;
      if (done <= (this.most.get(name) ?? 0)) continue;
      this.most.set(name, done);
      this.renew();
    }
  }
}
