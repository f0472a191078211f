import { describe, expect, it } from '@jest/globals';
import { keepLease, LeaseLost } from './lease.js';

const RENEW_EVERY_MS = 5;
const unreachable = new Error('Command timed out');

/** Keeps a lease whose renewals end as told, the last of them again and again; `enough` is called with how many there were. */
async function keep(
  outcomes: (boolean | Error | 'never')[],
  { holdsMs = 60_000, enough = 1000 }: { holdsMs?: number; enough?: number } = {},
): Promise<{ renewals: number; tookMs: number; lost: unknown }> {
  const end = new AbortController();
  const takenAt = performance.now();
  let renewals = 0;
  const extend = async (): Promise<boolean> => {
    const outcome = outcomes[Math.min(renewals, outcomes.length - 1)];
    if (++renewals >= enough) end.abort();
    if (outcome === 'never') return new Promise<boolean>(() => undefined);
    if (outcome instanceof Error) throw outcome;
    return outcome as boolean;
  };
  const lost: unknown = await keepLease({ takenAt, holdsMs, renewEveryMs: RENEW_EVERY_MS, extend }, end.signal).catch(
    (error: unknown) => error,
  );
  return { renewals, tookMs: performance.now() - takenAt, lost };
}

describe('a lease', () => {
  it('outlasts renewals that fail while the last good one holds', async () => {
    expect(await keep([true, unreachable, unreachable, true], { enough: 12 })).toMatchObject({
      renewals: 12,
      lost: undefined,
    });
  });

  it('is lost when none succeeds before its time is over, and not sooner', async () => {
    const { renewals, tookMs, lost } = await keep([unreachable], { holdsMs: 80 });
    expect(lost).toBeInstanceOf(LeaseLost);
    expect(renewals).toBeGreaterThan(1);
    expect(tookMs).toBeGreaterThanOrEqual(80);
  });

  it('is lost at the end of its time also where a renewal is never answered', async () => {
    const { renewals, lost } = await keep(['never'], { holdsMs: 80 });
    expect(lost).toBeInstanceOf(LeaseLost);
    expect(renewals).toBe(1);
  });

  it('is lost at once when it is found to be another’s', async () => {
    expect(await keep([true, false])).toMatchObject({ renewals: 2, lost: expect.any(LeaseLost) });
  });
});
