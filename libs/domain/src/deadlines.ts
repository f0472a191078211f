import {
  durationSeconds,
  instantOf,
  plusSeconds,
  type Duration,
  type Instant,
  type KeyEvent,
  type KeyspacePolicy,
  type RotationPolicy,
  type SecretUse,
} from '@keyledger/contracts';
import { announcementOf, secretEndsAt, type KeyState, type UsableSecret } from './key.state.js';
import { lengthBehind } from './keyspace.terms.js';

/** What is known of the use of a key's secrets. */
export type KeyUsage = readonly SecretUse[];

/** What else has a say in what time brings to a key. */
export interface Surroundings {
  policy: KeyspacePolicy;
  usage: KeyUsage;
  /** Whether its owner has a receiver that takes new secrets. */
  receiver: boolean;
  /** Its keyspace is archived and takes no new secrets. */
  archived?: boolean;
}

/** Something that has to happen to a key at an instant: events, or a rotation, whose secret is made elsewhere. */
export interface Deadline {
  at: Instant;
  /** What happens if it is now. */
  due: (now: Instant) => KeyEvent[] | 'rotate';
}

/** How soon after an undecided look at a silent secret the next one comes, as a part of the silence that is asked for. */
const LOOK_AGAIN_PART = 10;

/**
 * Everything that time will bring to a key as it is now, in the order of time. A job that comes late finds all that it
 * missed, one that comes twice finds nothing the second time: what was done stands in the state.
 */
export function deadlinesOf(key: KeyState, around: Surroundings, now: Instant): Deadline[] {
  if (key.status === 'revoked' || key.expiryRecorded) return [];
  const end = expiry(key);
  const over = key.expiresAt !== undefined && key.expiresAt <= now;
  const others = over
    ? []
    : [
        ...(key.status === 'active' ? [expiryWarning(key, around, now), rotation(key, around)] : []),
        ...(key.status === 'active' ? [unused(key, around)] : []),
        ...graceWarnings(key, around, now),
        graceEnd(key, around, now),
      ];
  return [end, ...others].filter((one) => one !== undefined).sort((one, other) => (one.at < other.at ? -1 : 1));
}

/** When somebody has to look at the key next; `undefined`: never, as it is. */
export function nextDeadline(key: KeyState, around: Surroundings, now: Instant): Instant | undefined {
  return deadlinesOf(key, around, now)[0]?.at;
}

/** The events that are due now. */
export function eventsDue(key: KeyState, around: Surroundings, now: Instant): KeyEvent[] {
  return deadlinesOf(key, around, now).flatMap((deadline) => {
    const due = deadline.at <= now ? deadline.due(now) : [];
    return due === 'rotate' ? [] : due;
  });
}

/** Whether the key has to be rotated now, by policy and without a person. */
export function rotationDue(key: KeyState, around: Surroundings, now: Instant): RotationPolicy | undefined {
  const due = deadlinesOf(key, around, now).some(({ at, due }) => at <= now && due(now) === 'rotate');
  if (!due) return undefined;
  return around.receiver && isFound(key) ? foundRule(key, now) : rotationRule(key, around.policy);
}

/** The rule by which a key is rotated: its own, or that of its keyspace. */
export function rotationRule(key: KeyState, policy: KeyspacePolicy): RotationPolicy | undefined {
  if (key.decoy || key.rotation === 'none') return undefined;
  return key.rotation ?? policy.rotation;
}

/** A secret in use that was found somewhere and ends soon: nothing but a leak gives the current secret an end. */
function isFound(key: KeyState): boolean {
  return !key.decoy && key.secrets[0]?.graceEndsAt !== undefined;
}

/** How a secret that was found is replaced, whatever the policy says: at once, with what is left of it as its grace. */
function foundRule(key: KeyState, now: Instant): RotationPolicy {
  const endsAt = key.secrets[0]?.graceEndsAt ?? now;
  const left = Math.max(0, Math.ceil((Date.parse(endsAt) - Date.parse(now)) / 1000));
  return { every: 'PT0S', grace: `PT${left}S`, mode: 'automatic' };
}

