import type { Duration } from './time.js';

/** Words with a closed list of values, as they stand in events, in Redis and over HTTP. */

export const OWNER_TYPES = ['application', 'account', 'service', 'agent'] as const;
export type OwnerType = (typeof OWNER_TYPES)[number];

/** Whom a key identifies: an application or account, never an end user. */
export interface Owner {
  id: string;
  type: OwnerType;
  contact?: OwnerContact;
}

/** Who can be asked about an owner's keys. In events and in Redis encrypted, see `personal.ts`; never in a verdict. */
export interface OwnerContact {
  name?: string;
  email?: string;
}

/** A secret key stays on servers; a publishable key may be seen by anybody and must be restricted. */
export const KEY_KINDS = ['secret', 'publishable'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** The state of a key at a moment: `pending` and `expired` follow from time, the others were decided. */
export const KEY_STATES = ['pending', 'active', 'suspended', 'expired', 'revoked'] as const;
export type KeyStateName = (typeof KEY_STATES)[number];

export const REVOCATION_REASONS = [
  'superseded',
  'compromised',
  'leaked',
  'offboarding',
  'unused',
  'abuse',
  'policy',
  'closed',
  'other',
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

/** What a verification says, in the order in which it is decided. */
export const VERDICT_CODES = [
  'NOT_FOUND',
  'REVOKED',
  'SUSPENDED',
  'NOT_YET_VALID',
  'EXPIRED',
  'FORBIDDEN',
  'INSUFFICIENT_SCOPE',
  'RATE_LIMITED',
  'QUOTA_EXCEEDED',
  'VALID',
] as const;
export type VerdictCode = (typeof VERDICT_CODES)[number];

/** Where a key may be used from. An absent list allows everything; an empty list is refused as input. */
export interface Restrictions {
  /** CIDR blocks or single addresses, IPv4 or IPv6. */
  addresses?: string[];
  /** Web origins, `scheme://host[:port]`, the host optionally starting with `*.`. */
  origins?: string[];
}

/** Replaces a key's secret every so often: by telling its owner, or by itself where a receiver takes the new one. */
export interface RotationPolicy {
  every: Duration;
  grace: Duration;
  mode: 'announce' | 'automatic';
}

/** What happens to a key of ours that was found where it should not be: `rotate:` ends its secret after that grace. */
export type LeakResponse = 'revoke' | 'suspend' | 'alert' | `rotate:${Duration}`;

/** How far an incident is: `unmatched` is about no key of ours, `open` about one and not closed. */
export const LEAK_STATES = ['unmatched', 'open', 'resolved'] as const;
export type LeakStateName = (typeof LEAK_STATES)[number];

/** What was done to a key that was found; `ends-soon`: the found secret got an end. */
export const LEAK_ACTIONS = ['revoked', 'suspended', 'grace-ended', 'ends-soon', 'alerted', 'none'] as const;
export type LeakAction = (typeof LEAK_ACTIONS)[number];

/** Why nothing was done: the key or the secret was over before. */
export const LEAK_NO_ACTION_REASONS = ['revoked', 'expired', 'secret-over'] as const;
export type LeakNoActionReason = (typeof LEAK_NO_ACTION_REASONS)[number];

/** The formats in which scanners take their rules. */
export const SCANNER_FORMATS = ['gitleaks', 'trufflehog', 'secretlint'] as const;
export type ScannerFormat = (typeof SCANNER_FORMATS)[number];

/** Where a leak report came from. */
export const LEAK_SOURCES = ['report', 'found', 'github', 'scan', 'honeykey'] as const;
export type LeakSource = (typeof LEAK_SOURCES)[number];

/** Those that an authorised reporter may name: seen by somebody, or by a scan. */
export const REPORTED_SOURCES = ['report', 'scan'] as const satisfies readonly LeakSource[];

/** How an incident was closed. */
export const LEAK_RESOLUTIONS = ['handled', 'false-positive', 'accepted-risk', 'duplicate'] as const;
export type LeakResolution = (typeof LEAK_RESOLUTIONS)[number];

/** What an access review says of a key. `narrow`: fewer scopes, which takes another key in its place. */
export const ATTESTATION_DECISIONS = ['keep', 'narrow', 'revoke'] as const;
export type AttestationDecision = (typeof ATTESTATION_DECISIONS)[number];

/** As what somebody attested: the named or any reviewer, the key's owner, or whoever holds the key itself. */
export type AttestedAs = 'reviewer' | 'owner' | 'holder';

export const CHANNEL_TYPES = ['webhook', 'email', 'slack', 'receiver'] as const;
/** A `receiver` takes no news but new secrets, encrypted to its public key. */
export type ChannelType = (typeof CHANNEL_TYPES)[number];

/** What a webhook is sent instead of news: the whole trail of its audience, in the form for a SIEM. */
export const CHANNEL_FORMATS = ['cloudevents'] as const;
export type ChannelFormat = (typeof CHANNEL_FORMATS)[number];

/** What channels can be told, as the `type` of a notification. */
export const NOTIFICATION_KINDS = [
  'key.issued',
  'key.rotated',
  'key.revoked',
  'key.suspended',
  'key.reinstated',
  'key.changed',
  'key.expiring',
  'key.expired',
  'key.grace_ending',
  'key.grace_ended',
  'key.rotation_due',
  'key.unused',
  'key.leaked',
  'secret.ready',
  'secret.delivery_failed',
  'leak.reported',
  'leak.resolved',
  'keyspace.changed',
  'audit.mismatch',
  'channel.test',
] as const;
export type NotificationKind = (typeof NOTIFICATION_KINDS)[number];

/** Free text by name, at most 50 entries; for the owner's own bookkeeping, never judged. */
export type KeyMetadata = Record<string, string>;
