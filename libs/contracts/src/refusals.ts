/**
 * Every code an error answer can carry, with its HTTP status and title. A refusal is an expected "no" of the domain or
 * of the edge; clients match on `code`, people read `title` and `detail`.
 */
export const REFUSALS = {
  MALFORMED: { status: 400, title: 'The request cannot be read' },
  INVALID: { status: 400, title: 'The request has fields that are not valid' },
  NO_CREDENTIAL: { status: 401, title: 'A credential is required' },
  INVALID_TOKEN: { status: 401, title: 'The credential is not valid' },
  INSUFFICIENT_SCOPE: { status: 403, title: 'The credential lacks a scope' },
  NOT_ALLOWED: { status: 403, title: 'This is not allowed here' },
  NOT_FOUND: { status: 404, title: 'There is no such resource' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The method is not allowed here' },
  KEYSPACE_EXISTS: { status: 409, title: 'The prefix belongs to another keyspace' },
  KEYSPACE_ARCHIVED: { status: 409, title: 'The keyspace is archived' },
  KEY_EXISTS: { status: 409, title: 'The key exists already' },
  KEY_REVOKED: { status: 409, title: 'The key is revoked, and that is final' },
  KEY_SUSPENDED: { status: 409, title: 'The key is suspended' },
  KEY_EXPIRED: { status: 409, title: 'The key has expired' },
  ROTATION_IN_PROGRESS: { status: 409, title: 'An earlier rotation is still in its grace' },
  REVIEW_CLOSED: { status: 409, title: 'The access review is closed' },
  CONFLICT: { status: 409, title: 'Another change came first' },
  IN_PROGRESS: { status: 409, title: 'The same request is still running' },
  GONE: { status: 410, title: 'The resource was there and is not any more' },
  PRECONDITION_FAILED: { status: 412, title: 'The resource has changed' },
  TOO_LARGE: { status: 413, title: 'The request is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The media type is not supported' },
  POLICY: { status: 422, title: 'The policy of the keyspace does not allow this' },
  UNPROCESSABLE: { status: 422, title: 'The request cannot be carried out' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, title: 'The Idempotency-Key was used with another request' },
  RATE_LIMITED: { status: 429, title: 'Too many requests' },
  INTERNAL: { status: 500, title: 'Something went wrong here' },
  UNAVAILABLE: { status: 503, title: 'A part that this needs cannot be reached' },
} as const satisfies Record<string, { status: number; title: string }>;

export type RefusalCode = keyof typeof REFUSALS;

/** One thing that was wrong: where, what, and what would be right. */
export interface FieldError {
  /** Path of the field as the caller wrote it, e.g. `policy.maxLifetime` or `scopes[2]`. */
  field: string;
  message: string;
  fix?: string;
}

/** An expected "no": nothing was changed. */
export interface Refusal {
  code: RefusalCode;
  detail: string;
  errors?: FieldError[];
}

export function refusal(code: RefusalCode, detail: string, errors?: FieldError[]): Refusal {
  return errors ? { code, detail, errors } : { code, detail };
}

/** An error body, RFC 9457 section 3, served as `application/problem+json`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** The request this answers, as `urn:keyledger:request:<requestId>`. */
  instance: string;
  code: RefusalCode;
  errors?: FieldError[];
}