function expiry({ keyId, expiresAt }: KeyState): Deadline | undefined {
  if (expiresAt === undefined) return undefined;
  return { at: expiresAt, due: (now) => [{ type: 'KeyExpired', data: { keyId, expiresAt, recordedAt: now } }] };
}

/**
 * The next warning of the key's end. Of several that were missed the most urgent is given, and the others are over with
 * it; none is given that would have been due before the key was there.
 */
function expiryWarning(key: KeyState, { policy }: Surroundings, now: Instant): Deadline | undefined {
  const { keyId, expiresAt, createdAt, secrets } = key;
  const secretId = secrets[0]?.secretId;
  if (expiresAt === undefined || secretId === undefined || key.decoy) return undefined;
  const event = (warning: Duration, announcedAt: Instant) => {
    return {
      type: 'KeyExpiryAnnounced',
      data: { keyId, secretId, end: 'key', endsAt: expiresAt, warning, announcedAt },
    } as const;
  };
  const warnings = policy.expiryWarnings
    .map((warning) => ({ warning, at: plusSeconds(expiresAt, -(durationSeconds(warning) ?? 0)) }))
    .filter(({ at }) => at > createdAt)
    .sort((one, other) => (one.at < other.at ? -1 : 1));
  const [next] = mostUrgent(warnings, ({ warning }) => isAnnounced(key, event(warning, now)), now);
  return next && { at: next.at, due: (instant) => [event(next.warning, instant)] };
}

function isAnnounced(key: KeyState, event: Parameters<typeof announcementOf>[0]): boolean {
  return key.announced?.includes(announcementOf(event)) ?? false;
}

/** The secret in its grace, and the one that replaced it. */
function overlap(key: KeyState): { current: UsableSecret; previous: UsableSecret; endsAt: Instant } | undefined {
  const [current, previous] = key.secrets;
  if (!current || !previous) return undefined;
  const endsAt = secretEndsAt(key, previous);
  return endsAt === undefined ? undefined : { current, previous, endsAt };
}

const GRACE_WARNINGS = [
  { warning: '50%', part: 0.5 },
  { warning: '90%', part: 0.9 },
] as const;

function graceWarnings(key: KeyState, { usage }: Surroundings, now: Instant): Deadline[] {
  const both = overlap(key);
  if (!both) return [];
  const { current, previous, endsAt } = both;
  const { keyId } = key;
  const start = Date.parse(current.createdAt);
  const length = Date.parse(endsAt) - start;
  if (endsAt <= now) return [];
  const lastUsedAt = usageOf(usage, previous)?.lastUsedAt;
  // Only a use after the rotation says that somebody has not changed over yet.
  const stillUsed = lastUsedAt !== undefined && lastUsedAt > current.createdAt ? { lastUsedAt } : {};
  const warnings = GRACE_WARNINGS.map(({ warning, part }) => {
    const data = { keyId, secretId: previous.secretId, end: 'grace', endsAt, warning, ...stillUsed } as const;
    return {
      at: instantOf(start + Math.floor(length * part)),
      event: (announcedAt: Instant) => ({ type: 'KeyExpiryAnnounced', data: { ...data, announcedAt } }) as const,
    };
  });
  return mostUrgent(warnings, ({ event }) => isAnnounced(key, event(now)), now).map(({ at, event }) => {
    return { at, due: (instant: Instant) => [event(instant)] };
  });
}

/**
 * Of warnings in the order of time those that are still to be given: of several that were missed the last, which makes
 * the others needless, and with it all that are to come.
 */
function mostUrgent<W extends { at: Instant }>(warnings: W[], isGiven: (warning: W) => boolean, now: Instant): W[] {
  const open = warnings.slice(warnings.findLastIndex(isGiven) + 1);
  return open.slice(
    Math.max(
      0,
      open.findLastIndex(({ at }) => at <= now),
    ),
  );
}

