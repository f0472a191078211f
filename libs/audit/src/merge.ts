import type { RecordedEvent } from '@keyledger/contracts';
import { advanceKey, happened, isBehind, type Cut, type KeyAt } from './replay.js';
import { keyIn, type SnapshotLine } from './snapshot-file.js';

/** A key of the past; taken apart only when it is looked at. */
export interface FoundKey {
  keyId: string;
  /** As it stands in a snapshot, if nothing happened since. */
  line?: string;
  key(): KeyAt;
}

/** Where in the order of ids a pass begins. */
export type Begin = { after: string } | { from: string };

const isBeyond = (keyId: string, begin: Begin): boolean =>
  'after' in begin ? keyId > begin.after : keyId >= begin.from;

/** The events of a stretch of the log by key, from a beginning on and as many as fit into memory. */
export class Tail {
  private readonly byKey = new Map<string, RecordedEvent[]>();
  private held = 0;
  /** Keys from here on are left to a later pass. */
  private before: string | undefined;

  constructor(
    private readonly begin: Begin,
    private readonly mostEvents: number,
  ) {}

  add(recorded: RecordedEvent): void {
    const keyId = recorded.stream.slice(KEY_PREFIX.length);
    if (!isBeyond(keyId, this.begin) || (this.before !== undefined && keyId >= this.before)) return;
    const events = this.byKey.get(keyId);
    if (events) events.push(recorded);
    else this.byKey.set(keyId, [recorded]);
    this.held += 1;
    if (this.held > this.mostEvents && this.byKey.size > 1) this.shrink();
  }

  /** Drops the later half of the keys. */
  private shrink(): void {
    const ids = [...this.byKey.keys()].sort();
    const dropped = ids.slice(Math.ceil(ids.length / 2));
    for (const id of dropped) {
      this.held -= this.byKey.get(id)?.length ?? 0;
      this.byKey.delete(id);
    }
    this.before = dropped[0];
  }

  /** The id from which on another pass is needed; `undefined`: none. */
  get end(): string | undefined {
    return this.before;
  }

  eventsOf(keyId: string): readonly RecordedEvent[] | undefined {
    return this.byKey.get(keyId);
  }

  ids(): string[] {
    return [...this.byKey.keys()].sort();
  }
}

export const KEY_PREFIX = 'key-';

/** Reads what lies between a snapshot and a cut, as far as it fits. */
export async function tailOf(
  events: AsyncIterable<readonly RecordedEvent[]>,
  cut: Cut,
  begin: Begin,
  mostEvents: number,
): Promise<Tail> {
  const tail = new Tail(begin, mostEvents);
  for await (const batch of events) {
    for (const recorded of batch) {
      if (isBehind(recorded, cut)) return tail;
      if (recorded.stream.startsWith(KEY_PREFIX) && happened(recorded, cut)) tail.add(recorded);
    }
  }
  return tail;
}

/** Every key from the beginning to the tail's end, in the order of ids: the snapshot with the tail folded in. */
export async function* merged(
  snapshot: AsyncIterable<readonly SnapshotLine[]>,
  tail: Tail,
  begin: Begin,
): AsyncGenerator<FoundKey[], void, undefined> {
  const ids = tail.ids();
  let next = 0;
  const fresh = (limit: string | undefined): FoundKey[] => {
    const found: FoundKey[] = [];
    for (let id = ids[next]; id !== undefined && (limit === undefined || id < limit); id = ids[++next]) {
      const one = folded(id, undefined, tail);
      if (one) found.push(one);
    }
    return found;
  };
  for await (const lines of snapshot) {
    const found: FoundKey[] = [];
    for (const { keyId, line } of lines) {
      if (!isBeyond(keyId, begin)) continue;
      if (tail.end !== undefined && keyId >= tail.end) {
        yield [...found, ...fresh(undefined)];
        return;
      }
      if (next < ids.length && (ids[next] as string) < keyId) found.push(...fresh(keyId));
      if (ids[next] === keyId) {
        next += 1;
        const one = folded(keyId, line, tail);
        if (one) found.push(one);
      } else found.push({ keyId, line, key: () => keyIn(line) });
    }
    if (found.length > 0) yield found;
  }
  const rest = fresh(undefined);
  if (rest.length > 0) yield rest;
}

function folded(keyId: string, line: string | undefined, tail: Tail): FoundKey | undefined {
  let key = line === undefined ? undefined : keyIn(line);
  for (const recorded of tail.eventsOf(keyId) ?? []) key = advanceKey(key, recorded);
  const known = key;
  return known && { keyId, key: () => known };
}
