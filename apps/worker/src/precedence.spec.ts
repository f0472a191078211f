import { afterEach, expect, it, jest } from '@jest/globals';
import { Precedence } from './precedence.js';

afterEach(() => {
  jest.restoreAllMocks();
});

/** A projector of which each look tells the next of these, four seconds after the one before; the last stays. */
function given(states: readonly { vouching: boolean; done: number }[]) {
  let looks = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => 4000 * looks);
  const state = () => states[Math.min(looks++, states.length - 1)] as (typeof states)[number];
  const projector = { state } as unknown as ConstructorParameters<typeof Precedence>[0];
  return { precedence: new Precedence(projector), looks: () => looks };
}

const behind = (done: number) => ({ vouching: false, done });
const current = { vouching: true, done: 0 };

it('nothing steps back for a projector that is current', async () => {
  const { precedence, looks } = given([current]);
  await precedence.turn(new AbortController().signal);
  expect([looks(), precedence.isTaken()]).toEqual([1, false]);
});

it('a projector that comes forward is stepped back for until it is current, however long that takes', async () => {
  const { precedence, looks } = given([1, 2, 3, 4, 5, 6].map(behind).concat(current));
  await precedence.turn(new AbortController().signal);
  expect(looks()).toBe(7);
});

it('one that stands still is stepped back for no longer than five seconds, once for all, until it moves again', async () => {
  const { precedence, looks } = given([1, 2, 2, 2, 2, 3].map(behind));
  await precedence.turn(new AbortController().signal);
  expect(looks()).toBe(4);
  await precedence.turn(new AbortController().signal);
  expect(looks()).toBe(5);
  expect(precedence.isTaken()).toBe(true);
});

it('whoever has to stop does not wait for his turn', async () => {
  const { precedence } = given([1, 2, 3].map(behind));
  await precedence.turn(AbortSignal.abort());
});
