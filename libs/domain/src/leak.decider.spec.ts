import { describe, expect, it } from '@jest/globals';
import type { LeakEvent } from '@keyledger/contracts';
import fc from 'fast-check';
import { fold } from './decider.js';
import { at, given, START } from './decider.spec-support.js';
import { evolveLeak, leakDecider, leakStateOf, type LeakCommand, type LeakState } from './leak.decider.js';

const recorded: LeakEvent = {
  type: 'LeakReported',
  data: { leakId: 'leak1', source: 'report', tokenHash: 'hash', url: 'https://a.example', reportedAt: START },
};
const facts = {
  keyId: 'key1',
  secretId: 'secret000001',
  keyspaceId: 'acme',
  environment: 'live',
  kind: 'secret',
  owner: { id: 'billing', type: 'service' },
  response: 'revoke',
} as const;
const matched: LeakEvent = { type: 'LeakMatched', data: { leakId: 'leak1', ...facts, matchedAt: at(1) } };
const acted: LeakEvent = {
  type: 'LeakActionTaken',
  data: { leakId: 'leak1', keyId: 'key1', action: 'revoked', keyRevision: 4, takenAt: at(2) },
};
const resolved: LeakEvent = {
  type: 'LeakResolved',
  data: { leakId: 'leak1', resolution: 'handled', comment: 'gone', resolvedAt: at(3) },
};

const record = (now = START): LeakCommand => ({
  type: 'RecordLeak',
  leakId: 'leak1',
  source: 'report',
  tokenHash: 'hash',
  url: 'https://a.example',
  now,
});
const match: LeakCommand = { type: 'MatchLeak', ...facts, now: at(1) };
const act: LeakCommand = { type: 'NoteLeakAction', action: 'revoked', keyRevision: 4, now: at(2) };
const resolve: LeakCommand = { type: 'ResolveLeak', resolution: 'handled', comment: 'gone', now: at(3) };

describe('an incident', () => {
  it('goes from report to match to action to resolution', () => {
    given(leakDecider).when(record()).thenAppends(recorded);
    given(leakDecider, recorded).when(match).thenAppends(matched);
    given(leakDecider, recorded, matched).when(act).thenAppends(acted);
    given(leakDecider, recorded, matched, acted).when(resolve).thenAppends(resolved);
  });

  it('has each step once: asked for again, nothing happens', () => {
    const whole = [recorded, matched, acted, resolved];
    for (const command of [
      record(at(9)),
      { ...match, now: at(9) },
      { ...act, now: at(9) },
      { ...resolve, now: at(9) },
    ]) {
      given(leakDecider, ...whole)
        .when(command)
        .thenAppends();
    }
  });

  it('is resolved in one way', () => {
    const other: LeakCommand = { type: 'ResolveLeak', resolution: 'duplicate', now: at(9) };
    given(leakDecider, recorded, matched, acted, resolved).when(other).thenRefuses('CONFLICT');
  });

  it('can be resolved before it is matched or acted on', () => {
    given(leakDecider, recorded).when(resolve).thenAppends(resolved);
    given(leakDecider, recorded, matched).when(resolve).thenAppends(resolved);
  });

  it('must be reported before anything else', () => {
    for (const command of [match, act, resolve]) given(leakDecider).when(command).thenRefuses('NOT_FOUND');
    for (const event of [matched, acted, resolved])
      expect(() => leakDecider.evolve(undefined, event)).toThrow(RangeError);
    expect(() => given(leakDecider, recorded).when(act)).toThrow(RangeError);
  });

  it('is unmatched, open or resolved', () => {
    const after = (...events: LeakEvent[]) => {
      const { state } = given(leakDecider, ...events);
      return state && leakStateOf(state);
    };
    expect([after(recorded), after(recorded, matched), after(recorded, matched, acted)]).toEqual([
      'unmatched',
      'open',
      'open',
    ]);
    expect([after(recorded, resolved), after(recorded, matched, acted, resolved)]).toEqual(['resolved', 'resolved']);
  });

  it('has no step twice, in whatever order and however often they are asked for', () => {
    const steps = fc.array(fc.constantFrom(match, resolve, record(at(5))), { maxLength: 12 });
    fc.assert(
      fc.property(steps, (commands) => {
        const events: LeakEvent[] = [recorded];
        for (const command of commands) {
          const state = fold<LeakState | undefined, LeakEvent>(evolveLeak, undefined, events);
          const decision = leakDecider.decide(command, state);
          if (decision.accepted) events.push(...decision.events);
        }
        const types = events.map(({ type }) => type);
        expect(new Set(types).size).toBe(types.length);
      }),
    );
  });
});
