import type { RecordedEvent } from '@keyledger/contracts';
import { advanceKey, happened, isBehind, type Cut, type KeyAt, type KeyStep } from './replay.js';
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

/** What a stretch of the log does to one key: where it begins there, the key itself; else what is still to be folded. */
interface Course {
  key: KeyAt | undefined;
  later: KeyStep[];
}

/**
 * What a stretch of the log does to each key, from a beginning on and as many keys as fit into memory. Of an event only
 * what goes into a key is kept, and of a key that begins in the stretch only the key.
 */
export class Tail {
  private readonly byKey = new Map<string, Course>();
  private held = 0;
  /** Keys from here on are left to a later pass. */
  private before: string | undefined;

  /** @param mostHeld keys and events in memory at once */
  constructor(
    private readonly begin: Begin,
    private readonly mostHeld: number,
  ) {}

  add({ stream, event, revision, position, recordedAt }: RecordedEvent): void {
    const keyId = stream.slice(KEY_PREFIX.length);
    if (!isBeyond(keyId, this.begin) || (this.before !== undefined && keyId >= this.before)) return;
    const step: KeyStep = { event, revision, position, recordedAt };
    const course = this.byKey.get(keyId);
    if (course?.key) {
      course.key = advanceKey(course.key, step);
      return;
    }
    if (course) course.later.push(step);
    else this.byKey.set(keyId, revision === 0 ? { key: advanceKey(undefined, step), later: [] } : courseOf(step));
    this.held += 1;
    if (this.held > this.mostHeld && this.byKey.size > 1) this.shrink();
  }

  /** Drops the later half of the keys. */
  private shrink(): void {
    const ids = this.ids();
    const dropped = ids.slice(Math.ceil(ids.length / 2));
    for (const id of dropped) {
      this.held -= Math.max(1, this.byKey.get(id)?.later.length ?? 0);
      this.byKey.delete(id);
    }
    this.before = dropped[0];
  }

  /** The id from which on another pass is needed; `undefined`: none. */
  get end(): string | undefined {
    return this.before;
  }

  /** The key behind the stretch, given how it was before; `undefined`: there is none. */
  fold(keyId: string, before: () => KeyAt | undefined): KeyAt | undefined {
    const course = this.byKey.get(keyId);
    return course?.key ?? (course?.later ?? []).reduce(advanceKey, before());
  }

  ids(): string[] {
    return [...this.byKey.keys()].sort();
  }
}

const courseOf = (step: KeyStep): Course => ({ key: undefined, later: [step] });

export const KEY_PREFIX = 'key-';

/** Reads what lies between a snapshot and a cut, as far as it fits. */
export async function tailOf(
  events: AsyncIterable<readonly RecordedEvent[]>,
  cut: Cut,
  begin: Begin,
  mostHeld: number,
): Promise<Tail> {
  const tail = new Tail(begin, mostHeld);
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
  const key = tail.fold(keyId, () => (line === undefined ? undefined : keyIn(line)));
  return key && { keyId, key: () => key };
}
