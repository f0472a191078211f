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

/** How old the word may be that a credential is good, while an answer goes out. */
const JUDGED_FOR_MS = 1000;

/**
 * The same texts, for as long as the credential of whoever asked is good: an answer that goes on for hours is given then,
 * and not when it was asked for.
 * @throws Error in front of the first text that is not for him any more, and where nobody can say
 */
async function* whileGood<T>(texts: AsyncGenerator<T>, isStillGood: () => Promise<boolean>): AsyncGenerator<T> {
  let judgedAt = performance.now();
  for await (const text of texts) {
    if (performance.now() - judgedAt >= JUDGED_FOR_MS) {
      if (!(await isStillGood())) throw new Error('the credential is not good any more');
      judgedAt = performance.now();
    }
    yield text;
  }
}

/**
 * Sends texts as they come: as fast as the client takes them, and nothing is read on once it has left. The first is
 * waited for, so that what fails at once is an answer of its own; what fails later breaks the connection, so that half
 * of an answer is never taken for the whole. That the credential is good no more is such a failure.
 * @param textsOf given a signal that aborts when the client leaves, also before the first text
 */
export async function sendStream<T extends string | Buffer>(
  reply: FastifyReply,
  type: string,
  isStillGood: () => Promise<boolean>,
  textsOf: (leaving: AbortSignal) => AsyncGenerator<T>,
): Promise<void> {
  const texts = whileGood(textsOf(leavingOf(reply)), isStillGood);
  const first = await texts.next();
  async function* all(): AsyncGenerator<T> {
    if (!first.done) yield first.value;
    yield* texts;
  }
  const body = Readable.from(all(), { objectMode: false, highWaterMark: 64 * 1024 });
  // Where the client left before anything was sent, nobody else ends the texts.
  body.once('close', () => void texts.return(undefined));
  await reply.type(type).header('x-content-type-options', 'nosniff').send(body);
}
