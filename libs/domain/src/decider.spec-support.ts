import { expect } from '@jest/globals';
import {
  plusSeconds,
  type Instant,
  type KeyEvent,
  type KeyspacePolicy,
  type KeyTerms,
  type RefusalCode,
  type SecretRecord,
} from '@keyledger/contracts';
import type { Surroundings } from './deadlines.js';
import { fold, type Decider } from './decider.js';
import type { KeyCommand } from './key.decider.js';
import { DEFAULT_POLICY, type KeyspaceState } from './keyspace.decider.js';

/**
 * States a rule of a decider: `given(decider, ...events).when(command)`, then either the whole list of events or the
 * refusal with its code and the paths of all its fields. Events and commands are frozen, so a decider that changes what
 * it was handed fails.
 */
export function given<C, S, E>(decider: Decider<C, S, E>, ...events: E[]) {
  const state = fold((before, event) => frozen(decider.evolve(before, event)), decider.initialState, frozen(events));
  return {
    state,
    when(command: C) {
      const decision = decider.decide(frozen(command), state);
      return {
        decision,
        thenAppends(...expected: E[]): void {
          expect(decision).toStrictEqual({ accepted: true, events: expected });
        },
        thenRefuses(code: RefusalCode, ...fields: string[]): void {
          const seen = decision.accepted
            ? decision
            : { code: decision.refusal.code, fields: (decision.refusal.errors ?? []).map(({ field }) => field) };
          expect(seen).toEqual({ code, fields });
        },
        thenKeyExpiresAt(expiresAt: Instant | undefined): void {
          expect(decision).toMatchObject({ accepted: true });
          const [event] = decision.accepted ? (decision.events as unknown as KeyEvent[]) : [];
          expect((event?.data as KeyTerms).expiresAt).toBe(expiresAt);
        },
      };
    },
  };
}

/** The same value, in which nothing can be changed any more. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}

export const MINUTE = 60;
export const HOUR = 3_600;
export const DAY = 86_400;

/** The instant so many seconds after the beginning of every story. */
export const at = (seconds: number): Instant => plusSeconds('2026-01-01T00:00:00.000Z', seconds);
export const START = at(0);

/** Nothing but letters: the n-th secret of a story, told apart by its number. */
export function secretOf(n: number): SecretRecord {
  const secretId = `secret${String(n).padStart(6, '0')}`;
  return { secretId, hash: `hash-of-${secretId}`, mask: `acme_live_${secretId}_…${String(n).padStart(4, '0')}` };
}

export function keyspaceWith(
  policy: Partial<KeyspaceState['policy']> = {},
  rest: Partial<KeyspaceState> = {},
): KeyspaceState {
  return {
    keyspaceId: 'acme',
    name: 'Acme',
    prefix: 'acme',
    environments: ['live', 'test'],
    policy: { ...DEFAULT_POLICY, ...policy },
    createdAt: at(-DAY),
    ...rest,
  };
}

type Issue = Extract<KeyCommand, { type: 'IssueKey' }>;
type Rotate = Extract<KeyCommand, { type: 'RotateKey' }>;

export function issueKey(changes: Partial<Issue> = {}): Issue {
  return {
    type: 'IssueKey',
    keyId: 'key1',
    keyspace: keyspaceWith(),
    environment: 'live',
    kind: 'secret',
    name: 'Payments',
    owner: { id: 'billing', type: 'service' },
    scopes: ['payments:read'],
    restrictions: {},
    metadata: { team: 'blue' },
    secret: secretOf(1),
    now: START,
    ...changes,
  };
}

export function rotateKey(changes: Partial<Rotate> = {}): Rotate {
  return { type: 'RotateKey', keyspace: keyspaceWith(), secret: secretOf(2), now: at(HOUR), ...changes };
}

/** A key of 90 days, as `issueKey()` makes it. */
export function issued(changes: Partial<KeyTerms> = {}): KeyEvent {
  const { keyId, environment, kind, name, owner, scopes, restrictions, metadata, secret, now } = issueKey();
  const terms: KeyTerms = {
    keyId,
    keyspaceId: 'acme',
    environment,
    kind,
    name,
    owner,
    scopes,
    restrictions,
    metadata,
    secret,
    createdAt: now,
  };
  return { type: 'KeyIssued', data: { ...terms, expiresAt: at(90 * DAY), ...changes } };
}

/** The same without an end. */
export function issuedForEver(changes: Partial<KeyTerms> = {}): KeyEvent {
  const { expiresAt: _, ...terms } = issued({ justification: 'a meter in the field', ...changes }).data as KeyTerms;
  return { type: 'KeyIssued', data: terms };
}

/** The n-th rotation: the secret n + 1 replaces the secret n, which works on until `graceEndsAt`. */
export function rotated(n: number, rotatedAt: Instant, graceEndsAt: Instant, endedSecretId?: string): KeyEvent {
  return {
    type: 'KeyRotated',
    data: {
      keyId: 'key1',
      secret: secretOf(n + 1),
      previousSecretId: secretOf(n).secretId,
      graceEndsAt,
      ...(endedSecretId !== undefined && { endedSecretId }),
      rotatedAt,
    },
  };
}

export const revoked = (when: Instant): KeyEvent => ({
  type: 'KeyRevoked',
  data: { keyId: 'key1', reason: 'leaked', requestedAt: when, revokedAt: when },
});

export const suspended = (when: Instant): KeyEvent => ({
  type: 'KeySuspended',
  data: { keyId: 'key1', reason: 'under review', suspendedAt: when },
});

export const reinstated = (when: Instant): KeyEvent => ({
  type: 'KeyReinstated',
  data: { keyId: 'key1', reason: 'cleared', reinstatedAt: when },
});

/** What stands around a key: the usual policy with these parts, not used, and nobody who takes its new secrets. */
export const around = (policy: Partial<KeyspacePolicy> = {}, rest: Partial<Surroundings> = {}): Surroundings => ({
  policy: keyspaceWith(policy).policy,
  usage: [],
  receiver: false,
  ...rest,
});
