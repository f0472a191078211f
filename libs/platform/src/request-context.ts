import { HEADERS, refusal, type CommandContext } from '@keyledger/contracts';
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { systemClock } from './clock.js';
import { newId } from './ids.js';
import { invalidField, RefusalError } from './problem.js';
import { holdsKey, redactKeys } from './redact.js';

const REQUEST_ID = /^[A-Za-z0-9._:-]{8,128}$/;
const processId = newId().slice(0, 10);
let requests = 0;

/** The caller's own X-Request-Id if it is a sane one, else a new id. Cheap: it is asked for on every request. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers[HEADERS.requestId];
  if (typeof given === 'string' && REQUEST_ID.test(given) && !holdsKey(given)) return given;
  return `${processId}-${(++requests).toString(36)}`;
}

const MAX_REASON_LENGTH = 500;
const MAX_USER_AGENT_LENGTH = 256;

/**
 * Who, why and from where, for a command of this request. Overrides win; the reason is the caller's own or, if he gave
 * none, the route that he called.
 * @throws RefusalError naming a header that cannot be used.
 */
export function contextOf(
  request: FastifyRequest,
  principal: { keyId: string },
  overrides: Partial<CommandContext> = {},
): CommandContext {
  const onBehalfOf = textHeader(request.headers, HEADERS.onBehalfOf, 256);
  const reason = textHeader(request.headers, HEADERS.reason, MAX_REASON_LENGTH);
  const userAgent = request.headers['user-agent'];
  return {
    commandId: randomUUID(),
    now: systemClock(),
    actor: { type: 'key', id: principal.keyId, ...(onBehalfOf !== undefined && { onBehalfOf }) },
    reason: reason ?? `${request.method} ${request.routeOptions.url ?? ''}`,
    requestId: request.id,
    clientAddress: request.ip,
    ...(userAgent !== undefined && { userAgent: redactKeys(userAgent).slice(0, MAX_USER_AGENT_LENGTH) }),
    ...overrides,
  };
}

/** A header that carries words of people: UTF-8 (Node reads headers as Latin-1), one line, bounded. */
function textHeader(headers: IncomingHttpHeaders, name: string, maxLength: number): string | undefined {
  const raw = headers[name];
  if (raw === undefined) return undefined;
  if (typeof raw !== 'string') throw invalidField(name, 'came more than once', 'send the header once');
  const utf8 = Buffer.from(raw, 'latin1').toString('utf8');
  const text = (utf8.includes('\ufffd') ? raw : utf8).trim();
  if (text === '') return undefined;

  if (text.length > maxLength || /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text)) {
    const fault = 'is too long, or has control characters or some that change the direction of text';
    throw invalidField(name, fault, `one line of at most ${maxLength} characters`);
  }
  if (holdsKey(text)) throw invalidField(name, 'holds a whole key, and would be recorded', 'without the key');
  return text;
}

/**
 * The key that a request presents, from `Authorization: Bearer` or `X-API-Key`; never from its URL. `undefined`: none.
 * @throws RefusalError (400) if both are there and differ, because then nobody can say which one counts.
 */
export function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const authorization = headers.authorization;
  const apiKey = headers[HEADERS.apiKey];
  const bearer = authorization === undefined ? undefined : bearerOf(authorization);
  if (apiKey === undefined) return bearer;
  if (typeof apiKey !== 'string') throw differing();
  if (bearer !== undefined && bearer !== apiKey) throw differing();
  return apiKey === '' ? bearer : apiKey;
}

/** The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110 section 11.1). */
function bearerOf(authorization: string): string | undefined {
  if (authorization.length < 8 || authorization.charCodeAt(6) !== 32) return undefined;
  if (authorization.slice(0, 6).toLowerCase() !== 'bearer') return undefined;
  const token = authorization.slice(7).trim();
  return token === '' ? undefined : token;
}

function differing(): RefusalError {
  return new RefusalError(refusal('MALFORMED', 'Authorization and X-API-Key carry different keys; send one of them.'));
}
