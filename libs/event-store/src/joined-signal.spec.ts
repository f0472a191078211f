import { expect, it } from '@jest/globals';
import { getEventListeners } from 'node:events';
import { joinedSignal } from './joined-signal.js';

it('a joined signal aborts with the first of its own, at once where one has, and no more once it is let go', () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const joined = joinedSignal(one.signal, undefined, other.signal);
  const left = joinedSignal(one.signal, other.signal);
  left.letGo();
  expect(joined.signal.aborted).toBe(false);
  other.abort('enough');
  expect([joined.signal.reason, left.signal.aborted]).toEqual(['enough', false]);
  expect(joinedSignal(one.signal, other.signal).signal.reason).toBe('enough');
  joined.letGo();
  expect(getEventListeners(other.signal, 'abort')).toHaveLength(0);
});
