import type { LeakView } from '@keyledger/contracts/http';
import { leakStateOf, type LeakState } from '@keyledger/domain';
import { reaches, type Reach } from '@keyledger/platform';

/** An incident as a caller may see it: of a key outside his reach he sees the report alone. */
export function leakView(leak: LeakState, revision: number, reach: Reach): LeakView {
  const { tokenHash: _, otherHashes: __, within: ___, presentedFrom, ...report } = leak.report;
  // The rest would tell him that it is a key of somebody else's.
  const seen: LeakState = !leak.match || reaches(reach, leak.match.keyspaceId) ? leak : { report: leak.report };
  const { match, action, resolution } = seen;
  return {
    ...report,
    ...(presentedFrom && { presentedFrom }),
    state: leakStateOf(seen),
    ...(match && { key: match }),
    ...(action && { action }),
    ...(resolution && { resolution }),
    times: timesOf(seen),
    revision: seen === leak ? revision : 0,
  };
}

function timesOf({ report, match, action, resolution }: LeakState): LeakView['times'] {
  const after = (instant: string) => Date.parse(instant) - Date.parse(report.reportedAt);
  return {
    ...(match && { matchedAfterMs: after(match.matchedAt) }),
    ...(action && { actedAfterMs: after(action.takenAt) }),
    ...(resolution && { resolvedAfterMs: after(resolution.resolvedAt) }),
  };
}
