import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { HEADERS, type CommandContext } from '@keyledger/contracts';
import { contextOf, presentedKey, type Caller } from '@keyledger/platform';
import type { FastifyRequest } from 'fastify';
import { createHash, createHmac } from 'node:crypto';
import { parseIdempotencyKey, parseIfMatch } from './conditional-headers.js';

/** One request to change something: who asks, why, on which revision, and under which id it happens at most once. */
export interface Intent {
  caller: Caller;
  /**
   * Its `commandId` follows from the caller, the route and the Idempotency-Key, so that a repeated request is the same
   * command again; without that header it is new each time.
   */
  context: CommandContext;
  /** The revision that the caller saw (If-Match). */
  expectedRevision?: number;
  /** Set if there is an Idempotency-Key. */
  seal?: Seal;
}

/** What seals the answer of a request with an Idempotency-Key for its caller. Never stored, never logged. */
export interface Seal {
  /** Of an answer with a new secret. It holds the presented credential too, so that a guessable Idempotency-Key opens nothing. */
  secret: string;
  /** Of any other answer, which tells nothing that Redis does not hold already. It outlives a rotation of the credential. */
  answer: string;
}

/** `@CurrentIntent() intent: Intent` for routes behind the guard. */
export const CurrentIntent = createParamDecorator((_: unknown, context: ExecutionContext): Intent => {
  const request = context.switchToHttp().getRequest<FastifyRequest & { caller?: Caller }>();
  if (!request.caller) throw new Error('the route has no caller: it is public');
  return intentOf(request, request.caller);
});

/** @throws RefusalError naming a header that cannot be read. */
export function intentOf(request: FastifyRequest, caller: Caller): Intent {
  const expectedRevision = parseIfMatch(request.headers['if-match']);
  const idempotencyKey = parseIdempotencyKey(request.headers[HEADERS.idempotencyKey]);
  const { keyId } = caller.principal;
  const seal = idempotencyKey === undefined ? undefined : sealOf(idempotencyKey, keyId, presentedKey(request.headers));
  const fingerprint = sha256(canonicalJson(request.body ?? {}, (contact) => digestOfPersonal(contact, seal?.secret)));
  const context = contextOf(request, caller.principal, { fingerprint });
  const when = expectedRevision === undefined ? {} : { expectedRevision };
  if (seal === undefined) return { caller, context, ...when };
  const route = `${request.method} ${request.routeOptions.url} ${canonicalJson(request.params)}`;
  const commandId = sha256(`${keyId}\n${route}\n${idempotencyKey}`);
  return { caller, context: { ...context, commandId }, ...when, seal };
}

/** The intent of one part of a bulk request: a command of its own that repeats with the whole. */
export function partOf(intent: Intent, part: string): Intent {
  const { caller, context } = intent;
  return { caller, context: { ...context, commandId: sha256(`${context.commandId}\n${part}`) } };
}

const sealOf = (idempotencyKey: string, keyId: string, credential = ''): Seal => ({
  secret: `${idempotencyKey}\n${credential}`,
  answer: `${idempotencyKey}\n${keyId}`,
});

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/**
 * What stands for a contact in the fingerprint, which is recorded for ever and beside everything else that it was made
 * of: a bare hash would let anybody try out addresses. Without an Idempotency-Key nothing is ever compared with it.
 */
function digestOfPersonal(value: unknown, seal: string | undefined): string {
  return seal === undefined ? '' : createHmac('sha256', seal).update(canonicalJson(value)).digest('base64url');
}

/** JSON with the members of every object in one order, so that the same request written otherwise is the same. */
function canonicalJson(value: unknown, personal: (contact: unknown) => unknown = (contact) => contact): string {
  return JSON.stringify(value, (name, item: unknown) => {
    if (name === 'contact') return personal(item);
    return typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([one], [other]) => (one < other ? -1 : 1)))
      : item;
  });
}
