import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { refusal, type FieldError } from '@keyledger/contracts';
import { RefusalError, summary } from '@keyledger/platform';
import type { FastifyRequest } from 'fastify';
import { CONDITIONAL } from './needs.js';

interface Reads {
  body: boolean;
  query: boolean;
  ifMatch: boolean;
}

/**
 * Refuses what a route would not read: a body where it takes none, a query where it takes none, names that every object
 * inherits, which the class-transformer drops before anybody could refuse them, and an If-Match where there is no
 * revision to match. What a route does read, its DTO judges. So nobody believes that `{"dryRun": true}` was heard.
 * Behind the guard of credentials.
 */
@Injectable()
export class UnreadInputGuard implements CanActivate {
  private readonly reads = new Map<object, Reads>();

  canActivate(context: ExecutionContext): boolean {
    const { body, query, ifMatch } = this.readBy(context);
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const asked = Object.keys(request.query as object).filter((name) => !query || name in Object.prototype);
    const said = body ? [] : Object.keys(request.body ?? {});
    const errors = [...asked, ...said].map((field) => unread(field, 'is no field of this request'));
    if (!ifMatch && request.headers['if-match'] !== undefined && !SAFE.includes(request.method)) {
      errors.push(unread('If-Match', 'is not looked at here: there is no revision that it could name'));
    }
    if (errors.length === 0) return true;
    throw new RefusalError(refusal('INVALID', summary(errors), errors));
  }

  /** What a handler has parameters for. */
  private readBy(context: ExecutionContext): Reads {
    const handler = context.getHandler();
    const known = this.reads.get(handler);
    if (known) return known;
    const parameters = Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), handler.name) as object | undefined;
    const kinds = Object.keys(parameters ?? {}).map((name) => name.split(':')[0]);
    const reads = {
      body: kinds.includes(String(RouteParamtypes.BODY)),
      query: kinds.includes(String(RouteParamtypes.QUERY)),
      ifMatch: Reflect.getMetadata(CONDITIONAL, handler) === true,
    };
    this.reads.set(handler, reads);
    return reads;
  }
}

/** Their answers change nothing, and caches may send a precondition with them. */
const SAFE = ['GET', 'HEAD'];

const unread = (field: string, message: string): FieldError => ({ field, message, fix: 'leave it out' });
