import {
  AUTHORIZE_REQUEST_HEADERS as ASKED,
  AUTHORIZE_RESPONSE_HEADERS as SAID,
  EXPIRY_HEADERS,
  MAX_SCOPES_ASKED,
  refusal,
  type VerifyRequest,
  type VerifyResponse,
} from '@keyledger/contracts';
import { coveredByAny, isScope } from '@keyledger/domain';
import {
  credentialInvalid,
  credentialMissing,
  invalidField,
  presentedFrom,
  presentedKey,
  RefusalError,
  scopeMissing,
  type FailedCredentials,
} from '@keyledger/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import type { Verification } from './verification.js';

const ANNOUNCED_SECONDS = 7 * 86_400;

/**
 * Answers a gateway that asks, for the request it has, whether it may pass: 200 with who the key is, 401, 403.
 *
 * It needs no credential of its own: whoever asks has the key in his hands, and to everybody else every key is the same
 * 401, unknown, revoked or expired. What the gateway wants beyond "any key" comes in headers, which can only narrow, so a
 * client that sends them itself shuts itself out at most; never in the query, to which some gateways append the
 * client's own. Management credentials are no customers' keys and never pass.
 */
export async function authorize(
  verification: Verification,
  failed: FailedCredentials,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const key = presentedKey(request.headers);
  if (key === undefined) throw credentialMissing();
  const asked: VerifyRequest = { key, ...narrowed(request.headers), ...presentedFrom(request) };
  // Of the credentials of `system` none is known to somebody who does not reach every keyspace.
  const reach = asked.keyspaceId === undefined ? 'all' : [asked.keyspaceId];
  const answer = await verification.verify(asked, { reach }, request);
  if (answer.valid) return reply.headers(identityOf(answer)).send('');
  throw refusalFor(answer, asked, () => failed.note(request.ip, key));
}

function narrowed(headers: IncomingHttpHeaders): Partial<VerifyRequest> {
  const keyspaceId = headers[ASKED.keyspace];
  const environment = headers[ASKED.environment];
  const scopes = headers[ASKED.scopes];
  return {
    ...(typeof keyspaceId === 'string' && keyspaceId !== '' && { keyspaceId }),
    ...(typeof environment === 'string' && environment !== '' && { environment }),
    ...(typeof scopes === 'string' && { scopes: scopesOf(scopes) }),
  };
}

/** A header that came twice is joined by a comma. */
function scopesOf(text: string): string[] {
  const scopes = text.split(/[\s,]+/).filter((scope) => scope !== '');
  if (scopes.length <= MAX_SCOPES_ASKED && scopes.every(isScope)) return scopes;
  throw invalidField(ASKED.scopes, 'is not a list of scopes', `at most ${MAX_SCOPES_ASKED} scopes separated by spaces`);
}

function refusalFor({ code, scopes: held = [] }: VerifyResponse, asked: VerifyRequest, note: () => void): RefusalError {
  if (code === 'INSUFFICIENT_SCOPE') {
    const lacking = (asked.scopes ?? []).filter((scope) => !coveredByAny(held, scope));
    return scopeMissing(lacking.join(' '));
  }
  if (code === 'FORBIDDEN') {
    const detail = 'The API key may not be used in this environment, or from this address or origin.';
    return new RefusalError(refusal('NOT_ALLOWED', detail));
  }
  note();
  return credentialInvalid();
}

function identityOf(answer: VerifyResponse): Record<string, string> {
  const { keyId = '', keyspaceId = '', owner, environment = '', scopes = [], graceEndsAt, expiresAt } = answer;
  return {
    'cache-control': 'no-store',
    [SAID.keyId]: headerValue(keyId),
    [SAID.keyspace]: headerValue(keyspaceId),
    [SAID.ownerId]: headerValue(owner?.id ?? ''),
    [SAID.ownerType]: headerValue(owner?.type ?? ''),
    [SAID.environment]: headerValue(environment),
    [SAID.scopes]: scopes.map(headerValue).join(' '),
    ...expiryOf(graceEndsAt ?? expiresAt, graceEndsAt !== undefined),
  };
}

function expiryOf(endsAt: string | undefined, inGrace: boolean): Record<string, string> {
  if (endsAt === undefined) return {};
  const seconds = Math.max(0, Math.floor((Date.parse(endsAt) - Date.now()) / 1000));
  if (!inGrace && seconds > ANNOUNCED_SECONDS) return {};
  return { [EXPIRY_HEADERS.expires]: endsAt, [EXPIRY_HEADERS.expiresInSeconds]: String(seconds) };
}

/** Any text as visible ASCII without spaces: every other byte of its UTF-8, and `%`, percent-encoded. */
function headerValue(text: string): string {
  if (/^[\x21-\x24\x26-\x7e]*$/.test(text)) return text;
  let value = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x25;
    value += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return value;
}
