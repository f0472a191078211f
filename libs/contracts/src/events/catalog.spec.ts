import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { climb, EVENT_CATALOG, isEventType, upcast, type EventType, type Upcaster } from './catalog.js';

const FIXTURES = new URL('../../fixtures/events/', import.meta.url);
const types = Object.keys(EVENT_CATALOG) as EventType[];
const stored = readdirSync(FIXTURES).filter((name) => name.endsWith('.json'));

function fixture(name: string): { data: Record<string, unknown>; metadata: { schemaVersion: number } } {
  return JSON.parse(readFileSync(new URL(name, FIXTURES), 'utf8'));
}

describe('the event catalog', () => {
  it('names a newest version that its upcasters lead to', () => {
    for (const type of types) expect([type, EVENT_CATALOG[type].schemaVersion]).toEqual([type, steps(type) + 1]);
  });

  it('has a golden fixture for every version of every type, and none for anything else', () => {
    const wanted = types.flatMap((type) =>
      Array.from({ length: EVENT_CATALOG[type].schemaVersion }, (_, index) => `${type}.v${index + 1}.json`),
    );
    expect(stored.toSorted()).toEqual(wanted.toSorted());
  });

  it('keeps golden fixtures as they were first written', () => {
    const sums = readFileSync(new URL('SHA256SUMS', FIXTURES), 'utf8').trimEnd().split('\n');
    const actual = stored.toSorted().map((name) => {
      const digest = createHash('sha256').update(readFileSync(new URL(name, FIXTURES)));
      return `${digest.digest('hex')}  ${name}`;
    });
    expect(actual).toEqual(sums);
  });

  it.each(stored)('reads %s in its newest shape', (name) => {
    const [type = '', version] = name.split('.');
    if (!isEventType(type)) throw new Error(`${name} names no event type`);
    const { data, metadata } = fixture(name);
    expect(`v${metadata.schemaVersion}`).toBe(version);
    const newest = metadata.schemaVersion === EVENT_CATALOG[type].schemaVersion ? data : fixture(`newest/${name}`).data;
    expect(upcast(type, metadata.schemaVersion, data)).toEqual(newest);
  });

  it.each(types)('refuses a %s that lacks any one required member, and names it', (type) => {
    const { data } = fixture(`${type}.v${EVENT_CATALOG[type].schemaVersion}.json`);
    for (const member of EVENT_CATALOG[type].required as readonly string[]) {
      const { [member]: _, ...rest } = data;
      expect(() => upcast(type, EVENT_CATALOG[type].schemaVersion, rest)).toThrow(`${type} lacks ${member}`);
    }
  });

  it('refuses versions that no build before this one wrote', () => {
    const { data } = fixture('KeyRevoked.v1.json');
    for (const version of [0, -1, 1.5, Number.NaN, EVENT_CATALOG.KeyRevoked.schemaVersion + 1]) {
      expect(() => upcast('KeyRevoked', version, data)).toThrow(RangeError);
    }
  });

  it('takes only its own names for event types', () => {
    expect(['KeyIssued', 'keyIssued', 'toString', '__proto__', '$>', ''].filter(isEventType)).toEqual(['KeyIssued']);
  });
});

describe('an upcast', () => {
  // A made-up history: `who` became `owner`, then `owner` became an object, then a default was written down.
  const chain: Upcaster[] = [
    ({ who, ...rest }) => ({ ...rest, owner: who }),
    ({ owner, ...rest }) => ({ ...rest, owner: { id: owner } }),
    (data) => ({ ...data, kind: 'secret' }),
  ];
  const newest = { name: 'a', owner: { id: 'x' }, kind: 'secret' };

  it.each([
    [1, { name: 'a', who: 'x' }],
    [2, { name: 'a', owner: 'x' }],
    [3, { name: 'a', owner: { id: 'x' } }],
    [4, newest],
  ])('leads from version %i to the newest shape', (version, data) => {
    expect(climb(chain, version, data)).toEqual(newest);
  });

  it('runs exactly the steps that remain, in order, and leaves what was stored as it was', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 12 }), fc.nat(), (length, seed) => {
        const version = 1 + (seed % (length + 1));
        const counting = Array.from({ length }, (_, index): Upcaster => (data) => ({
          path: [...(data['path'] as number[]), index + 1],
        }));
        const given = Object.freeze({ path: Object.freeze([]) });
        const expected = Array.from({ length: length - version + 1 }, (_, index) => version + index);
        expect(climb(counting, version, given as never)).toEqual({ path: expected });
      }),
    );
  });

  it('refuses a version beyond its last step instead of guessing', () => {
    expect(() => climb(chain, 5, newest)).toThrow('this build knows 1 to 4');
  });
});

function steps(type: EventType): number {
  return EVENT_CATALOG[type].upcasters.length;
}
