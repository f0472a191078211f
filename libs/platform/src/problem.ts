import { REFUSALS, refusal, type FieldError, type Problem, type Refusal, type RefusalCode } from '@keyledger/contracts';
import type { FastifyError } from 'fastify';
import { redact } from './redact.js';

/** Challenges of RFC 6750 section 3: bare where no credential came, and `invalid_token` for whatever was wrong with one. */
export const CHALLENGES = {
  missing: 'Bearer realm="keyledger"',
  invalid: 'Bearer realm="keyledger", error="invalid_token", error_description="The API key is not valid"',
  scope: (scope: string) => `Bearer realm="keyledger", error="insufficient_scope", scope="${scope}"`,
} as const;

/** An expected "no" on its way to the edge, where it becomes a problem answer. */
export class RefusalError extends Error {
  constructor(
    readonly refusal: Refusal,
    /** Response headers that belong to it. */
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(refusal.detail);
    this.name = 'RefusalError';
  }
}

/** The refusals of authentication, each with its challenge. The two 401 say the same to everybody. */
export const credentialMissing = (): RefusalError =>
  new RefusalError(refusal('NO_CREDENTIAL', 'Send a key in Authorization, with the scheme Bearer, or in X-API-Key.'), {
    'www-authenticate': CHALLENGES.missing,
  });
export const credentialInvalid = (): RefusalError =>
  new RefusalError(refusal('INVALID_TOKEN', 'The API key is not valid.'), { 'www-authenticate': CHALLENGES.invalid });
export const scopeMissing = (scope: string): RefusalError =>
  new RefusalError(refusal('INSUFFICIENT_SCOPE', `The credential lacks the scope ${scope}.`), {
    'www-authenticate': CHALLENGES.scope(scope),
  });
export const unavailable = (detail: string, retryAfterSeconds = 1): RefusalError =>
  new RefusalError(refusal('UNAVAILABLE', detail), { 'retry-after': String(retryAfterSeconds) });
export const invalidField = (field: string, message: string, fix: string): RefusalError =>
  new RefusalError(refusal('INVALID', `${field} ${message}.`, [{ field, message, fix }]));

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';
/** Answers to a bad credential must not differ by a single byte, so they do not name their request. */
const WITHOUT_REQUEST: readonly RefusalCode[] = ['NO_CREDENTIAL', 'INVALID_TOKEN'];

/** The body of an error answer, RFC 9457. Nothing in it quotes a secret, even if the detail was made from input. */
export function problemOf(reason: Refusal, requestId: string): Problem {
  const { status, title } = REFUSALS[reason.code];
  const request = WITHOUT_REQUEST.includes(reason.code) ? 'any' : requestId;
  return {
    type: `urn:keyledger:problem:${reason.code}`,
    title,
    status,
    detail: redact(reason.detail),
    instance: `urn:keyledger:request:${request}`,
    code: reason.code,
    ...(reason.errors && {
      errors: reason.errors.map(({ field, message, fix }) => ({
        field: redact(field),
        message: redact(message),
        ...(fix !== undefined && { fix }),
      })),
    }),
  };
}

/** Turns an app's own failures (event store down, read model stale) into a refusal, or leaves them. */
export type FailureTranslation = (error: unknown) => RefusalError | undefined;

/**
 * What an error means to the caller: refusals as they are, the failures that `translate` knows, what the HTTP layer
 * itself refuses; anything else is `INTERNAL`, which says nothing about its cause.
 */
export function refusalOf(error: unknown, translate?: FailureTranslation): RefusalError {
  if (error instanceof RefusalError) return error;
  const known = translate?.(error) ?? fromHttpLayer(error);
  return known ?? new RefusalError(refusal('INTERNAL', 'The request failed here; nothing more can be said about it.'));
}

/** Status codes that Fastify or Nest give by themselves. */
const BY_STATUS: Readonly<Record<number, RefusalCode>> = {
  400: 'MALFORMED',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  413: 'TOO_LARGE',
  414: 'TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'RATE_LIMITED',
  503: 'UNAVAILABLE',
};
const DETAILS: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON.',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'The body is empty; send a JSON object, at least {}.',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'Send the body as application/json.',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is larger than this route takes.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length says.',
};

function fromHttpLayer(thrown: unknown): RefusalError | undefined {
  // Nest wraps what Fastify throws and keeps the original as the cause.
  const error = thrown instanceof Error && isFastifyError(thrown.cause) ? thrown.cause : thrown;
  if (isFastifyError(error) && error.validation) {
    const errors = fieldErrors(error);
    return new RefusalError(refusal('INVALID', summary(errors), errors));
  }
  if (error instanceof SyntaxError && 'statusCode' in error)
    return new RefusalError(refusal('MALFORMED', `The body is not valid JSON.`));
  const status = statusOf(error);
  const code = status === undefined ? undefined : BY_STATUS[status];
  if (code === undefined) return undefined;
  const detail = (isFastifyError(error) ? DETAILS[error.code] : undefined) ?? `${REFUSALS[code].title}.`;
  return new RefusalError(refusal(code, detail));
}

function isFastifyError(error: unknown): error is FastifyError {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_ERR')
  );
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('getStatus' in error && typeof error.getStatus === 'function')
    return Number((error.getStatus as () => unknown)());
  return 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** Sentence for a list of field errors. */
export function summary(errors: readonly FieldError[]): string {
  const fields = [...new Set(errors.map(({ field }) => field))];
  const shown = fields.slice(0, 5).join(', ') + (fields.length > 5 ? ', …' : '');
  return fields.length === 0 ? 'The request is not valid.' : `Not valid: ${shown}.`;
}

/** What would be right, by the keyword of JSON Schema and what it says. */
const FIXES: Readonly<Record<string, (said: string) => string>> = {
  type: (type) => (type === 'integer' ? 'a whole number, without quotes' : `the JSON type ${type}`),
  minLength: (least) => `at least ${least} characters`,
  maxLength: (most) => `at most ${most} characters`,
  maxItems: (most) => `at most ${most} items`,
  minimum: (least) => `at least ${least}`,
  maximum: (most) => `at most ${most}`,
};

/** What Ajv found, in our words: the field as the caller wrote it, what is wrong, what would be right. */
function fieldErrors(error: FastifyError): FieldError[] {
  return (error.validation ?? []).map(({ keyword, instancePath, params, message = 'is not valid' }) => {
    const path = instancePath
      .slice(1)
      .replaceAll('~1', '/')
      .replaceAll('~0', '~')
      .replace(/\/(\d+)/g, '[$1]')
      .replaceAll('/', '.');
    const inside = (name: unknown) => (path === '' ? String(name) : `${path}.${String(name)}`);
    const field = path === '' ? (error.validationContext ?? 'body') : path;
    if (keyword === 'additionalProperties') {
      return { field: inside(params.additionalProperty), message: 'is no field of this request', fix: 'leave it out' };
    }
    if (keyword === 'required') return { field: inside(params.missingProperty), message: 'is missing', fix: 'give it' };
    const fix = FIXES[keyword]?.(String(keyword === 'type' ? params.type : params.limit)) ?? 'as /openapi.json has it';
    if (keyword === 'type') return { field, message: `must be of the JSON type ${String(params.type)}`, fix };
    return { field, message, fix };
  });
}
