/**
 * The read model in Redis: keys and keyspaces folded from their events, looked up by a secret's hash, by id and by
 * lists. `ReadModel` is what api and verifier use, `Projector` what the worker runs: the ordered loop from the event
 * store, the rebuild of whole generations, the heartbeat without which nobody believes the model. Both write with the
 * same guarded steps, in any order and any number of times, on a single Redis, under Sentinel and on a Cluster. An
 * answer is the truth or a ReadModelUnavailable.
 */
export { ChannelDirectory, concerns, type KnownChannel } from './channels.js';
export { Checkpoints } from './checkpoints.js';
export { connectForQueues, connectRedis, type RedisClient } from './connect.js';
export { BadCursor } from './cursor.js';
export type { Page } from './listing.js';
export { DecoySightings, type DecoySighting, type TakenSighting } from './decoy-sightings.js';
export { DeadlineIndex, type DeadlineEntry, type Due, type Stretch } from './deadline-index.js';
export { HandedOver, type StandingKey } from './handed-over.js';
export { IdempotencyStash, type Claim } from './idempotency-stash.js';
export type { KeyRead } from './kept-records.js';
export { IncidentIndex, type IncidentQuery } from './incident-index.js';
export type { LedgerSource } from './project.js';
export { listedOf, NotificationIndex } from './notifications.js';
export { PROJECTION_VERSION } from './projection.js';
export { Projector, type ProjectorOptions } from './projector.js';
export { ReadModel } from './read-model.js';
export type { Projected } from './records.js';
export { Tenure, TenureLost } from './tenure.js';
export { ReadModelUnavailable } from './unavailable.js';
export { UsageStore, type CountedUses } from './usage-store.js';
export type { ReadModelView } from './view.js';
