/** Append, Delete and Tombstone: one write per call. BatchAppend, which clients use by default, is beside this. */
import { type sendUnaryData, type ServerReadableStream, type ServerUnaryCall, status } from '@grpc/grpc-js';
import type { Store } from '../store.js';
import type { WriteOutcome } from '../streams/group-plan.js';
import { Refusal, streamDeleted, toStatus } from '../transport.js';
import {
  appendConflict,
  appendSuccess,
  decodeAppend,
  decodeDelete,
  deleteSuccess,
  type Expected,
  type ProposedEvent,
  sizeOf,
  type StreamTarget,
} from '../wire/append-messages.js';
import { MalformedMessage } from '../wire/protobuf.js';

/** Of one append, however many messages it came in: the real server's default. */
export const MAX_APPEND_BYTES = 1024 * 1024;

/** The client-streaming Append: the options, then an event per message, then the end. */
export function append(store: Store, call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
  let target: StreamTarget | undefined;
  const events: ProposedEvent[] = [];
  let sizeBytes = 0;
  let answered = false;
  const refuse = (error: unknown): void => {
    if (answered) return;
    answered = true;
    answer(toStatus(error));
  };
  call.on('data', (message: Buffer) => {
    if (answered) return;
    try {
      const part = decodeAppend(message);
      if ('stream' in part) target = part;
      else {
        sizeBytes += sizeOf(part);
        if (sizeBytes > MAX_APPEND_BYTES) throw tooLarge();
        events.push(part);
      }
    } catch (error) {
      refuse(error);
    }
  });
  call.on('end', () => {
    if (answered) return;
    writeAll(store, target, events, sizeBytes).then((response) => answer(null, response), refuse);
  });
}

async function writeAll(
  store: Store,
  target: StreamTarget | undefined,
  events: readonly ProposedEvent[],
  sizeBytes: number,
): Promise<Buffer> {
  if (target === undefined) throw new MalformedMessage('the options are missing');
  const outcome = await store.write({ kind: 'append', ...target, events, sizeBytes, deadlineMs: undefined });
  switch (outcome.kind) {
    case 'written':
      return appendSuccess(outcome);
    case 'conflict':
      return appendConflict(target.expected, outcome.current);
    case 'deleted':
    case 'expired':
      throw refusalOf(target, outcome);
  }
}

export function remove(
  store: Store,
  kind: 'delete' | 'tombstone',
  call: ServerUnaryCall<Buffer, Buffer>,
  answer: sendUnaryData<Buffer>,
): void {
  removeStream(store, kind, call.request).then(
    (response) => answer(null, response),
    (error: unknown) => answer(toStatus(error)),
  );
}

async function removeStream(store: Store, kind: 'delete' | 'tombstone', request: Buffer): Promise<Buffer> {
  const target = decodeDelete(request);
  const outcome = await store.write({ kind, ...target, events: [], sizeBytes: 0, deadlineMs: undefined });
  if (outcome.kind === 'written') return deleteSuccess(outcome.position);
  throw refusalOf(target, outcome);
}

function tooLarge(): Refusal {
  return new Refusal(status.INVALID_ARGUMENT, `Maximum Append Size of ${MAX_APPEND_BYTES} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(MAX_APPEND_BYTES),
  });
}

/** The third encoding of the verdicts: a status with trailers. */
function refusalOf(target: StreamTarget, outcome: Exclude<WriteOutcome, { kind: 'written' }>): Refusal {
  switch (outcome.kind) {
    case 'deleted':
      return streamDeleted(target.stream);
    case 'expired':
      return new Refusal(status.DEADLINE_EXCEEDED, 'the deadline passed before the write began');
    case 'conflict':
      return new Refusal(status.FAILED_PRECONDITION, `${target.stream} is not at the expected revision`, {
        exception: 'wrong-expected-version',
        'stream-name': target.stream,
        'expected-version': expectedVersion(target.expected),
        'actual-version': String(outcome.current),
      });
  }
}

/** The numbers by which this encoding names the expectations that are no revisions. */
function expectedVersion(expected: Expected): string {
  if (typeof expected === 'number' || typeof expected === 'bigint') return String(expected);
  return { 'no-stream': '-1', any: '-2', exists: '-4' }[expected];
}
