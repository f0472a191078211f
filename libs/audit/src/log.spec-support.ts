import type { RecordedEvent } from '@keyledger/contracts';
import type { LogReader } from './history.js';

/** A log in memory as the event store reads it, seven events at a time. */
export const readerOf = (log: readonly RecordedEvent[]): LogReader => ({
  async *readAll({ from = -1n, inclusive = false, limit = Infinity, streamPrefixes }) {
    const rest = log
      .filter(({ position }) => position > from || (inclusive && position === from))
      .filter(({ stream }) => streamPrefixes.some((prefix) => stream.startsWith(prefix)))
      .slice(0, limit);
    for (let at = 0; at < rest.length; at += 7) yield rest.slice(at, at + 7);
  },
});
