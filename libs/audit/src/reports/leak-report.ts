import type { Instant, RecordedEvent } from '@keyledger/contracts';
import { columns, eventsLink, inPeriod, isWithin, secondsBetween, type Report, type ReportRow } from './report.js';

interface LeakLine {
  leakId: string;
  source: string;
  detectedAt: Instant;
  position: bigint;
  match?: {
    keyId: string;
    secretId: string;
    keyspaceId: string;
    ownerId: string;
    response: string;
    matchedAt: Instant;
  };
  action?: { action: string; actionAt: Instant };
  resolution?: { resolution: string; resolvedAt: Instant };
}

export const leaks: Report = {
  name: 'leaks',
  title: 'Leaks',
  description:
    'Every leak report of the period: when it came, which key it matched, what was done and when, and when somebody ' +
    'closed it. The time of an action is that at which the key itself records it. Reports that match no key are shown to ' +
    'readers of all keyspaces only.',
  period: true,
  streams: ['leak-', 'key-'],
  columns: columns(`leakId: Leak
source: Source
status: Status
keyId: Key
keyspaceId: Keyspace
ownerId: Owner
secretId: Secret
detectedAt: Reported
matchedAt: Matched
response: Response by the policy
action: What was done
actionAt: Done
secondsToAction: Seconds to the action
resolution: Closed as
resolvedAt: Closed
secondsToResolution: Seconds to the close`),
  begin(question) {
    const found = new Map<string, LeakLine>();
    return {
      take(recorded) {
        if (recorded.event.type === 'LeakReported') {
          const { leakId, source, reportedAt } = recorded.event.data;
          if (!inPeriod(question, recorded.recordedAt)) return;
          found.set(leakId, { leakId, source, detectedAt: reportedAt, position: recorded.position });
        } else follow(found, recorded);
      },
      *rest() {
        for (const line of found.values()) {
          if (isWithin(question.within, line.match?.keyspaceId)) yield leakRow(line);
        }
      },
    };
  },
};

/** What came of a report. The key's own event stands in one append with what was done, so its time is the true one. */
function follow(found: Map<string, LeakLine>, { event, recordedAt }: RecordedEvent): void {
  const { leakId } = event.data as { leakId?: string };
  const line = leakId === undefined ? undefined : found.get(leakId);
  if (!line) return;
  if (event.type === 'LeakMatched') {
    const { keyId, secretId, keyspaceId, owner, response, matchedAt } = event.data;
    line.match = { keyId, secretId, keyspaceId, ownerId: owner.id, response, matchedAt };
  } else if (event.type === 'KeyLeakReported') {
    line.action ??= { action: event.data.action, actionAt: recordedAt };
  } else if (event.type === 'LeakActionTaken') {
    line.action ??= { action: event.data.action, actionAt: event.data.takenAt };
  } else if (event.type === 'LeakResolved') {
    const { resolution, resolvedAt } = event.data;
    line.resolution = { resolution, resolvedAt };
  }
}

function leakRow({ leakId, source, detectedAt, position, match, action, resolution }: LeakLine): ReportRow {
  return {
    leakId,
    source,
    status: resolution ? 'resolved' : match ? 'open' : 'unmatched',
    keyId: match?.keyId,
    keyspaceId: match?.keyspaceId,
    ownerId: match?.ownerId,
    secretId: match?.secretId,
    detectedAt,
    matchedAt: match?.matchedAt,
    response: match?.response,
    ...action,
    secondsToAction: action && secondsBetween(detectedAt, action.actionAt),
    ...resolution,
    secondsToResolution: resolution && secondsBetween(detectedAt, resolution.resolvedAt),
    events: match
      ? eventsLink({ keyId: match.keyId, fromPosition: position })
      : eventsLink({ fromPosition: position, toPosition: position }),
  };
}
