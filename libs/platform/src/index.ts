/**
 * What every process of ours needs and none is about: its configuration, its log with the secrets taken out, its HTTP
 * server with health, metrics, problem answers and the guard of the management routes, its clock, its ids and the
 * digests of keys. Nest and Fastify are set up here, so that an app is a module, its routes and one call.
 */
export * from './auth.js';
export * from './clock.js';
export * from './config.js';
export * from './digests.js';
export * from './failed-credentials.js';
export * from './health.js';
export * from './http-app.js';
export * from './ids.js';
export * from './log-allowance.js';
export * from './logger.js';
export * from './metrics.js';
export * from './parent.js';
export * from './personal-data.js';
export * from './problem.js';
export * from './process.js';
export * from './redact.js';
export * from './request-context.js';
export * from './sealing.js';
export * from './settings.js';
export * from './subject-keys.js';
export * from './validation.js';
export * from './version.js';
