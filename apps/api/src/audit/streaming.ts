import type { FastifyReply } from 'fastify';
import { Readable } from 'node:stream';

export const MEDIA_TYPES = {
  ndjson: 'application/x-ndjson; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
  ocsf: 'application/x-ndjson; charset=utf-8',
  batch: 'application/cloudevents-batch+json; charset=utf-8',
  events: 'text/event-stream; charset=utf-8',
} as const;

/**
 * Sends texts as they come: as fast as the client takes them, and nothing is read on once it has left. The first is
 * waited for, so that what fails at once is an answer of its own; what fails later breaks the connection, so that half
 * of an answer is never taken for the whole.
 * @param leaving aborted when the client has left
 */
export async function sendStream(
  reply: FastifyReply,
  type: string,
  texts: AsyncGenerator<string>,
  leaving: AbortController,
): Promise<void> {
  const first = await texts.next();
  async function* all(): AsyncGenerator<string> {
    try {
      if (!first.done) yield first.value;
      yield* texts;
    } finally {
      leaving.abort();
    }
  }
  reply.raw.once('close', () => leaving.abort());
  const body = Readable.from(all(), { objectMode: false, highWaterMark: 64 * 1024 });
  await reply.type(type).header('x-content-type-options', 'nosniff').send(body);
}
