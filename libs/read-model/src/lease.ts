import { setTimeout as sleep } from 'node:timers/promises';

/** A lease that was taken and is to be kept for as long as some work takes. */
export interface HeldLease {
  /** When it was asked for, by `performance.now()`: from then on it holds for `holdsMs` at least. */
  takenAt: number;
  holdsMs: number;
  renewEveryMs: number;
  /** Makes it hold for `holdsMs` from now on; `false` if it is another's or nobody's. @throws if that cannot be said */
  extend: () => Promise<boolean>;
}

/** The lease is another's, or may be. */
export class LeaseLost extends Error {
  constructor(why: string) {
    super(`the lease was lost: ${why}`);
    this.name = 'LeaseLost';
  }
}

/** A renewal that failed is tried again after this part of the usual time. */
const SOONER = 5;

/**
 * Renews a lease until the signal aborts. A renewal that fails does no harm while the last good one still holds.
 * @throws LeaseLost at the latest when it can no longer be said to hold
 */
export async function keepLease(lease: HeldLease, signal: AbortSignal): Promise<void> {
  const { takenAt, holdsMs, renewEveryMs, extend } = lease;
  let holdsUntil = takenAt + holdsMs;
  let pause = renewEveryMs;
  for (;;) {
    await sleep(Math.min(pause, Math.max(holdsUntil - performance.now(), 0)), undefined, { signal }).catch(
      () => undefined,
    );
    if (signal.aborted) return;
    const asked = performance.now();
    if (asked >= holdsUntil) throw new LeaseLost('it could not be renewed in time');
    const held = await Promise.race([extend().catch(() => undefined), endOf(holdsUntil - asked)]);
    if (held === 'late') throw new LeaseLost('it could not be renewed in time');
    if (held === false) throw new LeaseLost('another has it, or Redis has forgotten it');
    pause = held === undefined ? renewEveryMs / SOONER : renewEveryMs;
    if (held) holdsUntil = asked + holdsMs;
  }
}

/** An answer that comes later than this is none. A timer takes whole milliseconds, and cuts off what is beyond them. */
function endOf(ms: number): Promise<'late'> {
  return sleep(Math.ceil(ms), 'late' as const, { ref: false });
}
