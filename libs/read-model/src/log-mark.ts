import { READ_MODEL_STREAM_PREFIXES, type RecordedEvent } from '@keyledger/contracts';
import { positionFrom, positionText } from './meta.js';
import type { LedgerSource } from './project.js';

/** An event that is in the read model: by it is told whether a log is the one of which that was made. */
export interface LogMark {
  position: bigint;
  eventId: string;
}

export const markOf = ({ position, id }: RecordedEvent): LogMark => ({ position, eventId: id });

export const markText = ({ position, eventId }: LogMark): string => `${positionText(position)} ${eventId}`;

function markFrom(text: string): LogMark {
  const [position, eventId = ''] = text.split(' ');
  return { position: positionFrom(position), eventId };
}

/**
 * A store that was put back, or another one, beside the Redis of a later time: what stands there was never decided here, and
 * positions mean something else. That cannot be repaired event by event.
 */
export class OtherLog extends Error {
  override readonly name = 'OtherLog';
  constructor({ position, eventId }: LogMark) {
    super(
      `Redis holds what was made of another log: it has the event ${eventId} of position ${position}, which this event ` +
        'store has not. Stop Keyledger and empty Redis (all in it is made again from the events), or give it the event ' +
        'store that belongs to it',
    );
  }
}

/** @param text a mark as it stands in Redis. @throws OtherLog */
export async function assertSameLog(store: Pick<LedgerSource, 'storedAt'>, text: string | undefined): Promise<void> {
  if (text === undefined) return;
  const mark = markFrom(text);
  const found = await store.storedAt(mark.position, READ_MODEL_STREAM_PREFIXES);
  if (found?.id !== mark.eventId) throw new OtherLog(mark);
}
