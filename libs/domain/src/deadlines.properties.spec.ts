import { describe, expect, it } from '@jest/globals';
import { durationSeconds, plusSeconds, type KeyEvent } from '@keyledger/contracts';
import fc from 'fast-check';
import { around, at, HOUR, issued, rotated, secretOf } from './decider.spec-support.js';
import { deadlinesOf, eventsDue, nextDeadline, rotationDue } from './deadlines.js';
import { fold } from './decider.js';
import { evolveKey, type KeyState } from './key.state.js';

describe('whatever the policy and however late anybody looks', () => {
  const HOURS = 24 * 100;
  const hours = fc.integer({ min: 0, max: HOURS });
  const policies = fc.record({
    expiryWarnings: fc.subarray(['P30D', 'P7D', 'P1D', 'PT2H']),
    endGrace: fc.constantFrom('at-deadline' as const, 'when-idle:PT6H' as const),
    rotation: fc.option(
      fc.record({
        every: fc.constantFrom('P3D', 'P40D'),
        grace: fc.constant('P1D'),
        mode: fc.constant('announce' as const),
      }),
      { nil: undefined },
    ),
    unused: fc.option(
      fc.record({ after: fc.constant('P20D'), action: fc.constantFrom('announce' as const, 'suspend' as const) }),
      {
        nil: undefined,
      },
    ),
  });
  const stories = fc.record({
    policy: policies.map(({ rotation, unused, ...rest }) => {
      return around({ ...rest, ...(rotation && { rotation }), ...(unused && { unused }) });
    }),
    rotateAt: fc.option(hours, { nil: undefined }),
    usedAt: fc.option(hours, { nil: undefined }),
    visits: fc.array(hours, { maxLength: 30 }).map((list) => [...list].sort((one, other) => one - other)),
  });
  type Story = Parameters<Parameters<typeof stories.map>[0]>[0];

  /** Walks through a story and looks at the visits; gives the key and everything that was decided. */
  function walk({ policy, rotateAt, usedAt }: Story, visits: readonly number[]): { key: KeyState; events: KeyEvent[] } {
    const usage =
      usedAt === undefined ? [] : [{ secretId: secretOf(1).secretId, lastUsedAt: at(usedAt * HOUR), count: 1 }];
    let key = fold(evolveKey, undefined as KeyState | undefined, [issued()]) as KeyState;
    const events: KeyEvent[] = [];
    let isRotated = false;
    for (const hour of visits) {
      if (rotateAt !== undefined && !isRotated && hour >= rotateAt && rotateAt < 90 * 24 && key.status === 'active') {
        isRotated = true;
        key = evolveKey(key, rotated(1, at(rotateAt * HOUR), at((rotateAt + 24) * HOUR)));
      }
      const now = at(hour * HOUR);
      const due = eventsDue(key, { ...policy, usage: usedAt !== undefined && usedAt <= hour ? usage : [] }, now);
      for (const event of due) key = evolveKey(key, event);
      events.push(...due);
    }
    return { key, events };
  }

  it('a look right after a look finds nothing', () => {
    fc.assert(
      fc.property(stories, (story) => {
        const { key } = walk(story, story.visits);
        const last = story.visits.at(-1);
        if (last === undefined) return;
        const usage =
          story.usedAt !== undefined && story.usedAt <= last
            ? [{ secretId: secretOf(1).secretId, lastUsedAt: at(story.usedAt * HOUR), count: 1 }]
            : [];
        expect(eventsDue(key, { ...story.policy, usage }, at(last * HOUR))).toEqual([]);
      }),
    );
  });

  it('a key that somebody looks at every hour ends like one that is looked at once at the end', () => {
    const everyHour = Array.from({ length: HOURS + 1 }, (_, hour) => hour);
    const plain = stories.map((story) => {
      const { unused: _, ...policy } = story.policy.policy;
      return { ...story, rotateAt: undefined, policy: { ...story.policy, policy } };
    });
    fc.assert(
      fc.property(plain, (story) => {
        const seen = (events: KeyEvent[]) =>
          events.flatMap((event) => (event.type === 'KeyExpired' ? [event.data.expiresAt] : []));
        expect(seen(walk(story, everyHour).events)).toEqual(seen(walk(story, [HOURS]).events));
      }),
      { numRuns: 10 },
    );
  });

  it('nothing is due before the next deadline, and the next deadline is the first of all', () => {
    fc.assert(
      fc.property(stories, hours, (story, hour) => {
        const { key } = walk(story, story.visits);
        const now = at(hour * HOUR);
        const next = nextDeadline(key, story.policy, now);
        if (eventsDue(key, story.policy, now).length > 0 || rotationDue(key, story.policy, now)) {
          expect(next !== undefined && next <= now).toBe(true);
        }
        const all = deadlinesOf(key, story.policy, now).map((deadline) => deadline.at);
        expect(all).toEqual([...all].sort());
        if (next !== undefined && next > now) {
          const before = plusSeconds(next, -0.001);
          if (before >= now) expect(eventsDue(key, story.policy, before)).toEqual([]);
        }
      }),
    );
  });

  it('each warning is given once at most, and none that is weaker than one before', () => {
    fc.assert(
      fc.property(stories, (story) => {
        const { events } = walk(story, story.visits);
        const warnings = events.flatMap((event) => (event.type === 'KeyExpiryAnnounced' ? [event.data] : []));
        const names = warnings.map(({ secretId, end, warning }) => `${secretId} ${end} ${warning}`);
        expect(new Set(names).size).toBe(names.length);
        const ofKey = warnings.filter(({ end }) => end === 'key');
        for (const id of new Set(ofKey.map(({ secretId }) => secretId))) {
          const lengths = ofKey
            .filter(({ secretId }) => secretId === id)
            .map(({ warning }) => durationSeconds(warning) ?? 0);
          expect(lengths).toEqual([...lengths].sort((one, other) => other - one));
        }
      }),
    );
  });
});