/** The end of a grace: its deadline, or the moment at which the policy takes the old secret for given up. */
export function graceEnd(
  key: KeyState,
  { policy, usage }: Pick<Surroundings, 'policy' | 'usage'>,
  now: Instant,
): { at: Instant; due: (now: Instant) => KeyEvent[] } | undefined {
  const both = overlap(key);
  if (!both) return undefined;
  const { current, previous, endsAt } = both;
  const evidence = [current, previous].map((secret) => {
    return usageOf(usage, secret) ?? { secretId: secret.secretId, count: 0 };
  });
  const ended = (cause: 'deadline' | 'idle') => (instant: Instant) => {
    const endedAt = cause === 'deadline' ? endsAt : instant;
    const data = { keyId: key.keyId, secretId: previous.secretId, cause, graceEndsAt: endsAt, endedAt, evidence };
    return [{ type: 'KeyGraceEnded', data } as const];
  };
  const silence = lengthBehind('when-idle', policy.endGrace);
  if (silence === undefined || endsAt <= now) return { at: endsAt, due: ended('deadline') };

  const firstUse = usageOf(usage, current)?.firstUsedAt;
  const lastUse = usageOf(usage, previous)?.lastUsedAt;
  const silentFrom = lastUse !== undefined && lastUse > current.createdAt ? lastUse : current.createdAt;
  const silentUntil = plusSeconds(silentFrom, silence);
  if (firstUse !== undefined) {
    const at = firstUse > silentUntil ? firstUse : silentUntil;
    return at < endsAt ? { at, due: ended('idle') } : { at: endsAt, due: ended('deadline') };
  }
  const look = plusSeconds(now, Math.max(1, Math.floor(silence / LOOK_AGAIN_PART)));
  const at = silentUntil > now ? silentUntil : look;
  return at < endsAt ? { at, due: () => [] } : { at: endsAt, due: ended('deadline') };
}

function usageOf(usage: KeyUsage, { secretId }: UsableSecret): SecretUse | undefined {
  return usage.find((one) => one.secretId === secretId);
}

/**
 * The rotation of the current secret. While an older one is in its grace it waits for the end of that, unless the
 * current one was found somewhere.
 */
function rotation(key: KeyState, { policy, receiver, archived }: Surroundings): Deadline | undefined {
  const rule = rotationRule(key, policy);
  const [current] = key.secrets;
  if (archived) return undefined;
  if (current && receiver && isFound(key)) {
    return { at: key.leak?.reportedAt ?? current.createdAt, due: () => 'rotate' };
  }
  const period = rule && durationSeconds(rule.every);
  if (!rule || !current || period === undefined || current.imported) return undefined;
  const dueAt = plusSeconds(current.createdAt, period);
  if (key.expiresAt !== undefined && dueAt >= key.expiresAt) return undefined;
  const waitsFor = overlap(key)?.endsAt;
  const at = waitsFor !== undefined && waitsFor > dueAt ? waitsFor : dueAt;
  if (rule.mode === 'automatic' && receiver) return { at, due: () => 'rotate' };
  const event = (announcedAt: Instant) => {
    const fallback = rule.mode === 'automatic' ? { fallback: 'no-receiver' as const } : {};
    const data = { keyId: key.keyId, secretId: current.secretId, dueAt, ...fallback, announcedAt };
    return { type: 'KeyRotationAnnounced', data } as const;
  };
  return isAnnounced(key, event(at)) ? undefined : { at, due: (now) => [event(now)] };
}

function unused(key: KeyState, { policy, usage }: Surroundings): Deadline | undefined {
  const rule = policy.unused;
  const length = rule && durationSeconds(rule.after);
  if (!rule || length === undefined || key.decoy) return undefined;
  const { keyId } = key;
  const uses = usage.flatMap(({ lastUsedAt }) => lastUsedAt ?? []);
  const unusedSince = [key.createdAt, key.notBefore, key.reinstatedAt, ...uses].reduce<Instant>(
    (latest, one) => (one !== undefined && one > latest ? one : latest),
    key.createdAt,
  );
  const at = plusSeconds(unusedSince, length);
  if (rule.action === 'suspend') {
    const reason = `unused since ${unusedSince}`;
    return { at, due: (now) => [{ type: 'KeySuspended', data: { keyId, reason, suspendedAt: now } }] };
  }
  const event = (announcedAt: Instant) =>
    ({ type: 'KeyUnusedAnnounced', data: { keyId, unusedSince, announcedAt } }) as const;
  return isAnnounced(key, event(at)) ? undefined : { at, due: (now) => [event(now)] };
}
