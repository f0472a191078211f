import { describe, expect, it } from '@jest/globals';
import { EventEmitter, once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Gathering } from './gathering.js';

const SHORT_MS = 1;

function recorded({ everyMs = SHORT_MS, most = 100 } = {}) {
  const lots: { items: readonly number[]; live: boolean }[] = [];
  const ends: ((error?: Error) => void)[] = [];
  const told = new EventEmitter();
  let failures = 0;
  const write = (items: readonly number[], live: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      lots.push({ items, live });
      ends.push((error) => (error ? reject(error) : resolve()));
      told.emit('write');
    });
  const gathering = new Gathering<number>(write, everyMs, most, () => (failures += 1));
  return { gathering, lots, ends, written: () => once(told, 'write'), failures: () => failures };
}

describe('what is gathered', () => {
  it('is written at once if nothing is under way, and what comes meanwhile together behind it, in its order', async () => {
    const { gathering, lots, ends, written } = recorded();
    await gathering.add([1], false);
    expect(lots).toEqual([{ items: [1], live: false }]);
    await gathering.add([2, 3], false);
    await gathering.add([4], true);
    await turn();
    expect(lots).toHaveLength(1);
    const second = written();
    ends[0]?.();
    await second;
    expect(lots[1]).toEqual({ items: [2, 3, 4], live: true });
    ends[1]?.();
    await gathering.end();
  });

  it('is no more than so much: who brings more waits until the next of it is written', async () => {
    const { gathering, ends, written } = recorded({ most: 2 });
    await gathering.add([1], false);
    let done = false;
    const adding = gathering.add([2, 3], false).then(() => (done = true));
    await turn();
    expect(done).toBe(false);
    const second = written();
    ends[0]?.();
    await second;
    await adding;
    ends[1]?.();
    await gathering.end();
  });

  it('is written no more once a write has failed, and whoever brings more or ends it hears of that', async () => {
    const { gathering, lots, ends, failures } = recorded();
    await gathering.add([1], false);
    const held = gathering.add([2], false);
    await held;
    ends[0]?.(new RangeError('the disk is full'));
    await expect(gathering.end()).rejects.toThrow('the disk is full');
    await expect(gathering.add([3], true)).rejects.toThrow('the disk is full');
    expect(lots).toHaveLength(1);
    expect(failures()).toBe(1);
  });

  it('ends with the write that is under way, and no sooner', async () => {
    const { gathering, lots, ends } = recorded({ everyMs: 60_000 });
    await gathering.add([1], false);
    await gathering.add([2], true);
    let done = false;
    const ending = gathering.end().then(() => (done = true));
    await turn();
    expect(done).toBe(false);
    ends[0]?.();
    await ending;
    expect(lots).toHaveLength(1);
  });
});
