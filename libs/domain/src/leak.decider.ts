import {
  refusal,
  type Instant,
  type LeakAction,
  type LeakActionTaken,
  type LeakEvent,
  type LeakMatched,
  type LeakNoActionReason,
  type LeakReported,
  type LeakResolution,
  type LeakStateName,
} from '@keyledger/contracts';
import { accept, refuse, type Decider, type Decision } from './decider.js';

/** One incident as its events make it. What the read model lists is this and the stream's revision. */
export interface LeakState {
  report: LeakReported['data'];
  match?: Omit<LeakMatched['data'], 'leakId'>;
  action?: Omit<LeakActionTaken['data'], 'leakId' | 'keyId'>;
  resolution?: { resolution: LeakResolution; comment?: string; resolvedAt: Instant };
}

export type LeakCommand =
  | ({ type: 'RecordLeak' } & Omit<LeakReported['data'], 'reportedAt'> & { now: Instant })
  | ({ type: 'MatchLeak' } & Omit<LeakMatched['data'], 'leakId' | 'matchedAt'> & { now: Instant })
  | {
      type: 'NoteLeakAction';
      action: LeakAction;
      because?: LeakNoActionReason;
      keyRevision: number;
      now: Instant;
    }
  | { type: 'ResolveLeak'; resolution: LeakResolution; comment?: string; now: Instant };

/** The way of an incident: reported once, matched once, acted on once, resolved once; each step may be asked for again. */
export const leakDecider: Decider<LeakCommand, LeakState | undefined, LeakEvent> = {
  initialState: undefined,
  decide: decideLeak,
  evolve: evolveLeak,
};

export function leakStateOf({ match, resolution }: LeakState): LeakStateName {
  if (resolution) return 'resolved';
  return match ? 'open' : 'unmatched';
}

function decideLeak(command: LeakCommand, leak: LeakState | undefined): Decision<LeakEvent> {
  if (command.type === 'RecordLeak') {
    if (leak) return accept();
    const { type: _, now, ...report } = command;
    return accept({ type: 'LeakReported', data: { ...report, reportedAt: now } });
  }
  if (!leak) return refuse(refusal('NOT_FOUND', 'There is no such incident.'));
  const { leakId } = leak.report;
  switch (command.type) {
    case 'MatchLeak': {
      if (leak.match) return accept();
      const { type: _, now, ...match } = command;
      return accept({ type: 'LeakMatched', data: { leakId, ...match, matchedAt: now } });
    }
    case 'NoteLeakAction': {
      if (leak.action) return accept();
      if (!leak.match) throw new RangeError(`the incident ${leakId} is about no key yet`);
      const { type: _, now, ...done } = command;
      return accept({ type: 'LeakActionTaken', data: { leakId, keyId: leak.match.keyId, ...done, takenAt: now } });
    }
    case 'ResolveLeak':
      return resolve(command, leak);
  }
}

/** Resolved again in the same way is done already; in another way it is not changed behind the first one's back. */
function resolve(
  { resolution, comment, now }: Extract<LeakCommand, { type: 'ResolveLeak' }>,
  { report: { leakId }, resolution: before }: LeakState,
): Decision<LeakEvent> {
  if (before?.resolution === resolution) return accept();
  if (before) {
    const detail = `The incident ${leakId} was resolved as ${before.resolution} at ${before.resolvedAt}.`;
    return refuse(refusal('CONFLICT', detail));
  }
  const data = { leakId, resolution, ...(comment !== undefined && { comment }), resolvedAt: now };
  return accept({ type: 'LeakResolved', data });
}

/** Folds one event. The first must be LeakReported; one that follows nothing is a broken stream. */
export function evolveLeak(state: LeakState | undefined, event: LeakEvent): LeakState {
  if (event.type === 'LeakReported') return { report: event.data };
  if (!state) throw new RangeError(`${event.type} stands before the leak was reported`);
  switch (event.type) {
    case 'LeakMatched': {
      const { leakId: _, ...match } = event.data;
      return { ...state, match };
    }
    case 'LeakActionTaken': {
      const { leakId: _, keyId: __, ...action } = event.data;
      return { ...state, action };
    }
    case 'LeakResolved': {
      const { leakId: _, ...resolution } = event.data;
      return { ...state, resolution };
    }
  }
}
