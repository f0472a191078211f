import { describe, expect, it } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import { Lanes } from './lanes.js';

describe('lanes', () => {
  it('hold so much work at once and no more, begin it in the order in which it came, and are free again after a failure', async () => {
    const lanes = new Lanes(2);
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const all = [0, 1, 2, 3, 4].map((nth) =>
      lanes.within(async () => {
        begun.push(nth);
        await new Promise<void>((resolve) => (ends[nth] = resolve));
        if (nth === 0) throw new RangeError('0');
        return nth;
      }),
    );
    const outcomes = Promise.allSettled(all);
    for (const [nth, expected] of [
      [0, 1],
      [0, 1, 2],
      [0, 1, 2, 3],
      [0, 1, 2, 3, 4],
    ].entries()) {
      await turn();
      expect(begun).toEqual(expected);
      ends[nth]?.();
    }
    await turn();
    ends[4]?.();
    expect((await outcomes).map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ]);
  });
});
