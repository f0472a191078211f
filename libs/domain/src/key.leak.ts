import {
  plusSeconds,
  type Instant,
  type KeyEvent,
  type KeyLeakReported,
  type KeyKind,
  type KeyspacePolicy,
  type LeakResponse,
  type LeakSource,
} from '@keyledger/contracts';
import { accept, type Decision } from './decider.js';
import { secretEndsAt, stateAt, type KeyState } from './key.state.js';
import { lengthBehind } from './keyspace.terms.js';

export interface ReportLeak {
  type: 'ReportLeak';
  leakId: string;
  /** The secret that was found. */
  secretId: string;
  source: LeakSource;
  url?: string;
  response: LeakResponse;
  now: Instant;
}

/**
 * What a keyspace does about a key of a class that was found: the first rule that names it, else what its kind asks for.
 * A publishable key is never revoked by a report alone; a decoy stays where it is, because being found is its purpose.
 */
export function leakResponse(
  { leaks }: Pick<KeyspacePolicy, 'leaks'>,
  { environment, kind, decoy }: { environment: string; kind: KeyKind; decoy?: true },
): LeakResponse {
  if (decoy) return 'alert';
  const rule = leaks.find((one) => {
    return (one.environment ?? environment) === environment && (one.kind ?? kind) === kind;
  });
  const response = rule?.response ?? (kind === 'publishable' ? 'alert' : 'revoke');
  return kind === 'publishable' && response === 'revoke' ? 'alert' : response;
}

/**
 * The report and what is done about it, as one list of events: recorded together or not at all. Where the response is to
 * rotate, the found secret gets an end and nothing is minted here: whoever delivers secrets rotates, or the owner does.
 */
export function reportLeak(command: ReportLeak, key: KeyState): Decision<KeyEvent> {
  const { leakId, secretId, source, url, now } = command;
  const response = key.kind === 'publishable' && command.response === 'revoke' ? 'alert' : command.response;
  const report = (
    action: KeyLeakReported['data']['action'],
    rest: Partial<KeyLeakReported['data']> = {},
  ): KeyEvent => ({
    type: 'KeyLeakReported',
    data: {
      keyId: key.keyId,
      secretId,
      leakId,
      source,
      ...(url !== undefined && { url }),
      action,
      ...rest,
      reportedAt: now,
    },
  });
  if (key.leak?.leakId === leakId) return accept();
  const over = whyOver(key, secretId, now);
  if (over) return accept(report('none', { because: over }));
  const { keyId } = key;
  if (response === 'alert') return accept(report('alerted'));
  if (response === 'suspend') {
    const reason = `leak ${leakId}`;
    if (key.status === 'suspended') return accept(report('suspended'));
    return accept(report('suspended'), { type: 'KeySuspended', data: { keyId, reason, suspendedAt: now } });
  }
  if (response === 'revoke') {
    const data = { keyId, reason: 'leaked', comment: `leak ${leakId}`, requestedAt: now, revokedAt: now } as const;
    return accept(report('revoked'), { type: 'KeyRevoked', data });
  }
  return endSecret(command, key, report);
}

function whyOver(key: KeyState, secretId: string, now: Instant): KeyLeakReported['data']['because'] | undefined {
  if (key.status === 'revoked') return 'revoked';
  if (stateAt(key, now) === 'expired') return 'expired';
  const secret = key.secrets.find((one) => one.secretId === secretId);
  const endsAt = secret && secretEndsAt(key, secret);
  return !secret || (endsAt !== undefined && endsAt <= now) ? 'secret-over' : undefined;
}

/** The found secret shall end: at once if another has replaced it already, else after the grace of the response. */
function endSecret(
  { secretId, response, now }: ReportLeak,
  key: KeyState,
  report: (action: KeyLeakReported['data']['action'], rest?: Partial<KeyLeakReported['data']>) => KeyEvent,
): Decision<KeyEvent> {
  const { keyId } = key;
  const [current, previous] = key.secrets;
  if (previous?.secretId === secretId) {
    const graceEndsAt = secretEndsAt(key, previous) ?? now;
    const data = { keyId, secretId, cause: 'leak', graceEndsAt, endedAt: now } as const;
    return accept(report('grace-ended'), { type: 'KeyGraceEnded', data: { ...data, evidence: [] } });
  }
  const wanted = plusSeconds(now, lengthBehind('rotate', response) ?? 0);
  const end = current && secretEndsAt(key, current);
  return accept(report('ends-soon', { secretEndsAt: end !== undefined && end < wanted ? end : wanted }));
}
