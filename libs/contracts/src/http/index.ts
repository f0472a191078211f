/**
 * Bodies and queries of the management API: what callers may write, with the checks that say what is wrong and what
 * would be right, and what they get back. Apart from the rest of contracts because classes with decorators bring
 * class-validator and @nestjs/swagger with them, which only the api can use.
 */
export * from './fields.js';
export * from './page.dto.js';
export * from './problem.dto.js';
export * from './keyspaces.dto.js';
export * from './keys.dto.js';
export * from './key-views.dto.js';
export * from './bulk.dto.js';
export * from './leaks.dto.js';
export * from './privacy.dto.js';
export * from './channels.dto.js';
export * from './notifications.dto.js';
export * from './system.dto.js';
export * from './audit.dto.js';
export * from './cloud-events.dto.js';
export * from './deliveries.dto.js';
export * from './reports.dto.js';
export * from './reviews.dto.js';
export * from './audit-proof.dto.js';
