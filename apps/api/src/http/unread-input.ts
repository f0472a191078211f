import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { refusal, type FieldError } from '@keyledger/contracts';
import { RefusalError } from '@keyledger/platform';
import type { FastifyRequest } from 'fastify';

/**
 * Refuses what a route would not read: a body where it takes none, a query where it takes none, and names that every
 * object inherits, which the class-transformer drops before anybody could refuse them. What a route does read, its DTO
 * judges. So nobody believes that `{"dryRun": true}` was heard. Behind the guard of credentials.
 */
@Injectable()
export class UnreadInputGuard implements CanActivate {
  private readonly reads = new Map<object, { body: boolean; query: boolean }>();

  canActivate(context: ExecutionContext): boolean {
    const { body, query } = this.readBy(context);
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const asked = Object.keys(request.query as object).filter((name) => !query || name in Object.prototype);
    const said = body ? [] : Object.keys(request.body ?? {});
    const unread = [...asked, ...said];
    if (unread.length === 0) return true;
    const errors = unread.map((field): FieldError => ({
      field,
      message: 'is no field of this request',
      fix: 'leave it out',
    }));
    throw new RefusalError(refusal('INVALID', `This route takes nothing of that name.`, errors));
  }

  /** What a handler has parameters for. */
  private readBy(context: ExecutionContext): { body: boolean; query: boolean } {
    const handler = context.getHandler();
    const known = this.reads.get(handler);
    if (known) return known;
    const parameters = Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), handler.name) as object | undefined;
    const kinds = Object.keys(parameters ?? {}).map((name) => name.split(':')[0]);
    const reads = {
      body: kinds.includes(String(RouteParamtypes.BODY)),
      query: kinds.includes(String(RouteParamtypes.QUERY)),
    };
    this.reads.set(handler, reads);
    return reads;
  }
}
