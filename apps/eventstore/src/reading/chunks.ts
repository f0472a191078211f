/** Takes events from a cursor, a chunk at a time: encoded, filtered, and with the checkpoints of a filtered subscription. */
import { checkpointMessage, type ReadRequest } from '../wire/read-messages.js';
import { encodeEventMessage, withStructuredId } from '../wire/recorded-event.js';
import type { Store } from '../store.js';
import type { Cursor } from './cursor.js';
import { compileFilter, type RecordFilter } from './filter.js';

/** What a reader may hold in memory: this much on its way to the client, and as much prepared behind it. */
const CHUNK_BYTES = 64 * 1024;
/** A filter that matches rarely lets others run after so many events. */
const CHUNK_CONSIDERED = 1000;

export interface Chunk {
  readonly messages: Buffer[];
  /** The cursor had nothing more, or as many events as were asked for are taken. */
  readonly ended: boolean;
}

export class ChunkReader {
  readonly #filter: RecordFilter | undefined;
  readonly #structuredIds: boolean;
  readonly #checkpointInterval: number;
  #remaining: number;
  #considered = 0;
  #lastCheckpoint = 0;

  /** @throws MalformedMessage for a filter that is none */
  constructor(
    private readonly store: Store,
    private readonly cursor: Cursor,
    request: ReadRequest,
  ) {
    this.#filter = request.filter && compileFilter(request.filter);
    this.#structuredIds = request.structuredIds;
    this.#remaining = request.count ?? Infinity;
    this.#checkpointInterval = request.count === undefined ? (request.filter?.checkpointInterval ?? 0) : 0;
    if (typeof request.from === 'number') this.#lastCheckpoint = request.from;
  }

  /** Runs to its end without giving way, so nothing is remapped or committed while it reads. */
  take(): Chunk {
    const messages: Buffer[] = [];
    let bytes = 0;
    for (let count = 0; count < CHUNK_CONSIDERED && bytes < CHUNK_BYTES; count++) {
      const position = this.#remaining > 0 ? this.cursor.next() : 0;
      if (position === 0) return { messages, ended: true };
      const message = this.#message(position);
      if (message !== undefined) {
        this.#remaining--;
        messages.push(message);
        bytes += message.length;
      }
      if (this.#checkpointInterval > 0 && ++this.#considered % this.#checkpointInterval === 0) {
        messages.push(this.#checkpoint(position));
      }
    }
    return { messages, ended: false };
  }

  /** A filtered subscription's word that it has looked at all up to `position`; nothing where it has said so already. */
  checkpointAt(position: number): Buffer[] {
    return this.#filter === undefined || position <= this.#lastCheckpoint ? [] : [this.#checkpoint(position)];
  }

  #checkpoint(position: number): Buffer {
    this.#lastCheckpoint = position;
    return checkpointMessage(position, Date.now());
  }

  #message(position: number): Buffer | undefined {
    const record = this.store.log.record(position);
    if (record === undefined) throw new Error(`position ${position} is missing from the log`);
    if (this.#filter !== undefined && !this.#filter(record)) return undefined;
    return encodeEventMessage(this.#structuredIds ? withStructuredId(record) : record, position);
  }
}
