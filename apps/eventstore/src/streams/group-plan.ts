/**
 * One group of writes that will share a commit. Each is judged against what is committed plus what the group before it
 * adds; nothing outside the plan changes until the commit has succeeded and `publish` is called.
 */
import { randomUUID } from 'node:crypto';
import type { EventLog, LogEntry } from '../storage/event-log.js';
import type { Expected, ProposedEvent } from '../wire/append-messages.js';
import { encodeRecord, recordId, TOMBSTONE_REVISION } from '../wire/recorded-event.js';
import type { Committed } from './committed.js';
import { judgeWrite, type KnownEvents } from './expectation.js';
import {
  isMetadataStream,
  isSoftDeleted,
  isTombstoned,
  METADATA_PREFIX,
  METADATA_TYPE,
  parseLimits,
  type StreamState,
  TOMBSTONE_TYPE,
  withTruncateBefore,
} from './stream-state.js';

export interface WriteRequest {
  readonly kind: 'append' | 'delete' | 'tombstone';
  readonly stream: string;
  readonly expected: Expected;
  readonly events: readonly ProposedEvent[];
  readonly sizeBytes: number;
  /** After this instant the writer no longer waits for an answer. */
  readonly deadlineMs: number | undefined;
}

export type WriteOutcome =
  /** Also the answer to a repeated write, with the revision and position of then. */
  | { readonly kind: 'written'; readonly revision: number; readonly position: number | undefined }
  | { readonly kind: 'conflict'; readonly current: number }
  | { readonly kind: 'deleted' }
  | { readonly kind: 'expired' };

export class GroupPlan {
  readonly entries: LogEntry[] = [];
  #head: number;
  readonly #states = new Map<string, StreamState>();
  readonly #lastMetadata = new Map<string, Buffer>();
  readonly #ids = new Map<string, string>();
  readonly #revisions = new Map<string, { streamId: number; id: string; revision: number }>();

  constructor(
    private readonly log: EventLog,
    private readonly committed: Committed,
    private readonly nowMs: number,
  ) {
    this.#head = committed.head;
  }

  add(request: WriteRequest): WriteOutcome {
    if (request.deadlineMs !== undefined && request.deadlineMs < this.nowMs) return { kind: 'expired' };
    const { stream, events } = request;
    const state = this.#state(stream);
    if (isMetadataStream(stream) && isTombstoned(this.#state(stream.slice(METADATA_PREFIX.length)))) {
      return { kind: 'deleted' };
    }
    const verdict = judgeWrite(
      state,
      request.expected,
      events.map((event) => event.id),
      this.#knownEvents(state.id),
    );
    if (verdict.kind === 'repeated') return this.#repeated(state, verdict.lastRevision);
    if (verdict.kind !== 'write') return verdict;
    if (request.kind === 'tombstone') return this.#append(stream, [serverEvent(TOMBSTONE_TYPE)], TOMBSTONE_REVISION);
    if (request.kind === 'delete') return this.#setTruncateBefore(stream, 'deleted');
    if (events.length === 0) return { kind: 'written', revision: state.last, position: undefined };
    if (isSoftDeleted(state)) this.#setTruncateBefore(stream, state.last + 1);
    return this.#append(stream, events, state.last + 1);
  }

  /** Makes the group visible. Call it once, when the entries are durable. */
  publish(): void {
    for (const { streamId, id, revision } of this.#revisions.values()) this.committed.addRecent(streamId, id, revision);
    this.committed.publish(this.#head, this.#states);
  }

  #state(stream: string): StreamState {
    return this.#states.get(stream) ?? this.committed.state(stream);
  }

  #knownEvents(streamId: number): KnownEvents {
    return {
      idAt: (revision) => {
        if (streamId === 0) return undefined;
        const planned = this.#ids.get(`${streamId}@${revision}`);
        if (planned !== undefined) return planned;
        const position = this.log.position(streamId, revision);
        const record = position === 0 ? undefined : this.log.record(position);
        return record === undefined ? undefined : recordId(record);
      },
      recentRevision: (id) =>
        this.#revisions.get(`${streamId}:${id}`)?.revision ?? this.committed.recentRevision(streamId, id),
    };
  }

  #repeated(state: StreamState, revision: number): WriteOutcome {
    const planned = this.entries.find((entry) => entry.streamId === state.id && entry.revision === revision);
    return { kind: 'written', revision, position: planned?.position ?? this.log.position(state.id, revision) };
  }

  #append(stream: string, events: readonly ProposedEvent[], firstRevision: number): WriteOutcome {
    const before = this.#state(stream);
    const streamId = before.id === 0 ? this.#head + 1 : before.id;
    let revision = firstRevision;
    for (const [index, event] of events.entries()) {
      revision = firstRevision + index;
      const position = ++this.#head;
      const record = encodeRecord({ ...event, stream, revision, position, createdMs: this.nowMs });
      this.entries.push({ position, streamId, newName: position === streamId ? stream : undefined, revision, record });
      this.#ids.set(`${streamId}@${revision}`, event.id);
      this.#revisions.set(`${streamId}:${event.id}`, { streamId, id: event.id, revision });
    }
    this.#states.set(stream, { ...before, id: streamId, last: revision });
    const last = events.at(-1);
    if (isMetadataStream(stream) && last !== undefined) this.#applyMetadata(stream, last.data);
    return { kind: 'written', revision, position: this.#head };
  }

  #applyMetadata(metadataStream: string, data: Buffer): void {
    const stream = metadataStream.slice(METADATA_PREFIX.length);
    this.#lastMetadata.set(stream, data);
    this.#states.set(stream, { ...this.#state(stream), hasMetadata: true, ...parseLimits(data) });
  }

  #setTruncateBefore(stream: string, truncateBefore: number | 'deleted'): WriteOutcome {
    const metadataStream = METADATA_PREFIX + stream;
    const data = withTruncateBefore(
      this.#lastMetadata.get(stream) ?? this.committed.lastData(metadataStream),
      truncateBefore,
    );
    const revision = this.#state(metadataStream).last + 1;
    return this.#append(metadataStream, [serverEvent(METADATA_TYPE, data)], revision);
  }
}

/** An event that the server itself writes. */
export function serverEvent(type: string, data: Buffer = Buffer.from('{}')): ProposedEvent {
  return { id: randomUUID(), type, json: true, customMetadata: Buffer.alloc(0), data };
}
