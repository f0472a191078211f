import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { refusal, REFUSALS, type RefusalCode } from '@keyledger/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LogAllowance } from './log-allowance.js';
import type { Logger } from './logger.js';
import { PROBLEM_TYPE, problemOf, RefusalError, refusalOf, type FailureTranslation } from './problem.js';

const FAULT_LINES_PER_MINUTE = 120;
const METHODS = ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'] as const;

/**
 * The one place where an error becomes an answer, for Nest's routes and for those that stand on Fastify itself. What is
 * our fault is logged with its cause, at most 120 times a minute; what is the caller's is not.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly allowance = new LogAllowance(FAULT_LINES_PER_MINUTE);

  constructor(
    private readonly logger: Logger,
    private readonly translate?: FailureTranslation,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.answer(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  answer(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    // Whoever has left needs no answer, and that what was done for him was broken off is nobody's fault.
    if (reply.raw.destroyed && error instanceof Error && error.name === 'AbortError') return;
    const refused = withMethod(refusalOf(error, this.translate), request);
    const { code } = refused.refusal;
    const { status } = REFUSALS[code];
    if (status >= 500) this.log(error, code, request);
    if (reply.sent) return;
    void reply
      .code(status)
      .headers({ 'cache-control': 'no-store', 'x-request-id': request.id, ...refused.headers })
      .type(PROBLEM_TYPE)
      .send(JSON.stringify(problemOf(refused.refusal, request.id)));
  }

  private log(error: unknown, code: RefusalCode, request: FastifyRequest): void {
    const line = this.allowance.take();
    if (!line) return;
    const { id: requestId, method } = request;
    const fields = { err: error, requestId, method, route: request.routeOptions.url, ...line };
    if (code === 'INTERNAL') this.logger.error(fields, 'a request failed');
    else this.logger.warn(fields, 'a request could not be served');
  }
}

/** A parameter of a path is never empty: `/v1/keys/` is not `/v1/keys/{keyId}`. */
function takes(found: { params: Record<string, string | undefined> } | null): boolean {
  return found !== null && !Object.values(found.params).includes('');
}

/** An unknown route that another method would have found is 405 and says which ones (RFC 9110 section 15.5.6). */
function withMethod(refused: RefusalError, request: FastifyRequest): RefusalError {
  if (!request.is404 || refused.refusal.code !== 'NOT_FOUND') return refused;
  const [path = ''] = request.url.split('?');
  const allowed = METHODS.filter((method) => takes(request.server.findRoute({ method, url: path })));
  if (allowed.length === 0)
    return new RefusalError(refusal('NOT_FOUND', `There is no route ${request.method} ${path}.`));
  const list = allowed.join(', ');
  return new RefusalError(refusal('METHOD_NOT_ALLOWED', `${path} takes ${list}.`), { allow: list });
}
