import { createParamDecorator, Injectable, SetMetadata, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { reachOf, type ManagementScope, type Owner } from '@keyledger/contracts';
import type { FastifyRequest } from 'fastify';
import type { FailedCredentials } from './failed-credentials.js';
import { credentialInvalid, credentialMissing, scopeMissing } from './problem.js';
import { presentedKey } from './request-context.js';

/** Who calls: a key of the keyspace `system`. */
export interface Principal {
  keyId: string;
  scopes: readonly string[];
  owner: Owner;
}

/** Token of the port by which a presented text becomes a principal. */
export const CREDENTIALS = Symbol('Credentials');

/** Where a credential was presented from; one that is restricted is good from there only. */
export interface PresentedFrom {
  clientIp?: string;
  /** The `Origin` of the request, or its referrer. */
  origin?: string;
}

/**
 * Says whose credential a text is: `undefined` for one that is unknown, no longer good, or not good from there.
 * @throws whatever keeps it from knowing (the read model cannot be reached); never an answer by guess.
 */
export interface CredentialCheck {
  check(presented: string, from?: PresentedFrom): Promise<Principal | undefined>;
}

/** The keyspaces in which a caller may do what a route does. */
export type Reach = 'all' | readonly string[];

/** What the guard found out, for handlers: `@CurrentCaller() caller: Caller`. */
export interface Caller {
  principal: Principal;
  /** The scope that the route asked for. */
  scope: ManagementScope;
  reach: Reach;
}

export const reaches = (reach: Reach, keyspaceId: string): boolean => reach === 'all' || reach.includes(keyspaceId);

/** For a request that names a keyspace: refuses with 403, naming the scope that would be enough. */
export function assertReach(caller: Caller, keyspaceId: string): void {
  if (!reaches(caller.reach, keyspaceId)) throw scopeMissing(`${caller.scope}@${keyspaceId}`);
}

const SCOPE = 'keyledger:scope';
const PUBLIC = 'public';

/** The scope without which a route is refused. */
export const RequireScope = (scope: ManagementScope) => SetMetadata(SCOPE, scope);
/** A route that anybody may call. Without this or `RequireScope` a route answers nobody. */
export const Public = () => SetMetadata(SCOPE, PUBLIC);

/** What the guard leaves on a request: its caller, and whether his credential is good now, while the answer still goes out. */
export type Guarded = FastifyRequest & { caller?: Caller; isStillGood?: () => Promise<boolean> };

export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<Guarded>();
  if (!caller) throw new Error('the route has no caller: it is public');
  return caller;
});

/** The guard of every Nest route. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly credentials: CredentialCheck,
    private readonly failed: FailedCredentials,
    private readonly reflector: Reflector = new Reflector(),
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    const scope = this.reflector.getAllAndOverride<ManagementScope | typeof PUBLIC | undefined>(SCOPE, targets);
    if (scope === PUBLIC) return true;
    if (scope === undefined)
      throw new Error(`${context.getClass().name} has a route with neither @RequireScope nor @Public`);
    const request = context.switchToHttp().getRequest<Guarded>();
    request.caller = await authenticate(this.credentials, this.failed, request, scope);
    request.isStillGood = async () => {
      const presented = presentedKey(request.headers);
      return presented !== undefined && (await this.credentials.check(presented, presentedFrom(request))) !== undefined;
    };
    return true;
  }
}

/**
 * The caller of a request, if his credential is good and holds the scope somewhere.
 * @throws RefusalError 401 or 403 with its challenge
 */
export async function authenticate(
  credentials: CredentialCheck,
  failed: FailedCredentials,
  request: FastifyRequest,
  scope: ManagementScope,
): Promise<Caller> {
  const presented = presentedKey(request.headers);
  if (presented === undefined) throw credentialMissing();
  const principal = await credentials.check(presented, presentedFrom(request));
  if (!principal) {
    failed.note(request.ip, presented);
    throw credentialInvalid();
  }
  return callerOf(principal, scope);
}

/** @throws RefusalError 403 naming the scope, if the principal holds it nowhere */
export function callerOf(principal: Principal, scope: ManagementScope): Caller {
  const reach = reachOf(principal.scopes, scope);
  if (reach !== 'all' && reach.length === 0) throw scopeMissing(scope);
  return { principal, scope, reach };
}

/** Where a request comes from: its client, behind the proxies that are trusted, and its Origin or else its referrer. */
export function presentedFrom(request: FastifyRequest): PresentedFrom {
  const origin = request.headers.origin ?? request.headers.referer;
  return origin === undefined ? { clientIp: request.ip } : { clientIp: request.ip, origin };
}
