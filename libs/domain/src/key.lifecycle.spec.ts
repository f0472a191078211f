import { describe, expect, it } from '@jest/globals';
import {
  durationSeconds,
  instantOf,
  plusSeconds,
  REFUSALS,
  type Instant,
  type KeyEvent,
  type VerdictCode,
} from '@keyledger/contracts';
import fc from 'fast-check';
import { DAY, frozen, HOUR, issueKey, keyspaceWith, secretOf, START } from './decider.spec-support.js';
import { fold } from './decider.js';
import { judge } from './judge.js';
import { keyDecider, type KeyCommand } from './key.decider.js';
import { RETIRED_SECRETS_KEPT, stateAt, type KeyState } from './key.state.js';
import type { KeyspaceState } from './keyspace.decider.js';

/** What somebody does, `wait` seconds after whoever was before him. Every step that needs a secret gets a fresh one. */
interface Step {
  wait: number;
  command: (now: Instant, keyspace: KeyspaceState, fresh: number) => KeyCommand;
}

// Few, round lengths, so that deadlines and commands often fall on the very same instant.
const wait = fc.constantFrom(0, 0, 0.001, HOUR, DAY, 2 * DAY, 9 * DAY);
const offset = fc.constantFrom(-DAY, 0, 0.001, HOUR, DAY, 2 * DAY, 10 * DAY, 40 * DAY);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const rotate = optional(fc.constantFrom(0, HOUR, DAY, 3 * DAY, -1, 0.5, 99 * DAY)).map(
  (graceSeconds): Step['command'] =>
    (now, keyspace, fresh) => ({
      type: 'RotateKey',
      keyspace,
      secret: secretOf(fresh),
      ...(graceSeconds !== undefined && { graceSeconds }),
      now,
    }),
);
const change = fc
  .record({ expiry: optional(offset), name: optional(fc.constantFrom('a', 'b')), narrow: optional(fc.boolean()) })
  .map(({ expiry, name, narrow }): Step['command'] => (now) => ({
    type: 'ChangeKey',
    ...(expiry !== undefined && { expiresAt: plusSeconds(now, expiry) }),
    ...(name !== undefined && { name, metadata: { name }, owner: { id: name, type: 'agent' } }),
    ...(narrow !== undefined && { restrictions: narrow ? { addresses: ['10.0.0.0/8'] } : {} }),
    now,
  }));
const others = fc.constantFrom<Step['command']>(
  (now) => ({ type: 'SuspendKey', reason: 'r', now }),
  (now) => ({ type: 'ReinstateKey', reason: 'r', now }),
  (now) => ({ type: 'ReinstateKey', reason: 'r', now }),
  (now) => ({ type: 'RevokeKey', reason: 'leaked', requestedAt: now, now }),
  (now, keyspace, fresh) => issueKey({ keyspace, secret: secretOf(fresh), now }),
);
const steps = fc.array(
  fc.record({
    wait,
    command: fc.oneof(
      { weight: 5, arbitrary: rotate },
      { weight: 2, arbitrary: change },
      { weight: 2, arbitrary: others },
    ),
  }),
  { maxLength: 25 },
);
const keyspaces = fc
  .record({
    secondRotation: fc.constantFrom('end-oldest' as const, 'refuse' as const),
    defaultGrace: fc.constantFrom('PT0S', 'PT1H', 'P1D'),
    maxGrace: fc.constantFrom('P1D', 'P3D'),
    maxLifetime: fc.constantFrom('P10D', 'P366D'),
    defaultLifetime: fc.constant('P10D'),
    nonExpiring: fc.boolean(),
  })
  .map((policy) => keyspaceWith(policy));
const terms = fc.record(
  {
    notBefore: offset.map((seconds) => plusSeconds(START, seconds)),
    lifetime: fc.constantFrom('PT1H', 'P1D', 'P10D', 'P11D', 'P367D', 'PT0S'),
    expiresAt: fc.option(offset.map((seconds) => plusSeconds(START, seconds))),
    justification: fc.constantFrom('', 'j'),
  },
  { requiredKeys: [] },
);

