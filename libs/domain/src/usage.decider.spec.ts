import { describe, expect, it } from '@jest/globals';
import { instantOf, type KeyUsageRecorded, type SecretUse } from '@keyledger/contracts';
import fc from 'fast-check';
import type { KeyUsage } from './deadlines.js';
import { lastUseOf, mergeUsage, usageDecider, USED_SECRETS_KEPT, type RecordUsage } from './usage.decider.js';

const at = (minute: number) => instantOf(Date.UTC(2026, 0, 1, 0, minute));
const record = (...usage: SecretUse[]): RecordUsage => {
  return { type: 'RecordUsage', keyId: 'key', usage, now: at(59) };
};
const used = (secretId: string, count: number, first: number, last: number): SecretUse => {
  return { secretId, count, firstUsedAt: at(first), lastUsedAt: at(last) };
};
const decide = (state: KeyUsage, command: RecordUsage) => usageDecider.decide(command, state);
const recorded = (...secrets: SecretUse[]) => {
  return {
    accepted: true,
    events: [{ type: 'KeyUsageRecorded', data: { keyId: 'key', secrets, recordedAt: at(59) } }],
  };
};

const someUsage: fc.Arbitrary<KeyUsage> = fc.uniqueArray(
  fc
    .record({
      secretId: fc.constantFrom('a', 'b', 'c'),
      count: fc.nat(1000),
      firstUsedAt: fc.option(fc.nat(50).map(at), { nil: undefined }),
      lastUsedAt: fc.option(fc.nat(50).map(at), { nil: undefined }),
    })
    .map((use) => JSON.parse(JSON.stringify(use)) as SecretUse),
  { selector: ({ secretId }) => secretId },
);

describe('recording the use of a key', () => {
  it('records what was counted from the beginning', () => {
    expect(decide([], record(used('a', 3, 1, 2)))).toEqual(recorded(used('a', 3, 1, 2)));
  });

  it('records of several secrets only those that were used since', () => {
    const state = [used('a', 3, 1, 2), used('b', 9, 1, 9)];
    expect(decide(state, record(used('a', 4, 1, 8), used('b', 9, 1, 9)))).toEqual(recorded(used('a', 4, 1, 8)));
  });

  it('records nothing that is on record already, and takes nothing back', () => {
    expect(decide([used('a', 3, 1, 5)], record(used('a', 2, 2, 4)))).toEqual({ accepted: true, events: [] });
  });

  it('keeps an older first use when a later one is told', () => {
    expect(decide([used('a', 3, 1, 5)], record(used('a', 7, 4, 6)))).toEqual(recorded(used('a', 7, 1, 6)));
  });

  it('merges in any order, any grouping and any number of times to the same', () => {
    fc.assert(
      fc.property(someUsage, someUsage, someUsage, (a, b, c) => {
        expect(mergeUsage(a, b)).toEqual(mergeUsage(b, a));
        expect(mergeUsage(mergeUsage(a, b), c)).toEqual(mergeUsage(a, mergeUsage(b, c)));
        expect(mergeUsage(mergeUsage(a, b), b)).toEqual(mergeUsage(a, b));
      }),
    );
  });

  it('never lowers a count, whatever is recorded', () => {
    fc.assert(
      fc.property(fc.array(someUsage, { maxLength: 6 }), (reports) => {
        let state = usageDecider.initialState;
        for (const usage of reports) {
          const decision = decide(state, record(...usage));
          if (!decision.accepted) throw new Error('refused');
          const next = decision.events.reduce((before, event) => usageDecider.evolve(before, event), state);
          for (const { secretId, count } of state) {
            expect(next.find((use) => use.secretId === secretId)?.count).toBeGreaterThanOrEqual(count);
          }
          expect(decide(next, record(...usage))).toEqual({ accepted: true, events: [] });
          state = next;
        }
      }),
    );
  });

  it('remembers a bounded number of secrets: those used last', () => {
    const all = Array.from({ length: 20 }, (_, n) => used(`s${String(n).padStart(2, '0')}`, 1, n, n));
    const state = all.reduce<KeyUsage>((before, use) => {
      const event: KeyUsageRecorded = {
        type: 'KeyUsageRecorded',
        data: { keyId: 'key', secrets: [use], recordedAt: at(59) },
      };
      return usageDecider.evolve(before, event);
    }, []);
    expect(state).toEqual(all.slice(-USED_SECRETS_KEPT));
    expect(lastUseOf(state)).toBe(at(19));
  });
});
