import { streams, type RecordedEvent } from '@keyledger/contracts';
import { subjectIn, type Subject } from './subject.js';

/** What this needs of the event store. */
export interface StreamReader {
  readStream(stream: string, options: { direction: 'forwards'; signal?: AbortSignal }): AsyncIterable<RecordedEvent[]>;
}

const ENTRIES_KEPT = 100_000;
const LOADS_AT_ONCE = 16;

/** What is known of the subject of one stream, up to a revision of it. */
interface Entry {
  keyId?: string;
  keyspaceId?: string;
  /** Every owner there was, and from which position on. */
  owners: { ownerId: string; since: bigint }[];
  upTo: number;
}

/**
 * Whose an event is: most events name their key only, and a key's keyspace and owner stand in other events of its
 * stream. What streams say is kept for the newest hundred thousand of them; who reads the log forwards brings along all
 * that is needed, and others cost one read of a stream each.
 */
export class Subjects {
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly store: StreamReader) {}

  /** The subjects of events, in their order; the owner is the one at that place of the log. */
  async of(events: readonly RecordedEvent[], signal?: AbortSignal): Promise<Subject[]> {
    await this.bring(events, signal);
    const subjects: Subject[] = [];
    for (const event of events) subjects.push(await this.one(event, signal));
    return subjects;
  }

  private async one(recorded: RecordedEvent, signal?: AbortSignal): Promise<Subject> {
    const entry = this.apply(recorded) ?? (await this.load(recorded.stream, signal));
    const keyId = subjectIn(recorded.event).keyId ?? entry?.keyId;
    const ofStream: Subject = {
      ...(entry?.keyspaceId !== undefined && { keyspaceId: entry.keyspaceId }),
      ...ownerAt(entry, recorded.position),
      ...(keyId !== undefined && { keyId }),
    };
    if (ofStream.keyspaceId !== undefined || keyId === undefined || recorded.stream === streams.key(keyId)) {
      return ofStream;
    }
    const key = this.touch(streams.key(keyId)) ?? (await this.load(streams.key(keyId), signal));
    return {
      ...(key?.keyspaceId !== undefined && { keyspaceId: key.keyspaceId }),
      ...ownerAt(key, recorded.position),
      ...ofStream,
    };
  }

  /** Loads what will be needed, several streams at once. */
  private async bring(events: readonly RecordedEvent[], signal?: AbortSignal): Promise<void> {
    const known = new Set<string>();
    const missing = new Set<string>();
    for (const { stream, revision, event } of events) {
      const { keyId } = subjectIn(event);
      const needed = keyId === undefined ? [stream] : [stream, streams.key(keyId)];
      if (revision === 0) known.add(stream);
      for (const name of needed) if (!known.has(name) && !this.entries.has(name)) missing.add(name);
    }
    const names = [...missing];
    const lane = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) await this.load(name, signal);
    };
    await Promise.all(Array.from({ length: Math.min(LOADS_AT_ONCE, names.length) }, lane));
  }

  /** The entry of the event's stream if it knows that far, or does with this event. */
  private apply(recorded: RecordedEvent): Entry | undefined {
    const { stream, revision } = recorded;
    const entry = this.touch(stream) ?? (revision === 0 ? this.keep(stream, { owners: [], upTo: -1 }) : undefined);
    if (!entry || revision > entry.upTo + 1) return undefined;
    if (revision === entry.upTo + 1) absorb(entry, recorded);
    return entry;
  }

  private async load(stream: string, signal?: AbortSignal): Promise<Entry | undefined> {
    const entry: Entry = { owners: [], upTo: -1 };
    const options = { direction: 'forwards', ...(signal && { signal }) } as const;
    for await (const batch of this.store.readStream(stream, options)) for (const one of batch) absorb(entry, one);
    return this.keep(stream, entry);
  }

  private touch(stream: string): Entry | undefined {
    const entry = this.entries.get(stream);
    if (!entry) return undefined;
    this.entries.delete(stream);
    this.entries.set(stream, entry);
    return entry;
  }

  private keep(stream: string, entry: Entry): Entry {
    this.entries.delete(stream);
    this.entries.set(stream, entry);
    const [oldest] = this.entries.size > ENTRIES_KEPT ? this.entries.keys() : [];
    if (oldest !== undefined) this.entries.delete(oldest);
    return entry;
  }
}

function absorb(entry: Entry, { event, position, revision }: RecordedEvent): void {
  const { keyId, keyspaceId, ownerId } = subjectIn(event);
  if (keyId !== undefined) entry.keyId ??= keyId;
  if (keyspaceId !== undefined) entry.keyspaceId ??= keyspaceId;
  if (ownerId !== undefined) entry.owners.push({ ownerId, since: position });
  entry.upTo = revision;
}

/** The owner at that place; before the first one, that one: what a leak's earlier event is about is known only later. */
function ownerAt(entry: Entry | undefined, position: bigint): Pick<Subject, 'ownerId'> {
  const owner = entry?.owners.findLast(({ since }) => since <= position) ?? entry?.owners[0];
  return owner ? { ownerId: owner.ownerId } : {};
}
