import { expect, it } from '@jest/globals';
import { Allowance } from './allowance.js';

const allowance = (perAddress: number, altogether: number) => {
  let now = 0;
  const own = new Allowance({ perAddress, altogether }, () => now);
  return { take: (address: string) => own.take(address), pass: (ms: number) => (now += ms) };
};

it('an address may do so much in a minute, and then again as time passes', () => {
  const { take, pass } = allowance(2, 100);
  expect([take('a'), take('a'), take('a'), take('b')]).toEqual([0, 0, 30, 0]);
  pass(29_000);
  expect(take('a')).toBe(1);
  pass(1000);
  expect([take('a'), take('a')]).toEqual([0, 30]);
});

it('all addresses together may do so much', () => {
  const { take } = allowance(10, 3);
  expect(['a', 'b', 'c', 'd'].map(take)).toEqual([0, 0, 0, 20]);
});

it('whoever is refused uses nothing up', () => {
  const { take, pass } = allowance(1, 2);
  take('a');
  for (let n = 0; n < 50; n++) take('a');
  expect(take('b')).toBe(0);
  pass(60_000);
  expect([take('a'), take('b')]).toEqual([0, 0]);
});

it('the addresses of one IPv6 network share what they may do', () => {
  const { take } = allowance(1, 100);
  expect([take('2001:db8::1'), take('2001:DB8:0:0:ffff::2'), take('2001:db8:0:1::1'), take('::1')]).toEqual([
    0, 60, 0, 0,
  ]);
});
