/**
 * BatchAppend: one long-lived stream per client, over which appends come in fragments and are answered in any order.
 * A failed append is a message; a status ends the stream for all of them, and clients take OK for an answer to nothing,
 * so the stream never ends with OK while an append is unanswered.
 */
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Store } from '../store.js';
import type { WriteOutcome } from '../streams/group-plan.js';
import { Answers, type MessageBatch, Refusal } from '../transport.js';
import {
  batchError,
  type BatchFragment,
  type BatchProblem,
  batchSuccess,
  decodeBatchFragment,
  type ProposedEvent,
  sizeOf,
  type StreamTarget,
} from '../wire/append-messages.js';
import { MalformedMessage } from '../wire/protobuf.js';
import { MAX_APPEND_BYTES } from './append.service.js';

/** What one client may have unanswered, or answered and not taken, before its stream is no longer read. */
const MAX_OPEN_APPENDS = 1024;
const MAX_OPEN_BYTES = 16 * 1024 * 1024;

interface Assembly {
  readonly target: StreamTarget & { deadlineMs: number | undefined };
  readonly events: ProposedEvent[];
  sizeBytes: number;
}

/** Appends that were refused before their last fragment: the rest is passed over. */
const REFUSED = Symbol('refused');

export class BatchAppendCall {
  readonly answers: Answers;
  readonly #assemblies = new Map<string, Assembly | typeof REFUSED>();
  #assembledBytes = 0;
  #openAppends = 0;
  #openBytes = 0;
  #outbox: Buffer[] = [];
  #flushing: Promise<void> | undefined;
  #halfClosed = false;

  constructor(
    private readonly store: Store,
    private readonly call: ServerDuplexStream<Buffer, Buffer | MessageBatch>,
  ) {
    this.answers = new Answers(call);
    call.on('data', (message: Buffer) => this.#receive(message));
    call.on('end', () => {
      this.#halfClosed = true;
      this.#endWhenDone();
    });
  }

  /** Sends the answers that are there, then ends the stream so that the client fails what is open and reconnects. */
  async stop(reason: Refusal): Promise<void> {
    await this.#flushing;
    this.answers.fail(reason);
  }

  #receive(message: Buffer): void {
    if (this.answers.over) return;
    try {
      const fragment = decodeBatchFragment(message);
      const key = fragment.correlationId.toString('latin1');
      if (this.#assemblies.get(key) !== REFUSED) this.#assemble(key, fragment);
      if (fragment.isFinal) this.#assemblies.delete(key);
    } catch (error) {
      // Such as a fragment without a correlation id, so without an append to refuse.
      this.answers.fail(error);
    }
  }

  #assemble(key: string, fragment: BatchFragment): void {
    const known = this.#assemblies.get(key);
    let assembly: Assembly | undefined = known === REFUSED ? undefined : known;
    const refuse = (problem: BatchProblem): void => {
      this.#assembledBytes -= assembly?.sizeBytes ?? 0;
      this.#assemblies.set(key, REFUSED);
      this.#openAppends++;
      this.#answer(batchError(fragment.correlationId, assembly?.target.stream ?? '', problem), 0);
    };
    try {
      const { target, events } = fragment.decode();
      if (assembly === undefined) {
        if (target === undefined) throw new MalformedMessage('the first fragment of an append carries its options');
        assembly = { target, events: [], sizeBytes: 0 };
        this.#assemblies.set(key, assembly);
      }
      assembly.events.push(...events);
      const bytes = events.reduce((sum, event) => sum + sizeOf(event), 0);
      assembly.sizeBytes += bytes;
      this.#assembledBytes += bytes;
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      refuse({ kind: 'malformed', message: error.message });
      return;
    }
    if (assembly.sizeBytes > MAX_APPEND_BYTES) refuse({ kind: 'too-large', maxBytes: MAX_APPEND_BYTES });
    else if (fragment.isFinal) this.#write(fragment.correlationId, assembly);
    else if (this.#assembledBytes > MAX_OPEN_BYTES) {
      this.answers.fail(new Refusal(status.RESOURCE_EXHAUSTED, 'too many appends were begun and not finished'));
    }
  }

  #write(correlationId: Buffer, { target, events, sizeBytes }: Assembly): void {
    this.#assembledBytes -= sizeBytes;
    this.#openAppends++;
    this.#openBytes += sizeBytes;
    if (this.#openAppends >= MAX_OPEN_APPENDS || this.#openBytes >= MAX_OPEN_BYTES) this.call.pause();
    this.store.write({ kind: 'append', ...target, events, sizeBytes }).then(
      (outcome) => this.#answer(encodeOutcome(correlationId, target, outcome), sizeBytes),
      (error: unknown) => this.answers.fail(error),
    );
  }

  #answer(message: Buffer, sizeBytes: number): void {
    this.#openBytes -= sizeBytes;
    this.#outbox.push(message);
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      this.#endWhenDone();
    });
  }

  /** The answers to one commit come one after another within a turn, and leave together. */
  async #flush(): Promise<void> {
    await new Promise((resolve) => process.nextTick(resolve));
    while (this.#outbox.length > 0) {
      const batch = this.#outbox;
      this.#outbox = [];
      await this.answers.send(batch);
      this.#openAppends -= batch.length;
      if (this.#openAppends < MAX_OPEN_APPENDS / 2 && this.#openBytes < MAX_OPEN_BYTES / 2) this.call.resume();
    }
  }

  #endWhenDone(): void {
    if (!this.#halfClosed || this.#openAppends > 0) return;
    if (this.#assemblies.size === 0) this.answers.end();
    else this.answers.fail(new MalformedMessage('the stream ended within an append'));
  }
}

function encodeOutcome(correlationId: Buffer, target: StreamTarget, outcome: WriteOutcome): Buffer {
  const { stream, expected } = target;
  switch (outcome.kind) {
    case 'written':
      return batchSuccess(correlationId, stream, outcome);
    case 'conflict':
      return batchError(correlationId, stream, { kind: 'conflict', expected, current: outcome.current });
    case 'deleted':
    case 'expired':
      return batchError(correlationId, stream, outcome);
  }
}
