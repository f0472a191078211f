import type { BundleReport, LogReport } from '@keyledger/audit';
import { fields } from '../print.js';

type Finding = BundleReport['findings'][number] | LogReport['findings'][number];

export function bundleText(report: BundleReport): string {
  const { ok, manifest, events, provedBy, trust, keys, findings } = report;
  const pairs = fields([
    ['verdict', ok ? 'everything fits' : 'IT DOES NOT FIT'],
    ['log', manifest?.origin],
    ['events', manifest && `${manifest.from} to ${manifest.to - 1}, ${events} read`],
    ['proved by', provedBy && `the checkpoint of ${provedBy.size} leaves, ${provedBy.at}`],
    ['keys', `${keys.join(', ') || 'none'}${trust === 'bundle' ? ' (from the bundle itself: see --trusted-key)' : ''}`],
  ]);
  return pairs + findingsText(findings);
}

export function logText(report: LogReport): string {
  const { ok, events, root, checkpoints, provedTo, trust, keys, findings } = report;
  const pairs = fields([
    ['verdict', ok ? 'everything fits' : 'IT DOES NOT FIT'],
    ['events', String(events)],
    ['root', root],
    ['proved', provedTo ? `the first ${provedTo.size}, by a checkpoint` : 'nothing: no checkpoint fits'],
    ['checkpoints', `${checkpoints.recorded} in the log, ${checkpoints.published} published`],
    ['keys', `${keys.join(', ') || 'none'}${trust === 'log' ? ' (from the log itself: see --trusted-key)' : ''}`],
  ]);
  return pairs + findingsText(findings);
}

/** The first finding is the first event that does not fit, if there is one. */
function findingsText(findings: readonly Finding[]): string {
  return findings.map((finding) => `\n${findingText(finding)}`).join('');
}

function findingText(finding: Finding): string {
  const at = 'index' in finding ? finding : undefined;
  const stream = at?.stream === undefined ? undefined : `${at.stream} revision ${at.revision}`;
  const evidence = 'evidence' in finding ? (finding.evidence ?? []) : [];
  return fields([
    [finding.code, finding.message],
    ['event', at && [`index ${at.index}`, at.id, at.type, stream].filter(Boolean).join(', ')],
    ...evidence.map((note): [string, string] => ['evidence', note.trimEnd()]),
  ]);
}