/** Lets the steps happen to a new key, one after the other, and shows each to `check`. */
function live(
  keyspace: KeyspaceState,
  first: Partial<KeyCommand>,
  todo: readonly Step[],
  check: (story: {
    before: KeyState | undefined;
    after: KeyState;
    appended: KeyEvent[];
    events: KeyEvent[];
    now: Instant;
    command: KeyCommand;
  }) => void,
): KeyEvent[] {
  const events: KeyEvent[] = [];
  let state: KeyState | undefined;
  let now = START;
  let fresh = 1;
  const begin = { ...issueKey({ keyspace }), ...first } as KeyCommand;
  for (const step of [{ wait: 0, command: () => begin }, ...todo]) {
    now = plusSeconds(now, step.wait);
    const command = frozen(step.command(now, keyspace, fresh++));
    const decision = keyDecider.decide(command, state);
    if (!decision.accepted) {
      expect(Object.keys(REFUSALS)).toContain(decision.refusal.code);
      continue;
    }
    const appended = frozen(JSON.parse(JSON.stringify(decision.events)) as KeyEvent[]);
    // Nothing is lost on the way through the store, so what is applied at once is what the projector sees later.
    expect(appended).toStrictEqual(decision.events);
    const before = state;
    for (const event of appended) state = frozen(keyDecider.evolve(state, event));
    events.push(...appended);
    check({ before, after: state as KeyState, appended, events, now, command });
  }
  return events;
}

const secretIds = (events: readonly KeyEvent[]) =>
  events.flatMap((event) => ('secret' in event.data ? [event.data.secret.secretId] : []));
const hashOf = (secretId: string) => `hash-of-${secretId}`;
const verdict = (key: KeyState, secretId: string, now: Instant) =>
  judge(key, [hashOf(secretId)], { clientIp: '10.0.0.1' }, now).code;

/** What must be said about a secret, told from the events alone and without the state that is folded from them. */
function told(events: readonly KeyEvent[], secretId: string, now: Instant): VerdictCode {
  const last = (...types: KeyEvent['type'][]) => events.filter(({ type }) => types.includes(type)).at(-1);
  const ids = secretIds(events);
  const place = ids.indexOf(secretId);
  const rotationsSince = ids.length - 1 - place;
  if (place < 0 || rotationsSince - 1 > RETIRED_SECRETS_KEPT) return 'NOT_FOUND';
  if (last('KeyRevoked')) return 'REVOKED';
  if (last('KeySuspended', 'KeyReinstated')?.type === 'KeySuspended') return 'SUSPENDED';
  const issue = events[0] as Extract<KeyEvent, { type: 'KeyIssued' }>;
  if (issue.data.notBefore !== undefined && now < issue.data.notBefore) return 'NOT_YET_VALID';
  if (rotationsSince > 1) return 'EXPIRED';
  const ends = events.flatMap((event) => {
    if (event.type === 'KeyIssued') return event.data.expiresAt ?? [];
    if (event.type === 'KeyDetailsChanged') return event.data.changes.expiresAt?.after ?? [];
    return event.type === 'KeyRotated' && event.data.previousSecretId === secretId ? event.data.graceEndsAt : [];
  });
  return ends.some((end) => now >= end) ? 'EXPIRED' : 'VALID';
}

/** The instants at which an answer may change, and those right before and after. */
function turns(events: readonly KeyEvent[], now: Instant): Instant[] {
  const named = JSON.stringify(events).match(/\d{4}-\d\d-\d\dT[\d:.]+Z/g) ?? [];
  return [now, ...new Set(named)].flatMap((text) => {
    const millis = Date.parse(text);
    return [instantOf(millis - 1), text, instantOf(millis + 1)];
  });
}

const story = (numRuns: number, check: Parameters<typeof live>[3]) =>
  fc.assert(
    fc.property(keyspaces, terms, steps, (keyspace, first, todo) => {
      live(keyspace, first, todo, check);
    }),
    { numRuns },
  );

