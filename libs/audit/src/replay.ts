import type { Instant, KeyEvent, RecordedEvent } from '@keyledger/contracts';
import { evolveKey, judge, type JudgeRequest, type KeyState, type Verdict } from '@keyledger/domain';

/** A key as its events made it, up to one of them. */
export interface KeyAt {
  state: KeyState;
  /** Revision and position of the last event that is in it. */
  revision: number;
  position: bigint;
  recordedAt: Instant;
  /** Position of its first event. */
  begun: bigint;
}

/** What of an event goes into a key. */
export type KeyStep = Pick<RecordedEvent, 'event' | 'revision' | 'position' | 'recordedAt'>;

/**
 * How far a question goes. Two times: `recordedUntil` is what we had written down by then, `happenedUntil` what had
 * happened by then according to the events themselves. All bounds are inclusive; what is left out does not bound.
 */
export interface Cut {
  position?: bigint;
  revision?: number;
  recordedUntil?: Instant;
  happenedUntil?: Instant;
}

/** Whether the log, read in its order, is behind the cut. */
export function isBehind({ position, revision, recordedAt }: RecordedEvent, cut: Cut): boolean {
  return (
    (cut.position !== undefined && position > cut.position) ||
    (cut.revision !== undefined && revision > cut.revision) ||
    (cut.recordedUntil !== undefined && recordedAt > cut.recordedUntil)
  );
}

export function happened(recorded: RecordedEvent, { happenedUntil }: Cut): boolean {
  return happenedUntil === undefined || happenedAt(recorded) <= happenedUntil;
}

/** When the thing happened that the event tells of; it is written down a moment later, or much later. */
export function happenedAt({ event, recordedAt }: RecordedEvent): Instant {
  const data = event.data as unknown as Record<string, unknown>;
  for (const name of HAPPENED_AT) if (typeof data[name] === 'string') return data[name];
  return recordedAt;
}

const HAPPENED_AT = [
  'createdAt',
  'rotatedAt',
  'revokedAt',
  'suspendedAt',
  'reinstatedAt',
  'changedAt',
  'announcedAt',
  'endedAt',
  'extendedAt',
  'reportedAt',
] as const;

/** The key that the next event makes of one; `undefined` before there is one. */
export function advanceKey(before: KeyAt | undefined, step: KeyStep): KeyAt | undefined {
  const event = step.event as KeyEvent;
  const { revision, position, recordedAt } = step;
  // Of a key whose beginning lies behind the cut nothing can be said.
  if (!before && event.type !== 'KeyIssued' && event.type !== 'KeyImported') return undefined;
  const begun = before?.begun ?? position;
  return { state: evolveKey(before?.state, event), revision, position, recordedAt, begun };
}

/** The key as of a cut through the events of its stream. */
export function keyAt(events: readonly RecordedEvent[], cut: Cut): KeyAt | undefined {
  let key: KeyAt | undefined;
  for (const recorded of events) {
    if (isBehind(recorded, cut)) break;
    if (happened(recorded, cut)) key = advanceKey(key, recorded);
  }
  return key;
}

/** A verdict of the past and what brought it about. */
export interface Explained {
  verdict: Verdict;
  key?: KeyAt;
  /** The event since which the answer to this question, at this instant, has been this one; none: it always was. */
  decidedBy?: RecordedEvent;
}

/**
 * The verdict that the judge gives at an instant on the key as of a cut. `decidedBy` is found by asking the same judge
 * after every single event: the first of the last run of equal codes is what decided.
 * @param hashesOf what was presented; a function where it follows from the state (the newest secret it has)
 */
export function explain(
  events: readonly RecordedEvent[],
  cut: Cut,
  hashesOf: (state: KeyState) => readonly string[],
  request: JudgeRequest,
  at: Instant,
): Explained {
  let key: KeyAt | undefined;
  const states: { key: KeyAt; by: RecordedEvent }[] = [];
  for (const recorded of events) {
    if (isBehind(recorded, cut)) break;
    if (!happened(recorded, cut)) continue;
    key = advanceKey(key, recorded);
    if (key) states.push({ key, by: recorded });
  }
  if (!key) return { verdict: judge(undefined, [], request, at) };
  const hashes = hashesOf(key.state);
  const verdict = judge(key.state, hashes, request, at);
  let decidedBy: RecordedEvent | undefined;
  for (const { key: earlier, by } of states.toReversed()) {
    if (judge(earlier.state, hashes, request, at).code !== verdict.code) break;
    decidedBy = by;
  }
  return { verdict, key, ...(decidedBy && { decidedBy }) };
}
