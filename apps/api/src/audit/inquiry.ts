import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { AuditQuestion, CommandContext, Instant } from '@keyledger/contracts';
import { contextOf, invalidField, redactKeys, systemClock, type Caller, type Guarded } from '@keyledger/platform';
import { createHash } from 'node:crypto';

/** One question to the audit trail: who asks, why and from where, and how the answer is wanted. */
export interface Inquiry {
  caller: Caller;
  context: CommandContext;
  route: string;
  accept: string;
  lastEventId?: string;
  /** For an answer that takes long. @throws ReadModelUnavailable where nobody can say */
  isStillGood: () => Promise<boolean>;
}

/** `@CurrentInquiry() inquiry: Inquiry` for routes behind the guard. */
export const CurrentInquiry = createParamDecorator((_: unknown, context: ExecutionContext): Inquiry => {
  const request = context.switchToHttp().getRequest<Guarded>();
  const { caller, isStillGood } = request;
  if (!caller || !isStillGood) throw new Error('the route has no caller: it is public');
  const { accept = '', 'last-event-id': lastEventId } = request.headers;
  return {
    caller,
    context: contextOf(request, caller.principal),
    route: `${request.method} ${request.routeOptions.url ?? ''}`,
    accept,
    isStillGood,
    ...(typeof lastEventId === 'string' && { lastEventId }),
  };
});

const RANGE = ['from', 'to', 'fromPosition', 'toPosition', 'after', 'at', 'position', 'knownAt'];
const NEITHER = ['format', 'limit', 'cursor', 'order', 'replay', 'key', 'request'];

/** What is written down of a question: its narrowing and its stretch, never a key, presented or pasted. */
export function questionOf(inquiry: Inquiry, query: object, format: AuditQuestion['format']): AuditQuestion {
  const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, unknown][];
  const text = (value: unknown): string => redactKeys(Array.isArray(value) ? value.join(',') : String(value));
  const members = Object.fromEntries(given.map(([name, value]) => [name, text(value)]));
  const { from, fromPosition, after, to, toPosition, at, position, knownAt } = members;
  const begin = from ?? fromPosition ?? after;
  const end = to ?? toPosition ?? at ?? position;
  const filter = Object.entries(members).filter(([name]) => !RANGE.includes(name) && !NEITHER.includes(name));
  return {
    route: inquiry.route,
    filter: { ...Object.fromEntries(filter), ...(knownAt !== undefined && { knownAt }) },
    range: { ...(begin !== undefined && { from: begin }), ...(end !== undefined && { to: end }) },
    format,
  };
}

/** How far a clock of a caller may be ahead of ours. */
const AHEAD_SECONDS = 5;

/** @throws RefusalError 400: nobody can say yet how it will have been. */
export function assertPast(field: string, instant: Instant | undefined): void {
  if (instant === undefined || Date.parse(instant) <= Date.parse(systemClock()) + AHEAD_SECONDS * 1000) return;
  throw invalidField(field, 'lies in the future', 'an instant that has passed');
}

/** @throws RefusalError 400 */
export function assertOrder(low: [string, Instant | undefined], high: [string, Instant | undefined]): void {
  if (low[1] === undefined || high[1] === undefined || low[1] <= high[1]) return;
  throw invalidField(low[0], `lies after ${high[0]}`, `an instant before ${high[0]}`);
}

/** Ties a cursor to the filters of its question. */
export function sealOf(query: object): string {
  const { cursor: _c, limit: _l, format: _f, ...filters } = query as Record<string, unknown>;
  const given = Object.entries(filters)
    .filter(([, value]) => value !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(given)).digest('base64url').slice(0, 8);
}

export const cursorOf = (seal: string, ...place: string[]): string =>
  Buffer.from(JSON.stringify([seal, ...place])).toString('base64url');

/** @throws RefusalError 400 for what is no cursor, or that of another question. */
export function openCursor(cursor: string | undefined, seal: string, length: number): string[] | undefined {
  if (cursor === undefined) return undefined;
  const parts = jsonIn(Buffer.from(cursor, 'base64url').toString());
  const fitting = Array.isArray(parts) && parts.length === length + 1 && parts.every((one) => typeof one === 'string');
  if (fitting && parts[0] === seal) return parts.slice(1);
  throw invalidField('cursor', 'does not belong to this query', 'the nextCursor of the same query, unchanged');
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
