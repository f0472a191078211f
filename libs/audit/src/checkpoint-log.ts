import { streams, type CheckpointSigned, type RecordedEvent } from '@keyledger/contracts';
import type { EventStore } from '@keyledger/event-store';

/** A checkpoint as it is recorded. */
export type RecordedCheckpoint = CheckpointSigned['data'] & {
  /** In the stream of checkpoints, from 0. */
  revision: number;
  /** Of its own event in the log; not `position`, which is that of the newest leaf below it. */
  recordedPosition: bigint;
};

/**
 * The checkpoints of the log, in one stream, each larger than the one before. Read from its end or in the middle, never
 * whole: there is one for every minute in which something happened.
 */
export class CheckpointLog {
  constructor(private readonly store: Pick<EventStore, 'readStream'>) {}

  /** @throws as `EventStore.readStream`, like all of these */
  async newest(): Promise<RecordedCheckpoint | undefined> {
    const [newest] = await this.read('backwards', undefined, 1);
    return newest;
  }

  async at(revision: number): Promise<RecordedCheckpoint | undefined> {
    const [found] = await this.read('forwards', revision, 1);
    return found;
  }

  /** Newest first, from a revision on downwards. */
  page(limit: number, fromRevision?: number): Promise<RecordedCheckpoint[]> {
    return this.read('backwards', fromRevision, limit);
  }

  private async read(
    direction: 'forwards' | 'backwards',
    fromRevision: number | undefined,
    limit: number,
  ): Promise<RecordedCheckpoint[]> {
    const options = { direction, limit, ...(fromRevision !== undefined && { fromRevision }) };
    const found: RecordedCheckpoint[] = [];
    for await (const events of this.store.readStream(streams.auditCheckpoint, options)) {
      found.push(...events.flatMap((one) => recordedCheckpoint(one) ?? []));
    }
    return found;
  }
}

function recordedCheckpoint({ event, revision, position }: RecordedEvent): RecordedCheckpoint | undefined {
  if (event.type !== 'CheckpointSigned') return undefined;
  return { ...event.data, revision, recordedPosition: position };
}
