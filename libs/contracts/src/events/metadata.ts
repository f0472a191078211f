import type { Instant } from '../time.js';

/**
 * Who caused a change: a management credential or a key's own holder (`key`, id is the keyId), a part of the system
 * itself (`system`), or time (`clock`).
 */
export interface Actor {
  type: 'key' | 'system' | 'clock';
  id: string;
  /** The person or service for whom the actor says it acts. */
  onBehalfOf?: string;
}

/** Who, when, why and from where: comes with every command, and with it into every event. */
export interface CommandContext {
  /** Names one intent. A command repeated under the same id has the same outcome and appends nothing new. */
  commandId: string;
  /** SHA-256 of what was asked, so that a command id used for another request is noticed. */
  fingerprint?: string;
  now: Instant;
  actor: Actor;
  reason: string;
  requestId: string;
  correlationId?: string;
  causationId?: string;
  clientAddress?: string;
  userAgent?: string;
}

/** What is stored beside the data of every event. The two `$` names are those that EventStoreDB's own tools know. */
export interface EventMetadata {
  schemaVersion: number;
  commandId: string;
  fingerprint?: string;
  actor: Actor;
  reason: string;
  requestId: string;
  $correlationId: string;
  $causationId: string;
  clientAddress?: string;
  userAgent?: string;
}
