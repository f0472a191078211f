/** Read: the one call for reads and subscriptions. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { readRange, subscribe } from '../reading/reader.js';
import type { Store } from '../store.js';
import { Answers, type MessageBatch } from '../transport.js';
import { decodeRead } from '../wire/read-messages.js';

export function read(
  store: Store,
  call: ServerWritableStream<Buffer, Buffer | MessageBatch>,
  onFault: (error: unknown) => void,
): Answers {
  const answers = new Answers(call);
  serve(store, call.request, answers).catch((error: unknown) => {
    onFault(error);
    answers.fail(error);
  });
  return answers;
}

async function serve(store: Store, message: Buffer, answers: Answers): Promise<void> {
  const request = decodeRead(message);
  await (request.count === undefined ? subscribe : readRange)(store, request, answers);
}
