import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NoTurn, Turns } from './turns.js';

const LONG_MS = 60_000;

describe('turns', () => {
  it('are never taken by more than their width, are given in the order of asking, and all come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.record({ ticks: fc.integer({ min: 0, max: 3 }), wanted: fc.integer({ min: 1, max: 5 }) })),
        async (width, work) => {
          const turns = new Turns(width, 5 * work.length);
          const begun: number[] = [];
          let inside = 0;
          await Promise.all(
            work.map(async ({ ticks, wanted }, index) => {
              const count = Math.min(wanted, width);
              const giveBack = await turns.take(LONG_MS, count);
              begun.push(index);
              inside += count;
              expect(inside).toBeLessThanOrEqual(width);
              for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
              inside -= count;
              giveBack();
              giveBack();
            }),
          );
          expect(begun).toEqual(work.map((_, index) => index));
        },
      ),
    );
  });

  it('are not waited for longer than asked, and a turn given up is nobody’s loss', async () => {
    const turns = new Turns(1, 10);
    const giveBack = await turns.take(LONG_MS);
    await expect(turns.take(1)).rejects.toThrow(NoTurn);
    giveBack();
    (await turns.take(1))();
    (await turns.take(1))();
  });

  it('that are many are not overtaken by one that would fit, and hold nobody up once they are given up', async () => {
    const turns = new Turns(2, 10);
    const giveBack = await turns.take(LONG_MS);
    const both = turns.take(1, 2);
    const one = turns.take(LONG_MS);
    await expect(both).rejects.toThrow(NoTurn);
    (await one)();
    giveBack();
  });

  it('are refused at once when too many wait', async () => {
    const turns = new Turns(1, 1);
    const giveBack = await turns.take(LONG_MS);
    const second = turns.take(LONG_MS);
    await expect(turns.take(LONG_MS)).rejects.toThrow('1 wait already');
    giveBack();
    (await second)();
  });
});
