import type { FastifyReply } from 'fastify';
import { etagOf } from './conditional-headers.js';
import type { Receipt } from '../receipts.js';

const REPLAYED_HEADER = 'idempotent-replayed';

/** Gives a resource its ETag on the way out. */
export function tagged<T extends { revision: number }>(reply: FastifyReply, body: T): T {
  void reply.header('etag', etagOf(body.revision));
  return body;
}

/** The body of a receipt; a repeated one says so in a header, since its body is that of the first. */
export function received<T>(reply: FastifyReply, receipt: Receipt<T>): T {
  if (receipt.replayed) void reply.header(REPLAYED_HEADER, 'true');
  return receipt.body;
}
