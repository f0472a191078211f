import { durationSeconds, plusSeconds, type Instant, type RotationPolicy } from '@keyledger/contracts';
import { graceEnd, rotationRule, type Surroundings } from './deadlines.js';
import { secretEndsAt, type KeyState } from './key.state.js';

/** What time will bring to the secrets of a key, as far as can be said now. */
export interface RotationOutlook {
  /** There while an old secret is in its grace. */
  grace?: {
    endsAt: Instant;
    /**
     * What comes next: the end at the deadline, the end before it because the old secret will have been silent for long
     * enough by then if it stays so, or another look, because the new secret was not used yet.
     */
    next: 'end-at-deadline' | 'end-when-idle' | 'look-again';
    nextAt: Instant;
  };
  /** By which rule the current secret is due for rotation, and when; it waits for the end of a grace. */
  rotation?: RotationPolicy & { dueAt: Instant };
}

const NEXT = { deadline: 'end-at-deadline', idle: 'end-when-idle' } as const;

export function rotationOutlook(key: KeyState, around: Omit<Surroundings, 'receiver'>, now: Instant): RotationOutlook {
  if (key.status === 'revoked') return {};
  const grace = graceOf(key, around, now);
  const rotation = rotationOf(key, around);
  return { ...(grace && { grace }), ...(rotation && { rotation }) };
}

function graceOf(key: KeyState, around: Omit<Surroundings, 'receiver'>, now: Instant): RotationOutlook['grace'] {
  const [, previous] = key.secrets;
  const endsAt = previous && secretEndsAt(key, previous);
  const end = graceEnd(key, around, now);
  if (endsAt === undefined || endsAt <= now || !end) return undefined;
  const [event] = end.due(end.at);
  const cause = event?.type === 'KeyGraceEnded' && event.data.cause !== 'leak' ? event.data.cause : undefined;
  return { endsAt, next: cause === undefined ? 'look-again' : NEXT[cause], nextAt: end.at };
}

function rotationOf(key: KeyState, { policy }: Omit<Surroundings, 'receiver'>): RotationOutlook['rotation'] {
  const rule = rotationRule(key, policy);
  const [current] = key.secrets;
  const period = rule && durationSeconds(rule.every);
  if (!rule || !current || current.imported || period === undefined) return undefined;
  const dueAt = plusSeconds(current.createdAt, period);
  return key.expiresAt !== undefined && dueAt >= key.expiresAt ? undefined : { ...rule, dueAt };
}
