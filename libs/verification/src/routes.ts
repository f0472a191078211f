import {
  VERIFY_BODY_LIMIT_BYTES,
  VERIFY_REQUEST_SCHEMA,
  VERIFY_RESPONSE_SCHEMA,
  type VerifyRequest,
} from '@keyledger/contracts';
import { isAddressBlock } from '@keyledger/domain';
import {
  callerOf,
  credentialInvalid,
  credentialMissing,
  invalidField,
  presentedFrom,
  presentedKey,
  unavailable,
  type Caller,
  type FailedCredentials,
} from '@keyledger/platform';
import { ReadModelUnavailable } from '@keyledger/read-model';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { textOf } from './answer.js';
import { authorize } from './authorize.js';
import type { Credentials } from './credentials.js';
import type { Verification } from './verification.js';

export interface VerifyParts {
  verification: Verification;
  credentials: Credentials;
  failed: FailedCredentials;
}

declare module 'fastify' {
  interface FastifyRequest {
    verifier: Caller | null;
  }
}

/**
 * `POST /v1/verify` and `/v1/authorize`, on Fastify itself: they are asked on every request that customers' services
 * get, and a pipe, an interceptor or a line of log each would cost more than the verification.
 */
export function registerVerifyRoutes(fastify: FastifyInstance, parts: VerifyParts): void {
  const { verification, failed } = parts;
  fastify.decorateRequest('verifier', null);
  fastify.post<{ Body: VerifyRequest }>(
    '/v1/verify',
    {
      config: { bare: true },
      bodyLimit: VERIFY_BODY_LIMIT_BYTES,
      schema: { body: VERIFY_REQUEST_SCHEMA, response: { 200: VERIFY_RESPONSE_SCHEMA } },
      // Most of an answer is the same from one question to the next; a serializer made of the schema would write it anew.
      serializerCompiler: () => textOf,
      onRequest: (request, _reply, done) => identify(parts, request, done),
    },
    async (request, reply) => {
      const { body, verifier } = request;
      reply.header('cache-control', 'no-store');
      if (request.url.includes('?')) throw invalidField('query', 'is not read', 'ask in the body');
      if (body.clientIp !== undefined) checkAddress(body.clientIp);
      try {
        return await verification.outcome(body, verifier as Caller, request);
      } catch (error) {
        throw translated(error);
      }
    },
  );

  // Gateways ask with GET; Envoy with the method and behind the path of the request that it has, and its headers. A
  // body, which most leave out, is not read.
  void fastify.register(async (bodyless) => {
    bodyless.removeAllContentTypeParsers();
    bodyless.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const handler = async (request: FastifyRequest, reply: FastifyReply) => {
      try {
        return await authorize(verification, failed, request, reply);
      } catch (error) {
        throw translated(error);
      }
    };
    for (const url of ['/v1/authorize', '/v1/authorize/*']) bodyless.all(url, { config: { bare: true } }, handler);
  });
}

/** The caller of `verify`, before his body is read. Answers in the same tick if his credential was seen a moment ago. */
function identify({ credentials, failed }: VerifyParts, request: FastifyRequest, done: (error?: Error) => void): void {
  const presented = presentedKey(request.headers);
  if (presented === undefined) return done(credentialMissing());
  const settle = (principal: Caller['principal'] | undefined) => {
    if (!principal) {
      failed.note(request.ip, presented);
      throw credentialInvalid();
    }
    request.verifier = callerOf(principal, 'verify');
  };
  const principal = credentials.checkRecent(presented, presentedFrom(request));
  if (principal instanceof Promise) {
    principal.then(settle).then(
      () => done(),
      (error: unknown) => done(translated(error)),
    );
  } else {
    settle(principal);
    done();
  }
}

function checkAddress(clientIp: string): void {
  if (isAddressBlock(clientIp) && !clientIp.includes('/')) return;
  throw invalidField('clientIp', 'is not an address', 'an IPv4 or IPv6 address, e.g. "203.0.113.7" or "2001:db8::1"');
}

const REBUILD_RETRY_SECONDS = 5;

function translated(error: unknown): Error {
  if (error instanceof ReadModelUnavailable) {
    const retryAfterSeconds = error.reason === 'rebuilding' ? REBUILD_RETRY_SECONDS : 1;
    return unavailable(`Keys cannot be verified at the moment: the read model is ${error.reason}.`, retryAfterSeconds);
  }
  return error instanceof Error ? error : new Error(String(error));
}
