/**
 * What has been committed, as far as it is kept in memory: the head that readers may see, the ends of the streams in
 * use, and the ids of recent events. It changes only behind a commit, so a failed commit leaves nothing to undo.
 */
import { readRecord, recordId } from '../wire/recorded-event.js';
import type { EventLog } from '../storage/event-log.js';
import { GenerationalMap } from './generational-map.js';
import {
  isMetadataStream,
  METADATA_LIMITS,
  METADATA_PREFIX,
  NO_LIMITS,
  parseLimits,
  type StreamLimits,
  type StreamState,
} from './stream-state.js';

/** Retries without an exact revision are recognised among so many of the last events at least. */
const RECENT_EVENTS = 20_000;
const CACHED_STREAMS = 20_000;

export class Committed {
  #head = 0;
  readonly #states = new GenerationalMap<StreamState>(CACHED_STREAMS);
  readonly #recentRevisions = new GenerationalMap<number>(RECENT_EVENTS);

  constructor(private readonly log: EventLog) {}

  /** The last position that is durable and may be shown. */
  get head(): number {
    return this.#head;
  }

  /** Forgets everything and takes the log's word for it: at the start, and when a commit's fate is unknown. */
  reload(): void {
    this.#states.clear();
    this.#recentRevisions.clear();
    this.#head = this.log.head();
    const streamIds = new Map<string, number>();
    for (let position = Math.max(1, this.#head - RECENT_EVENTS + 1); position <= this.#head; position++) {
      const record = this.log.record(position);
      if (record === undefined) throw new Error(`position ${position} is missing from the log`);
      const id = recordId(record);
      const { stream, revision } = readRecord(record);
      const streamId = streamIds.get(stream) ?? this.log.streamId(stream);
      streamIds.set(stream, streamId);
      this.addRecent(streamId, id, revision);
    }
  }

  state(stream: string): StreamState {
    const cached = this.#states.get(stream);
    if (cached !== undefined) return cached;
    const id = this.log.streamId(stream);
    const last = id === 0 ? -1 : this.log.lastRevision(id);
    const state = { id, last, ...this.#limits(stream) };
    this.#states.set(stream, state);
    return state;
  }

  #limits(stream: string): StreamLimits & { hasMetadata: boolean } {
    if (isMetadataStream(stream)) return { hasMetadata: false, ...METADATA_LIMITS };
    const metadata = this.lastData(METADATA_PREFIX + stream);
    return metadata === undefined
      ? { hasMetadata: false, ...NO_LIMITS }
      : { hasMetadata: true, ...parseLimits(metadata) };
  }

  /** The data of the stream's last event, copied. */
  lastData(stream: string): Buffer | undefined {
    const id = this.log.streamId(stream);
    if (id === 0) return undefined;
    const record = this.log.record(this.log.position(id, this.log.lastRevision(id)));
    return record === undefined ? undefined : readRecord(record).data;
  }

  recentRevision(streamId: number, eventId: string): number | undefined {
    return this.#recentRevisions.get(recentKey(streamId, eventId));
  }

  addRecent(streamId: number, eventId: string, revision: number): void {
    this.#recentRevisions.set(recentKey(streamId, eventId), revision);
  }

  publish(head: number, states: ReadonlyMap<string, StreamState>): void {
    this.#head = head;
    for (const [stream, state] of states) this.#states.set(stream, state);
  }
}

function recentKey(streamId: number, eventId: string): string {
  return `${streamId}:${eventId}`;
}
