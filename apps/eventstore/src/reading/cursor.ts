/**
 * Cursors name the next event to read by its position in the log, and keep nothing but numbers: no transaction, no
 * page, no event. A cursor never passes the head that readers may see.
 */
import { TOMBSTONE_REVISION } from '../wire/recorded-event.js';
import type { ReadRequest, Start } from '../wire/read-messages.js';
import type { Store } from '../store.js';
import { firstVisible, isSoftDeleted, isTombstoned } from '../streams/stream-state.js';

export interface Cursor {
  /** The position of the next event, 0 when there is none (yet, for a cursor that goes forwards). */
  next(): number;
}

/** `$all` upwards, as far as there are events and `limit` allows. */
export class AllForwards implements Cursor {
  constructor(
    private readonly store: Store,
    private position: number,
    private readonly limit = Infinity,
  ) {}

  next(): number {
    return this.position <= this.store.head && this.position <= this.limit ? this.position++ : 0;
  }
}

class AllBackwards implements Cursor {
  constructor(private position: number) {}

  next(): number {
    return this.position > 0 ? this.position-- : 0;
  }
}

/** A stream between two revisions; `step` is 1 or -1. */
class StreamRange implements Cursor {
  constructor(
    private readonly store: Store,
    private readonly streamId: number,
    private revision: number,
    private remaining: number,
    private readonly step: 1 | -1,
  ) {}

  next(): number {
    if (this.remaining <= 0) return 0;
    this.remaining--;
    const position = this.store.log.position(this.streamId, this.revision);
    this.revision += this.step;
    return position;
  }
}

/** A stream upwards and on: past what its metadata hides, through a soft delete, up to and including its tombstone. */
export class StreamFollower implements Cursor {
  constructor(
    private readonly store: Store,
    private readonly stream: string,
    private revision: number,
  ) {}

  next(): number {
    const state = this.store.state(this.stream);
    if (isSoftDeleted(state)) return 0;
    this.revision = Math.max(this.revision, firstVisible(state));
    if (this.revision > state.last) return 0;
    let position = this.store.log.position(state.id, this.revision);
    if (position === 0 && isTombstoned(state)) {
      // The one gap in a stream is before its tombstone.
      this.revision = TOMBSTONE_REVISION;
      position = this.store.log.position(state.id, this.revision);
    }
    if (position === 0 || position > this.store.head) return 0;
    // Beyond 2^53 adding 1 changes nothing, and nothing follows a tombstone.
    this.revision = this.revision >= TOMBSTONE_REVISION ? Infinity : this.revision + 1;
    return position;
  }
}

/**
 * For a read that ends: over what is there now, however much is written meanwhile. `$all` is read inclusive of its
 * start forwards and exclusive backwards, a stream inclusive both ways, as the real server has it.
 */
export function rangeCursor(store: Store, request: ReadRequest): Cursor {
  const { from, backwards } = request;
  if (request.stream !== undefined) return streamRange(store, request.stream, from, backwards);
  if (backwards) {
    if (from === 'start') return new AllBackwards(0);
    return new AllBackwards(from === 'end' ? store.head : Math.min(from - 1, store.head));
  }
  return new AllForwards(store, from === 'end' ? store.head + 1 : from === 'start' ? 1 : Math.max(from, 1), store.head);
}

function streamRange(store: Store, stream: string, from: Start, backwards: boolean): Cursor {
  const state = store.state(stream);
  const lowest = firstVisible(state);
  if (backwards) {
    const start = from === 'end' ? state.last : from === 'start' ? 0 : Math.min(from, state.last);
    return new StreamRange(store, state.id, start, start - lowest + 1, -1);
  }
  const start = Math.max(from === 'end' ? state.last + 1 : from === 'start' ? 0 : from, lowest);
  return new StreamRange(store, state.id, start, state.last - start + 1, 1);
}

/** For a subscription: everything behind the start, which it is exclusive of, without an end. */
export function followingCursor(store: Store, request: ReadRequest): Cursor {
  const { from } = request;
  if (request.stream === undefined) {
    return new AllForwards(store, from === 'start' ? 1 : from === 'end' ? store.head + 1 : from + 1);
  }
  const { last } = store.state(request.stream);
  return new StreamFollower(store, request.stream, from === 'start' ? 0 : from === 'end' ? last + 1 : from + 1);
}
