import type { FastifyReply } from 'fastify';
import { Readable } from 'node:stream';

export const MEDIA_TYPES = {
  ndjson: 'application/x-ndjson; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
  ocsf: 'application/x-ndjson; charset=utf-8',
  batch: 'application/cloudevents-batch+json; charset=utf-8',
  events: 'text/event-stream; charset=utf-8',
} as const;

/** Aborts when the client leaves, or has left already: whatever is read for it ends there. */
export function leavingOf(reply: FastifyReply): AbortSignal {
  const leaving = new AbortController();
  if (reply.raw.destroyed) leaving.abort();
  else reply.raw.once('close', () => leaving.abort());
  return leaving.signal;
}

/**
 * Sends texts as they come: as fast as the client takes them, and nothing is read on once it has left. The first is
 * waited for, so that what fails at once is an answer of its own; what fails later breaks the connection, so that half
 * of an answer is never taken for the whole.
 * @param textsOf given a signal that aborts when the client leaves, also before the first text
 */
export async function sendStream(
  reply: FastifyReply,
  type: string,
  textsOf: (leaving: AbortSignal) => AsyncGenerator<string>,
): Promise<void> {
  const texts = textsOf(leavingOf(reply));
  const first = await texts.next();
  async function* all(): AsyncGenerator<string> {
    if (!first.done) yield first.value;
    yield* texts;
  }
  const body = Readable.from(all(), { objectMode: false, highWaterMark: 64 * 1024 });
  // Where the client left before anything was sent, nobody else ends the texts.
  body.once('close', () => void texts.return(undefined));
  await reply.type(type).header('x-content-type-options', 'nosniff').send(body);
}
