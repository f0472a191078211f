import { describe, expect, it } from '@jest/globals';
import { Gathered } from './gathered.js';

function recorded(most = 100) {
  const batches: number[][] = [];
  const gathered = new Gathered<number, number>(async (items) => {
    batches.push([...items]);
    await new Promise((resolve) => setImmediate(resolve));
    if (items.includes(13)) throw new RangeError('13');
    return items.map((item) => item * 2);
  }, most);
  return { batches, gathered };
}

describe('Gathered', () => {
  it('gives each asker its own answer, and takes what is asked in one turn together', async () => {
    const { batches, gathered } = recorded();
    expect(await Promise.all([1, 2, 3].map((one) => gathered.ask(one)))).toEqual([2, 4, 6]);
    expect(batches).toEqual([[1, 2, 3]]);
  });

  it('takes what comes while a batch is under way together behind it', async () => {
    const { batches, gathered } = recorded();
    const first = gathered.ask(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await Promise.all([first, gathered.ask(2), gathered.ask(3)])).toEqual([2, 4, 6]);
    expect(batches).toEqual([[1], [2, 3]]);
  });

  it('takes no more at once than it may', async () => {
    const { batches, gathered } = recorded(2);
    await Promise.all([1, 2, 3, 4, 5].map((one) => gathered.ask(one)));
    expect(batches).toEqual([[1, 2], [3, 4], [5]]);
  });

  it('tells a failure to those of its batch only, and goes on', async () => {
    const { gathered } = recorded(2);
    const results = await Promise.allSettled([1, 13, 3].map((one) => gathered.ask(one)));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(await gathered.ask(4)).toBe(8);
  });
});
