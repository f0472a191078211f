/**
 * Every name and shape that leaves a process, written once: events and their metadata, HTTP bodies and problem codes,
 * verdicts, management scopes, names of streams, headers and Redis keys. Nothing here does I/O and nothing here imports
 * another of our libraries, so the browser console may use it too.
 */
export * from './time.js';
export * from './words.js';
export * from './refusals.js';
export * from './scopes.js';
export * from './names.js';
export * from './personal.js';
export * from './redis-names.js';
export * from './delivered-secret.js';
export * from './embedded-store.js';
export * from './verify.js';
export * from './events/metadata.js';
export * from './events/subject.events.js';
export * from './events/key.events.js';
export * from './events/keyspace.events.js';
export * from './events/leak.events.js';
export * from './events/channel.events.js';
export * from './events/delivery.events.js';
export * from './events/usage.events.js';
export * from './events/audit.events.js';
export * from './events/bulk.events.js';
export * from './events/review.events.js';
export * from './events/checkpoint.events.js';
export * from './events/catalog.js';
