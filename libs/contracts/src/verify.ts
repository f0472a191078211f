import type { Instant } from './time.js';
import { OWNER_TYPES, VERDICT_CODES, type KeyMetadata, type Owner, type VerdictCode } from './words.js';

/** `POST /v1/verify`: what a service asks about a key that it was shown. What is left out is not asked. */
export interface VerifyRequest {
  key: string;
  /** Scopes that the key must all have. */
  scopes?: string[];
  /** Where the request came from, for keys that are restricted to addresses. */
  clientIp?: string;
  /** Its `Origin`, or the whole referrer, for keys that are restricted to origins. */
  origin?: string;
  environment?: string;
  keyspaceId?: string;
  /** What the request costs; taken and not yet counted, because keys have no limits yet. */
  cost?: number;
}

/** The verdict. Only `valid` and `code` where the key is not known, or not to this caller. */
export interface VerifyResponse {
  valid: boolean;
  code: VerdictCode;
  keyId?: string;
  secretId?: string;
  keyspaceId?: string;
  owner?: Owner;
  name?: string;
  environment?: string;
  scopes?: string[];
  metadata?: KeyMetadata;
  expiresAt?: Instant;
  /** The presented secret was rotated out and works until then. */
  graceEndsAt?: Instant;
  /** Revision of the key that the verdict was made on. */
  revision?: number;
}

export const VERIFY_BODY_LIMIT_BYTES = 65_536;
export const MAX_SCOPES_ASKED = 50;

/** JSON Schema of the body of `POST /v1/verify`. */
export const VERIFY_REQUEST_SCHEMA = {
  type: 'object',
  required: ['key'],
  additionalProperties: false,
  properties: {
    key: { type: 'string', minLength: 1, maxLength: 4096, description: 'The key as it was presented.' },
    scopes: {
      type: 'array',
      maxItems: MAX_SCOPES_ASKED,
      items: { type: 'string', minLength: 1, maxLength: 128 },
      description: 'Scopes that the key must all have.',
    },
    clientIp: { type: 'string', maxLength: 64, description: 'IPv4 or IPv6 address from which the request came.' },
    origin: { type: 'string', maxLength: 2048, description: 'Origin of the request, or its referrer.' },
    environment: { type: 'string', minLength: 1, maxLength: 64, description: 'The environment it must be of.' },
    keyspaceId: { type: 'string', minLength: 1, maxLength: 64, description: 'The keyspace it must be of.' },
    cost: {
      type: 'integer',
      minimum: 0,
      maximum: 1_000_000,
      description: 'What the request costs. Taken, and not yet counted.',
    },
  },
} as const;

const text = { type: 'string' } as const;
const instant = { type: 'string', description: 'ISO-8601, UTC.' } as const;

/** JSON Schema of its answer, always 200. */
export const VERIFY_RESPONSE_SCHEMA = {
  type: 'object',
  required: ['valid', 'code'],
  properties: {
    valid: { type: 'boolean' },
    code: { type: 'string', enum: VERDICT_CODES },
    keyId: text,
    secretId: text,
    keyspaceId: text,
    owner: {
      type: 'object',
      required: ['id', 'type'],
      properties: { id: text, type: { type: 'string', enum: OWNER_TYPES } },
    },
    name: text,
    environment: text,
    scopes: { type: 'array', items: text },
    metadata: { type: 'object', additionalProperties: text },
    expiresAt: instant,
    graceEndsAt: instant,
    revision: { type: 'integer' },
  },
} as const;

/** What a gateway adds to `GET /v1/authorize` to ask for less than "any key of ours". They can only narrow. */
export const AUTHORIZE_REQUEST_HEADERS = {
  keyspace: 'x-keyledger-keyspace',
  environment: 'x-keyledger-environment',
  /** Separated by spaces. */
  scopes: 'x-keyledger-scopes',
} as const;

/**
 * What `GET /v1/authorize` says about a good key. All of them are in every 200, empty where there is nothing to say:
 * some gateways would pass a client's own header on, or a literal placeholder, for one that is missing. Values are
 * visible ASCII; every other byte of their UTF-8, space and `%` are percent-encoded; scopes are separated by spaces.
 */
export const AUTHORIZE_RESPONSE_HEADERS = {
  keyId: 'x-keyledger-key-id',
  keyspace: 'x-keyledger-keyspace',
  ownerId: 'x-keyledger-owner-id',
  ownerType: 'x-keyledger-owner-type',
  environment: 'x-keyledger-environment',
  scopes: 'x-keyledger-scopes',
} as const;

/** Announce an end that is near: within seven days, or any end of a grace. The instant, and the seconds until then. */
export const EXPIRY_HEADERS = { expires: 'x-api-key-expires', expiresInSeconds: 'x-api-key-expires-in' } as const;
