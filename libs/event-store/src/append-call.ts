import type { AppendStreamState, KurrentDBClient } from '@kurrent/kurrentdb-client';
import type { Duplex } from 'node:stream';
import { decodeAppendAnswer, encodeAppend, type AppendSpec, type AppendVerdict } from './append-wire.js';
import { denialIn, denied, openBatchAppend } from './client-channel.js';
import type { Connection } from './connection.js';
import { EventStoreRefused, RevisionConflict } from './errors.js';

/** The position of an append's last event, that it was made where the server does not say where, or why it was not. */
export type Answer = bigint | 'done' | Error;

/** Appends that were sent together, and their answers as far as they have come. */
interface Lot {
  specs: readonly AppendSpec[];
  answers: (Answer | undefined)[];
  open: number;
  resolve: () => void;
  reject: (error: Error) => void;
  sentAt: number;
}

interface Waiting {
  lot: Lot;
  place: number;
}

/** One call with many appends on their way, which the server answers in any order. */
interface OpenCall {
  write(specs: readonly AppendSpec[], answers: (Answer | undefined)[]): Promise<void>;
  isOver(): boolean;
}

/** How long an append without an answer is remembered; its caller has long given up by then. */
const FORGOTTEN_AFTER_MS = 30_000;

/**
 * Appends of one connection over one BatchAppend call, through the client's own channel. The client's `appendToStream`
 * makes the same call, at several times the cost; it ends the process over what waits in it when a connection is lost,
 * and never tells those who wait that the server has ended the call without an error.
 */
export class Appends {
  private current: { client: KurrentDBClient; call: Promise<OpenCall | undefined>; open?: OpenCall } | undefined;

  constructor(private readonly connection: Connection) {}

  /**
   * Writes each answer (of the errors RevisionConflict, EventStoreRefused or EventStoreUnavailable) to the place of its
   * append when it comes, and resolves when all have come. How long it waits is its caller's to say.
   * @throws EventStoreUnavailable, EventStoreRefused when the call is over: what has no answer then has none;
   * an error of gRPC where no call could be opened
   */
  async appendAll(
    client: KurrentDBClient,
    specs: readonly AppendSpec[],
    answers: (Answer | undefined)[],
  ): Promise<void> {
    const known = this.current;
    if (known?.client === client && known.open && !known.open.isOver()) return known.open.write(specs, answers);
    const call = await this.callOf(client);
    if (call) return call.write(specs, answers);
    await Promise.all(
      specs.map(async (spec, place) => {
        answers[place] = await appendAlone(client, spec).catch((error) => this.connection.translate(error, 'append'));
      }),
    );
  }

  /** None where the server does not know this call, as before 21.10. */
  private async callOf(client: KurrentDBClient): Promise<OpenCall | undefined> {
    if (this.current?.client !== client || this.current.open?.isOver()) {
      const begun: NonNullable<typeof this.current> = { client, call: this.open(client) };
      this.current = begun;
      begun.call.then(
        (open) => open && (begun.open = open),
        () => this.current === begun && (this.current = undefined),
      );
    }
    return this.current.call;
  }

  private async open(client: KurrentDBClient): Promise<OpenCall | undefined> {
    const stream = await openBatchAppend(client);
    return stream && openCall(stream, this.connection);
  }
}

function openCall(stream: Duplex, connection: Connection): OpenCall {
  const waiting = new Map<number, Waiting>();
  let last = 0;
  let over = false;
  const end = (failure: Error): void => {
    over = true;
    for (const { lot } of waiting.values()) lot.reject(failure);
    waiting.clear();
  };
  stream
    .on('data', (message: Buffer) => {
      const { correlation, verdict } = decodeAppendAnswer(message);
      const one = waiting.get(correlation);
      if (!one) return;
      waiting.delete(correlation);
      const { lot, place } = one;
      lot.answers[place] = answerOf(lot.specs[place] as AppendSpec, verdict, connection);
      lot.open -= 1;
      if (lot.open === 0) lot.resolve();
    })
    .on('error', (error: Error) => end(failureOf(error, connection)))
    .on('end', () => {
      stream.end();
      end(connection.unavailable('ended the call', 'unknown'));
    });
  const forget = (sentBefore: number): void => {
    for (const [correlation, { lot }] of waiting) {
      if (lot.sentAt > sentBefore) return;
      waiting.delete(correlation);
      lot.reject(connection.unavailable('gave no answer', 'unknown'));
    }
  };
  return {
    isOver: () => over,
    write: (specs, answers) =>
      new Promise((resolve, reject) => {
        if (over) throw connection.unavailable('ended the call', 'unknown');
        const sentAt = performance.now();
        forget(sentAt - FORGOTTEN_AFTER_MS);
        const lot = { specs, answers, open: specs.length, resolve, reject, sentAt };
        for (const [place, spec] of specs.entries()) {
          last += 1;
          waiting.set(last, { lot, place });
          stream.write(encodeAppend(last, spec));
        }
      }),
  };
}

function answerOf(spec: AppendSpec, verdict: AppendVerdict, connection: Connection): Answer {
  return verdict.kind === 'done' ? (verdict.position ?? 'done') : refusalOf(spec, verdict, connection);
}

const UNAVAILABLE = 14;

/** What a call that broke off means for the appends on it: whether they were made, nobody knows. */
function failureOf(error: Error, connection: Connection): Error {
  const lost = (error as { code?: unknown }).code === UNAVAILABLE;
  return denialIn(error) ?? connection.unavailable(lost ? 'cannot be reached' : `failed: ${error.message}`, 'unknown');
}

const INVALID_ARGUMENT = 3;

function refusalOf(
  { stream, expectedRevision }: AppendSpec,
  verdict: Exclude<AppendVerdict, { kind: 'done' }>,
  connection: Connection,
): Error {
  if (verdict.kind === 'conflict') return new RevisionConflict(stream, expectedRevision, verdict.actualRevision);
  const { type, code, message } = verdict;
  switch (type) {
    case 'StreamDeleted':
      return new EventStoreRefused('the stream was deleted for ever', 'stream-deleted');
    case 'AccessDenied':
      return denied();
    case 'MaximumAppendSizeExceeded':
      return new EventStoreRefused('the events are larger than the event store takes at once', 'too-large');
    default:
      if (code === INVALID_ARGUMENT) return new EventStoreRefused(message, 'invalid');
      return connection.unavailable(`failed: ${[type, message].filter(Boolean).join(', ')}`, 'unknown');
  }
}

/** An append as a call of its own. @throws the client's errors */
async function appendAlone(client: KurrentDBClient, spec: AppendSpec): Promise<Answer> {
  const { stream, expectedRevision, events } = spec;
  const streamState: AppendStreamState = expectedRevision < 0 ? 'no_stream' : BigInt(expectedRevision);
  const proposed = events.map(({ id, type, data, metadata }) => ({
    id,
    type,
    contentType: 'application/json' as const,
    data: JSON.parse(String(data)) as Record<string, unknown>,
    metadata: JSON.parse(String(metadata)) as Record<string, unknown>,
  }));
  const deadline = spec.deadlineMs - Date.now();
  const { position } = await client.appendToStream(stream, proposed, { streamState, deadline });
  return position?.commit ?? 'done';
}