describe('whatever happens to a key, in whatever order', () => {
  it('has one current secret and at most one other, which is in its grace', () => {
    story(500, ({ after }) => {
      expect(after.secrets.map(({ graceEndsAt }) => graceEndsAt === undefined)).toEqual(
        [true, false].slice(0, after.secrets.length),
      );
      expect(after.retired.length).toBeLessThanOrEqual(RETIRED_SECRETS_KEPT);
      const ids = [...after.secrets, ...after.retired].map(({ secretId }) => secretId);
      expect(new Set(ids).size).toBe(ids.length);
    });
  });

  it('is judged as its events tell, at every instant that matters', () => {
    fc.assert(
      fc.property(keyspaces, terms, steps, (keyspace, first, todo) => {
        let state: KeyState | undefined;
        let now = START;
        const events = live(keyspace, first, todo, (story) => ({ after: state, now } = story));
        if (!state) return;
        const key: KeyState = state;
        for (const secretId of [...secretIds(events), 'another']) {
          for (const time of turns(events, now)) {
            const answer = verdict(key, secretId, time);
            expect([secretId, time, answer]).toEqual([secretId, time, told(events, secretId, time)]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('never is VALID again once it is revoked', () => {
    let revocations = 0;
    story(500, ({ after, events, now }) => {
      const place = events.findIndex(({ type }) => type === 'KeyRevoked');
      if (place < 0) return;
      revocations++;
      expect(place).toBe(events.length - 1);
      for (const secretId of secretIds(events)) {
        for (const time of turns(events, now))
          expect(['REVOKED', 'NOT_FOUND']).toContain(verdict(after, secretId, time));
      }
    });
    expect(revocations).toBeGreaterThan(0);
  });

  it('lets no grace outlive the key, nor exceed the policy', () => {
    story(500, ({ after, appended, command }) => {
      for (const { graceEndsAt } of after.secrets) {
        if (graceEndsAt !== undefined && after.expiresAt !== undefined) {
          expect(graceEndsAt <= after.expiresAt).toBe(true);
        }
      }
      const [event] = appended;
      if (event?.type !== 'KeyRotated' || command.type !== 'RotateKey') return;
      const longest = durationSeconds(command.keyspace.policy.maxGrace) as number;
      expect(event.data.graceEndsAt >= event.data.rotatedAt).toBe(true);
      expect(event.data.graceEndsAt <= plusSeconds(event.data.rotatedAt, longest)).toBe(true);
    });
  });

  it('keeps all that it is through a rotation, and never is down for it', () => {
    story(500, ({ before, after, appended, now }) => {
      const [event] = appended;
      if (event?.type !== 'KeyRotated' || !before) return;
      const { secrets: _, retired: __, ...was } = before;
      const { secrets, retired: ___, ...is } = after;
      expect(is).toStrictEqual(was);
      const { secret, previousSecretId, graceEndsAt } = event.data;
      expect(secrets[0]).toStrictEqual({ ...secret, createdAt: now });
      expect(previousSecretId).toBe(before.secrets[0]?.secretId);
      const asBefore = verdict(before, previousSecretId, now);
      expect(verdict(after, secret.secretId, now)).toBe(asBefore);
      if (graceEndsAt > now) expect(verdict(after, previousSecretId, now)).toBe(asBefore);
    });
  });

  it('names every secret that a rotation cut short, and lets it work no more', () => {
    story(500, ({ before, after, appended, now, command }) => {
      const [event] = appended;
      if (event?.type !== 'KeyRotated' || !before || command.type !== 'RotateKey') return;
      const previous = before.secrets[1];
      const cutShort = previous !== undefined && (previous.graceEndsAt as string) > now;
      expect(event.data.endedSecretId).toBe(cutShort ? previous.secretId : undefined);
      if (cutShort) expect(command.keyspace.policy.secondRotation).toBe('end-oldest');
      if (previous) expect(verdict(after, previous.secretId, now)).not.toBe('VALID');
    });
  });

  it('begins within the longest lifetime, and its expiry only comes nearer', () => {
    story(500, ({ before, after, command }) => {
      if (command.type === 'IssueKey') {
        const { policy } = command.keyspace;
        const longest = durationSeconds(policy.maxLifetime) as number;
        const start = command.notBefore ?? command.now;
        if (after.expiresAt === undefined) expect([policy.nonExpiring, after.justification]).toEqual([true, 'j']);
        else expect(after.expiresAt > start && after.expiresAt <= plusSeconds(start, longest)).toBe(true);
      }
      if (before?.expiresAt === undefined || after.expiresAt === before.expiresAt) return;
      expect(after.expiresAt !== undefined && after.expiresAt < before.expiresAt).toBe(true);
      expect(after.expiresAt !== undefined && after.expiresAt > command.now).toBe(true);
    });
  });

  it('is shown in the state in which it is judged', () => {
    const states: Partial<Record<VerdictCode, string>> = {
      ...{ VALID: 'active', REVOKED: 'revoked', SUSPENDED: 'suspended', NOT_YET_VALID: 'pending', EXPIRED: 'expired' },
    };
    story(300, ({ after, events, now }) => {
      const current = after.secrets[0]?.secretId as string;
      for (const time of turns(events, now)) expect(stateAt(after, time)).toBe(states[verdict(after, current, time)]);
    });
  });

  it('is the same folded from all its events as it was step by step', () => {
    story(300, ({ after, events }) => {
      const folded = fold((state: KeyState | undefined, event) => keyDecider.evolve(state, event), undefined, events);
      expect(folded).toStrictEqual(after);
    });
  });

  it('takes a revocation, suspension, reinstatement or change that is so already without an event', () => {
    story(300, ({ after, command }) => {
      if (command.type === 'RotateKey' || command.type === 'IssueKey') return;
      const again = keyDecider.decide(command, after);
      expect(again).toStrictEqual({ accepted: true, events: [] });
    });
  });
});
