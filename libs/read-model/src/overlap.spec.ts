import { describe, expect, it } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import { Overlap } from './overlap.js';

/** A batch whose writing ends when the test says so. */
function batch(name: string, told: string[], streams: string[] = [name]) {
  let resolve = (): void => undefined;
  let reject = (_: Error): void => undefined;
  const promise = new Promise<void>((onWritten, onFailed) => {
    resolve = onWritten;
    reject = onFailed;
  });
  const work = async (): Promise<void> => {
    told.push(`${name} begun`);
    await promise;
  };
  const settle = async (): Promise<void> => void told.push(`${name} settled`);
  return { streams, work, settle, write: () => resolve(), fail: (error: Error) => reject(error) };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

describe('Overlap', () => {
  it('begins a batch before the one ahead is written, and settles them in their order all the same', async () => {
    const told: string[] = [];
    const [one, two] = [batch('one', told), batch('two', told)];
    const overlap = new Overlap(2);
    await overlap.begin(one.streams, one.work, one.settle);
    const second = overlap.begin(two.streams, two.work, two.settle);
    two.write();
    await turns();
    expect(told).toEqual(['one begun', 'two begun']);
    one.write();
    await Promise.all([second, overlap.end()]);
    expect(told).toEqual(['one begun', 'two begun', 'one settled', 'two settled']);
  });

  it('begins no batch while one ahead that shares a stream with it is not settled', async () => {
    const told: string[] = [];
    const [one, two] = [batch('one', told, ['a', 'b']), batch('two', told, ['b', 'c'])];
    const overlap = new Overlap(3);
    await overlap.begin(one.streams, one.work, one.settle);
    const second = overlap.begin(two.streams, two.work, two.settle);
    await turns();
    expect(told).toEqual(['one begun']);
    one.write();
    await second;
    expect(told).toEqual(['one begun', 'one settled', 'two begun']);
    two.write();
    await overlap.end();
  });

  it('has no more batches at work than it may', async () => {
    const told: string[] = [];
    const [one, two, three] = [batch('one', told), batch('two', told), batch('three', told)];
    const overlap = new Overlap(2);
    const all = (async () => {
      for (const each of [one, two, three]) await overlap.begin(each.streams, each.work, each.settle);
    })();
    await turns();
    expect(told).toEqual(['one begun', 'two begun']);
    for (const each of [one, two, three]) each.write();
    await all;
    await overlap.end();
    expect(told.at(-1)).toBe('three settled');
  });

  it('settles nothing behind a failure, says so, and ends only when all work has ended', async () => {
    const told: string[] = [];
    const [one, two] = [batch('one', told), batch('two', told)];
    const overlap = new Overlap(3, () => told.push('failed'));
    await overlap.begin(one.streams, one.work, one.settle);
    await overlap.begin(two.streams, two.work, two.settle);
    one.fail(new Error('Redis is gone'));
    const ended = overlap.end().catch((error: unknown) => told.push(String(error)));
    await turns();
    expect(told).toEqual(['one begun', 'two begun', 'failed']);
    two.write();
    await ended;
    expect(told.filter((line) => line.includes('settled'))).toEqual([]);
    expect(told).toContain('Error: Redis is gone');
  });
});
