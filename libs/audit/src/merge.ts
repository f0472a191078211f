import type { RecordedEvent } from '@keyledger/contracts';
import { advanceKey, happened, isBehind, type Cut, type KeyAt, type KeyStep } from './replay.js';
import { keyIn, lineOf, type SnapshotLine } from './snapshot-file.js';

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

/** What a stretch of the log does to one key: what is still to be folded; or where the key begins there, the key itself. */
type Course = KeyStep[] | KeyAt | string;

/**
 * What a stretch of the log does to each key, from a beginning on and as many keys as fit into memory. Of an event only
 * what goes into a key is kept, and of a key that begins in the stretch only the key.
 */
export class Tail {
  private readonly byKey = new Map<string, Course>();
  private held = 0;
  /** Keys from here on are left to a later pass. */
  private before: string | undefined;

  /**
   * @param mostHeld keys and events in memory at once
   * @param asLines whether keys are held as lines of a snapshot: a third of the memory, for what becomes a snapshot
   */
  constructor(
    private readonly begin: Begin,
    private readonly mostHeld: number,
    private readonly asLines = false,
  ) {}

  add({ stream, event, revision, position, recordedAt }: RecordedEvent): void {
    const keyId = stream.slice(KEY_PREFIX.length);
    if (!isBeyond(keyId, this.begin) || (this.before !== undefined && keyId >= this.before)) return;
    const step: KeyStep = { event, revision, position, recordedAt };
    const course = this.byKey.get(keyId);
    if (course !== undefined && !Array.isArray(course)) {
      this.byKey.set(keyId, this.course(keyId, advanceKey(keyOf(course), step)));
      return;
    }
    if (course) course.push(step);
    else this.byKey.set(keyId, revision === 0 ? this.course(keyId, advanceKey(undefined, step)) : [step]);
    this.held += 1;
    if (this.held > this.mostHeld && this.byKey.size > 1) this.shrink();
  }

  /** Drops the later half of the keys. */
  private shrink(): void {
    const ids = this.ids();
    const dropped = ids.slice(Math.ceil(ids.length / 2));
    for (const id of dropped) {
      const course = this.byKey.get(id);
      this.held -= Array.isArray(course) ? course.length : 1;
      this.byKey.delete(id);
    }
    this.before = dropped[0];
  }

  /** The id from which on another pass is needed; `undefined`: none. */
  get end(): string | undefined {
    return this.before;
  }

  /** The key behind the stretch, given how it was before; `undefined`: there is none. */
  found(keyId: string, before: () => KeyAt | undefined): FoundKey | undefined {
    const course = this.byKey.get(keyId);
    if (typeof course === 'string') return { keyId, line: course, key: () => keyIn(course) };
    const key = Array.isArray(course) ? course.reduce(advanceKey, before()) : course;
    return key && { keyId, key: () => key };
  }

  private course(keyId: string, key: KeyAt | undefined): Course {
    if (!key) return [];
    return this.asLines ? lineOf(keyId, key) : key;
  }

  ids(): string[] {
    return [...this.byKey.keys()].sort();
  }
}

const keyOf = (course: KeyAt | string): KeyAt => (typeof course === 'string' ? keyIn(course) : course);

export const KEY_PREFIX = 'key-';

/** Reads what lies between a snapshot and a cut, as far as it fits. */
export async function tailOf(
  events: AsyncIterable<readonly RecordedEvent[]>,
  cut: Cut,
  begin: Begin,
  mostHeld: number,
  asLines = false,
): Promise<Tail> {
  const tail = new Tail(begin, mostHeld, asLines);
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
      const one = tail.found(id, () => undefined);
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
        const one = tail.found(keyId, () => keyIn(line));
        if (one) found.push(one);
      } else found.push({ keyId, line, key: () => keyIn(line) });
    }
    if (found.length > 0) yield found;
  }
  const rest = fresh(undefined);
  if (rest.length > 0) yield rest;
}
