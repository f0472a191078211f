/** Words with a closed list of values, as they stand in events, in Redis and over HTTP. */

export const OWNER_TYPES = ['application', 'account', 'service', 'agent'] as const;
export type OwnerType = (typeof OWNER_TYPES)[number];

/** Whom a key identifies: an application or account, never an end user. */
export interface Owner {
  id: string;
  type: OwnerType;
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

/** Free text by name, at most 50 entries; for the owner's own bookkeeping, never judged. */
export type KeyMetadata = Record<string, string>;
