/**
 * What Keyledger knows about keys, as pure functions: `decide` turns a command and a state into events or a refusal,
 * `evolve` folds events into a state, `judge` says whether a presented key is good at an instant. No I/O, no clock, no
 * randomness: time, ids and random bytes come in from outside, so a replay gives the same answers as the day itself.
 */
export * from './decider.js';
export * from './key-format.js';
export * from './key.state.js';
export * from './key.decider.js';
export * from './key.leak.js';
export * from './leak.decider.js';
export * from './subject.decider.js';
export * from './bulk.decider.js';
export * from './deadlines.js';
export * from './delivery.decider.js';
export * from './keyspace.decider.js';
export * from './review.decider.js';
export { lengthBehind } from './keyspace.terms.js';
export * from './rotation-outlook.js';
export * from './usage.decider.js';
export * from './channel.decider.js';
export { urlErrors } from './channel.target.js';
export * from './notification.decider.js';
export * from './news.js';
export * from './network.js';
export * from './scope.js';
export * from './judge.js';
