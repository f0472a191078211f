import type { Refusal } from '@keyledger/contracts';

/** What a decision gives: the events to append (none: everything is already so), or why not. */
export type Decision<E> = { accepted: true; events: E[] } | { accepted: false; refusal: Refusal };

/**
 * The rules of one kind of stream. `decide` sees the state that all events so far give and must be pure; `evolve` must
 * accept every event that `decide` ever gave, in every version, and must not check rules: what happened has happened.
 */
export interface Decider<C, S, E> {
  initialState: S;
  decide(command: C, state: S): Decision<E>;
  evolve(state: S, event: E): S;
}

export const accept = <E>(...events: E[]): Decision<E> => ({ accepted: true, events });
export const refuse = <E>(refusal: Refusal): Decision<E> => ({ accepted: false, refusal });

/** Folds events in order onto a state. */
export function fold<S, E>(evolve: (state: S, event: E) => S, state: S, events: Iterable<E>): S {
  for (const event of events) state = evolve(state, event);
  return state;
}
