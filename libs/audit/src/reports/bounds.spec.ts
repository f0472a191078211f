import { describe, expect, it } from '@jest/globals';
import type { RecordedEvent } from '@keyledger/contracts';
import fc from 'fast-check';
import { Uses } from './holdings.js';
import { InPassing } from './in-passing.js';
import type { ReportRow } from './report.js';
import { day, inBatches, Story } from './reports.spec-support.js';
import { HoldersByScope } from './scope-report.js';

describe('lines by scope', () => {
  const holders = fc.array(fc.uniqueArray(fc.constantFrom('a', 'b', 'b:c', 'b:*', 'd', 'e', 'f'), { maxLength: 7 }), {
    maxLength: 60,
  });
  const rowOf = (index: number): ReportRow => ({ keyId: `k${index}`, events: 'link' });

  it('are all there, in the order of scopes, and no more of them are held at any time than may be', () => {
    fc.assert(
      fc.property(holders, fc.integer({ min: 1, max: 40 }), (keys, mostHeld) => {
        const passes = new HoldersByScope(mostHeld);
        const given: ReportRow[] = [];
        let count = 0;
        do {
          count += 1;
          for (const [index, scopes] of keys.entries()) {
            for (const scope of scopes) given.push(...passes.take(scope, rowOf(index)));
            expect(passes.held).toBeLessThanOrEqual(mostHeld);
          }
          given.push(...passes.rest());
        } while (passes.next());
        const every = keys.flatMap((scopes, index) => scopes.map((scope) => ({ scope, ...rowOf(index) })));
        const sorted = every.toSorted((one, other) => (one.scope < other.scope ? -1 : one.scope > other.scope ? 1 : 0));
        expect(given).toEqual(sorted);
        // A pass for what is too much to hold, and one for each half of what is not.
        expect(count).toBeLessThanOrEqual(1 + new Set(every.map(({ scope }) => scope)).size);
      }),
    );
  });
});

describe('uses of keys', () => {
  const using = fc.array(fc.record({ key: fc.nat(20), secret: fc.nat(1), n: fc.nat(9) }), { maxLength: 60 });

  it('are those of every key, and those of no more keys are held at any time than may be', () => {
    fc.assert(
      fc.property(using, fc.integer({ min: 1, max: 12 }), (given, mostHeld) => {
        const keyOf = (key: number): string => `k${String(key).padStart(2, '0')}`;
        const story = new Story();
        for (const [at, { key, secret, n }] of given.entries()) story.used(at, keyOf(key), `s${secret}`, n);
        const all = new Uses(Infinity);
        for (const one of story.log) all.take(one);
        const passes = new Uses(mostHeld);
        const told: unknown[] = [];
        do {
          for (const one of story.log) {
            passes.take(one);
            expect(passes.held).toBeLessThanOrEqual(mostHeld);
          }
          for (let key = 0; key <= 20; key += 1) {
            const keyId = keyOf(key);
            if (passes.covers(keyId)) told.push([keyId, passes.count(keyId), passes.lastUsedAt(keyId)]);
          }
        } while (passes.next());
        const expected = Array.from({ length: 21 }, (_, key) => keyOf(key));
        expect(told).toEqual(expected.map((keyId) => [keyId, all.count(keyId), all.lastUsedAt(keyId)]));
      }),
    );
  });
});

describe('what streams had come to at a place of the log', () => {
  const steps = fc.array(fc.nat(8), { maxLength: 60 });
  /** Every event's stream so far, as text: nothing of it may be missing or there twice. */
  const step = (before: string | undefined, { id }: RecordedEvent): string => `${before ?? ''} ${id}`;

  it('is the fold of their events before it, however few streams are held, and no more are', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 5 }), fc.nat(3), async (given, mostHeld, every) => {
        const story = new Story();
        for (const key of given) story.used(1, `k${key}`, 's', 1);
        const open = new Set<object>();
        const eventsOf = async function* (stream: string, count: number) {
          const reading = {};
          open.add(reading);
          yield* inBatches(story.log.filter((one) => one.stream === stream).slice(0, count));
          open.delete(reading);
        };
        const passing = new InPassing({ eventsOf }, step, mostHeld);
        for (const [index, recorded] of story.log.entries()) {
          if (index % (every + 1) === 0) {
            const earlier = story.log.slice(0, index).filter(({ stream }) => stream === recorded.stream);
            expect(await passing.before(recorded)).toBe(
              earlier.reduce<string | undefined>((before, one) => step(before, one), undefined),
            );
          }
          passing.follow(recorded);
          expect(passing.size).toBeLessThanOrEqual(mostHeld);
        }
        // The event store closes the connection of whoever leaves too many reads before their end.
        expect(open.size).toBe(0);
      }),
    );
  });
});

describe('reports about events of a period', () => {
  it('hold nothing of the keys to which nothing happened in it, and tell the same', async () => {
    const story = new Story().keyspace(0, 'acme');
    // More keys than are held: the first ones are asked of their own streams.
    for (let key = 0; key < 10_050; key += 1) story.issue(1, `k${key}`);
    story.rotate(2, 'k3', 1).revoke(3, 'k4').revoke(3, 'k10049');
    expect(await story.report('rotations', { at: day(4), from: day(2) })).toMatchObject([
      { keyId: 'k3', name: 'Key k3', secretCreatedAt: day(1), timing: 'unscheduled' },
    ]);
    const revoked = await story.report('revocations', { at: day(4), from: day(2) });
    expect(revoked.map(({ keyId, name }) => [keyId, name])).toEqual([
      ['k4', 'Key k4'],
      ['k10049', 'Key k10049'],
    ]);
    const changes = await story.report('changes-by-actor', { at: day(4), from: day(2), within: ['acme'] });
    expect(changes.map(({ type, count }) => [type, count])).toEqual([
      ['KeyRotated', 1],
      ['KeyRevoked', 2],
    ]);
  });
});
