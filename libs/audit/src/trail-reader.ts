import { AUDITED_STREAM_PREFIXES, streams, type RecordedEvent } from '@keyledger/contracts';
import type { LogReader } from './history.js';
import type { Marks } from './marks.js';
import type { Subject } from './subject.js';
import { Subjects } from './subjects.js';
import { fits, prefixesFor, type TrailFilter } from './trail.js';

/** What this needs of the event store. */
export interface TrailStore extends LogReader {
  readStream(
    stream: string,
    options: { direction: 'forwards' | 'backwards'; fromRevision?: number; signal?: AbortSignal },
  ): AsyncIterable<RecordedEvent[]>;
}

export interface TrailQuery {
  filter: TrailFilter;
  order: 'oldest' | 'newest';
  /** Keyspaces whose events may be seen; of events that belong to none only `all` sees anything. */
  reach: 'all' | readonly string[];
  /** The `place` of an earlier find, to go on behind it. */
  after?: bigint;
  /** Whose own readings of the trail are left out, so that whoever follows it does not follow himself. */
  withoutReadsBy?: string;
  signal?: AbortSignal;
}

export interface TrailFind {
  recorded: RecordedEvent;
  subject: Subject;
}

export interface TrailBatch {
  found: TrailFind[];
  /** How many events were looked at, and the place of the last: a position, or with `keyId` a revision. */
  looked: number;
  place: bigint;
}

/**
 * Reads the trail, oldest or newest first, at constant memory. With a key it reads that key's stream, whatever the size
 * of the log; else the log between the bounds, which marks of time bring close, in the streams that the types asked for
 * stand in. Keyspace, owner, actor and request are not indexed: they cost a look at every event between the bounds.
 */
export class TrailReader {
  private readonly subjects: Subjects;

  constructor(
    private readonly store: TrailStore,
    private readonly marks: Marks,
    /** Events as they may be shown: what stands in them for personal data becomes that data again. */
    private readonly shown: (events: RecordedEvent[]) => Promise<RecordedEvent[]> = async (events) => events,
  ) {
    this.subjects = new Subjects(store);
  }

  async *read(query: TrailQuery): AsyncGenerator<TrailBatch, void, undefined> {
    const { filter, order, reach, signal } = query;
    const oldestFirst = order === 'oldest';
    for await (const stored of filter.keyId === undefined ? this.log(query) : this.stream(query, filter.keyId)) {
      // The person for whom an actor acts can be looked for only where his name can be read.
      const events = filter.actorId === undefined ? stored : await this.shown(stored);
      const subjects = await this.subjects.of(events, signal);
      const batch: TrailBatch = { found: [], looked: events.length, place: 0n };
      for (const [index, recorded] of events.entries()) {
        if (isBeyond(recorded, filter, oldestFirst)) {
          yield await this.shownOf(batch);
          return;
        }
        batch.place = filter.keyId === undefined ? recorded.position : BigInt(recorded.revision);
        const subject = subjects[index] ?? {};
        if (!fits(recorded, subject, filter) || !inReach(subject, reach) || isOwnRead(recorded, query)) continue;
        batch.found.push({ recorded, subject });
      }
      yield await this.shownOf(batch);
    }
  }

  private async shownOf(batch: TrailBatch): Promise<TrailBatch> {
    const shown = await this.shown(batch.found.map(({ recorded }) => recorded));
    const found = batch.found.map(({ subject }, index) => ({ recorded: shown[index] as RecordedEvent, subject }));
    return { ...batch, found };
  }

  /** Subjects of events that were read otherwise. */
  subjectsOf(events: readonly RecordedEvent[]): Promise<Subject[]> {
    return this.subjects.of(events);
  }

  private stream({ order, after, signal }: TrailQuery, keyId: string): AsyncIterable<RecordedEvent[]> {
    const forwards = order === 'oldest';
    if (!forwards && after === 0n) return nothing();
    return this.store.readStream(streams.key(keyId), {
      direction: forwards ? 'forwards' : 'backwards',
      ...(after !== undefined && { fromRevision: Number(after) + (forwards ? 1 : -1) }),
      ...(signal && { signal }),
    });
  }

  private log({ filter, order, after, signal }: TrailQuery): AsyncIterable<RecordedEvent[]> {
    const streamPrefixes = prefixesFor(filter, AUDITED_STREAM_PREFIXES);
    const bounds = order === 'oldest' ? this.lowest(filter) : this.highest(filter);
    const closest = order === 'oldest' ? max(after, ...bounds) : min(after, ...bounds);
    return this.store.readAll({
      direction: order === 'oldest' ? 'forwards' : 'backwards',
      ...(closest !== undefined && { from: closest }),
      streamPrefixes,
      ...(signal && { signal }),
    });
  }

  private lowest({ from, fromPosition }: TrailFilter): (bigint | undefined)[] {
    return [
      from === undefined ? undefined : this.marks.positionBefore(from),
      fromPosition === undefined ? undefined : this.marks.placeBefore(fromPosition - 1n),
    ];
  }

  private highest({ to, toPosition }: TrailFilter): (bigint | undefined)[] {
    return [
      to === undefined ? undefined : this.marks.positionBehind(to),
      toPosition === undefined ? undefined : this.marks.placeBehind(toPosition),
    ];
  }
}

/** Whether nothing that follows can fit any more. */
function isBeyond({ recordedAt, position }: RecordedEvent, filter: TrailFilter, oldestFirst: boolean): boolean {
  const { from, to, fromPosition, toPosition } = filter;
  return oldestFirst
    ? (to !== undefined && recordedAt >= to) || (toPosition !== undefined && position > toPosition)
    : (from !== undefined && recordedAt < from) || (fromPosition !== undefined && position < fromPosition);
}

function inReach({ keyspaceId }: Subject, reach: TrailQuery['reach']): boolean {
  return reach === 'all' || (keyspaceId !== undefined && reach.includes(keyspaceId));
}

function isOwnRead({ event, metadata }: RecordedEvent, { withoutReadsBy }: TrailQuery): boolean {
  return (
    (event.type === 'AuditTrailRead' || event.type === 'AuditTrailExported') && metadata.actor.id === withoutReadsBy
  );
}

async function* nothing(): AsyncGenerator<RecordedEvent[]> {}

function max(...values: (bigint | undefined)[]): bigint | undefined {
  return values.reduce((most, value) => (most === undefined || (value !== undefined && value > most) ? value : most));
}

function min(...values: (bigint | undefined)[]): bigint | undefined {
  return values.reduce((least, value) =>
    least === undefined || (value !== undefined && value < least) ? value : least,
  );
}
