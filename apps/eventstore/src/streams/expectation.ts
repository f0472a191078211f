/**
 * Whether a write is accepted, repeats what is there, or conflicts: the rules of EventStoreDB's commit check, pure.
 *
 * A retry with the same event ids must not write twice. With an exact revision the events that follow it decide, however
 * old they are. Without one (`any`, `exists`) only the ids of the recent events of the stream are known, so retries that
 * come after the window write again: writers that care give exact revisions.
 */
import type { Expected } from '../wire/append-messages.js';
import { isSoftDeleted, isTombstoned, type StreamState } from './stream-state.js';

export type Verdict =
  | { readonly kind: 'write' }
  /** The events are there already; the last of them has this revision. */
  | { readonly kind: 'repeated'; readonly lastRevision: number }
  /** `current` is the stream's last revision, -1 where there is none. */
  | { readonly kind: 'conflict'; readonly current: number }
  | { readonly kind: 'deleted' };

export interface KnownEvents {
  /** The id of the event at that revision. */
  idAt(revision: number): string | undefined;
  /** The revision of a recent event of this stream by its id. */
  recentRevision(id: string): number | undefined;
}

export function judgeWrite(
  state: StreamState,
  expected: Expected,
  ids: readonly string[],
  known: KnownEvents,
): Verdict {
  if (isTombstoned(state)) return { kind: 'deleted' };
  const conflict: Verdict = { kind: 'conflict', current: state.last };
  if (expected === 'exists' && (isSoftDeleted(state) || (state.last < 0 && !state.hasMetadata))) return conflict;
  if (expected === 'any' || expected === 'exists') return judgeByRecentIds(ids, known, conflict);

  const revision = expected === 'no-stream' ? -1 : expected;
  if (typeof revision === 'bigint' || revision > state.last) return conflict;
  if (revision === state.last) return { kind: 'write' };
  return judgeByFollowingIds(revision, state, ids, known, conflict);
}

function judgeByRecentIds(ids: readonly string[], known: KnownEvents, conflict: Verdict): Verdict {
  let lastRevision: number | undefined;
  for (const [index, id] of ids.entries()) {
    const revision = known.recentRevision(id);
    if (revision === undefined) return index === 0 ? { kind: 'write' } : conflict;
    lastRevision = revision;
  }
  return lastRevision === undefined ? { kind: 'write' } : { kind: 'repeated', lastRevision };
}

function judgeByFollowingIds(
  expected: number,
  state: StreamState,
  ids: readonly string[],
  known: KnownEvents,
  conflict: Verdict,
): Verdict {
  for (const [index, id] of ids.entries()) {
    if (known.idAt(expected + 1 + index) === id) continue;
    // A soft-deleted stream may begin anew, at the revision that follows its last.
    return index === 0 && expected === -1 && isSoftDeleted(state) ? { kind: 'write' } : conflict;
  }
  return ids.length === 0 ? conflict : { kind: 'repeated', lastRevision: expected + ids.length };
}
