/**
 * The answer to "is this key good?", once, for every process that gives it: the look-up of a presented text, the
 * verification of customers' keys with what the caller may see, the management credentials, and the two HTTP routes
 * over them. It reads Redis and nothing else, and keeps no verdict.
 */
export * from './credentials.js';
export * from './decoys.js';
export * from './find-key.js';
export * from './readiness.js';
export * from './routes.js';
export * from './usage-meter.js';
export * from './verification.js';
export * from './witnesses.js';
