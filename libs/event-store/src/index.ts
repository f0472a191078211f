/**
 * The way to the event store, and the only home of its client library. `EventStore` has three verbs: load a stream,
 * append behind the revision that was read, subscribe to the log from a position. What the client and the network do to
 * a caller (hanging calls, lost answers, dropped subscriptions, five classes for one error) ends in here. `Decisions`
 * runs a command of the domain on a stream, once, however often it is sent. What a proof is made of, events exactly as
 * they are stored, `subscribeStored` and `readStored` give.
 */
export * from './errors.js';
export { EventStore } from './event-store.js';
export { type EventBatch } from './feed.js';
export { type NewEvent, type StoredEvent } from './codec.js';
export { Decisions, type CommandOn, type Outcome } from './decisions.js';
export { metadataOf } from './new-events.js';
