import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  ADMIN_SCOPES,
  isManagementScope,
  MANAGEMENT_GROUPS,
  MANAGEMENT_SCOPES,
  mayGrant,
  reachOf,
  type ManagementScope,
} from './scopes.js';

const KEYSPACES = ['acme', 'beta', 'acme2'] as const;
const plain = fc.constantFrom<string>(...MANAGEMENT_SCOPES, ...MANAGEMENT_GROUPS.map((group) => `${group}:*`));
const binding = fc.constantFrom('', ...KEYSPACES.map((id) => `@${id}`));
const scope = fc.tuple(plain, binding).map(([name, bound]) => (/^(privacy|system):/.test(name) ? name : name + bound));
const held = fc.array(scope, { maxLength: 6 });

/** Everything that scopes allow, pair by pair: the plain meaning against which the rules are held. */
function powers(scopes: readonly string[]): Set<string> {
  const places = [...KEYSPACES, 'any other'];
  return new Set(
    MANAGEMENT_SCOPES.flatMap((wanted) => {
      const reach = reachOf(scopes, wanted);
      return places.filter((place) => reach === 'all' || reach.includes(place)).map((place) => `${wanted} in ${place}`);
    }),
  );
}

describe('isManagementScope', () => {
  it('knows every management scope and group, bound or not, but none of the whole system bound', () => {
    for (const name of [...MANAGEMENT_SCOPES, ...MANAGEMENT_GROUPS.map((group) => `${group}:*`)]) {
      expect([name, isManagementScope(name)]).toEqual([name, true]);
      expect([name, isManagementScope(`${name}@acme`)]).toEqual([name, !/^(privacy|system):/.test(name)]);
    }
  });

  it.each([
    '',
    '*',
    '*:*',
    '@acme',
    ':*',
    'keys',
    'keys:',
    'keys:fly',
    'keys:read:more',
    'KEYS:READ',
    ' keys:read',
    'keys:read ',
    'keys:read\n',
    'verify:*',
    'verif:*',
    'keys:read@',
    'keys:read@a',
    'keys:read@Acme',
    'keys:read@*',
    'keys:read@acme\n',
    'keys:read@acme@beta',
    'keys:read@acme-corp',
    'keys:*:*',
    '__proto__',
    'constructor:*',
  ])('refuses %j', (text) => {
    expect(isManagementScope(text)).toBe(false);
  });

  it('has a group for every scope that has a colon, and lets the admin hold all', () => {
    for (const name of MANAGEMENT_SCOPES) {
      expect([name, reachOf(ADMIN_SCOPES, name)]).toEqual([name, 'all']);
      expect([name, mayGrant(ADMIN_SCOPES, name)]).toEqual([name, true]);
    }
    expect(ADMIN_SCOPES.every(isManagementScope)).toBe(true);
  });
});

describe('reachOf', () => {
  it.each<[string[], ManagementScope, 'all' | string[]]>([
    [[], 'keys:read', []],
    [['keys:read'], 'keys:read', 'all'],
    [['keys:*'], 'keys:read', 'all'],
    [['keys:read'], 'keys:issue', []],
    [['keyspaces:*'], 'keys:read', []],
    [['keys:*'], 'keyspaces:read', []],
    [['keys:read@acme'], 'keys:read', ['acme']],
    [['keys:*@acme', 'keys:read@beta'], 'keys:read', ['acme', 'beta']],
    [['keys:read@acme', 'keys:*'], 'keys:read', 'all'],
    [['verify'], 'verify', 'all'],
    [['verify@acme'], 'verify', ['acme']],
    [['verif:*'], 'verify', []],
    [['keys:*'], 'verify', []],
    // None is issued like that; should one be there, it must not run the whole system.
    [['system:*@acme', 'system:operate@acme'], 'system:operate', []],
    [['system:*@acme', 'system:operate'], 'system:operate', 'all'],
  ])('%j reaches for %s: %j', (scopes, wanted, reach) => {
    expect(reachOf(scopes, wanted)).toEqual(reach);
  });

  it('never lets a bound credential reach another keyspace', () => {
    fc.assert(
      fc.property(fc.array(plain), fc.constantFrom(...MANAGEMENT_SCOPES), (names, wanted) => {
        const reach = reachOf(
          names.map((name) => `${name}@acme`),
          wanted,
        );
        expect(reach).not.toBe('all');
        expect([...reach].every((id) => id === 'acme')).toBe(true);
      }),
    );
  });
});

describe('mayGrant', () => {
  it.each<[string[], string, boolean]>([
    [['keys:read'], 'keys:read', true],
    [['keys:read'], 'keys:*', false],
    [['keys:read@acme'], 'keys:*@acme', false],
    [['keys:*'], 'keys:*', true],
    [['keys:*'], 'keys:*@acme', true],
    [['keys:*'], 'keys:issue@acme', true],
    [['keys:*@acme'], 'keys:issue@acme', true],
    [['keys:*@acme'], 'keys:issue', false],
    [['keys:*@acme'], 'keys:issue@beta', false],
    [['keys:*@acme'], 'keys:*', false],
    [['keys:issue@acme'], 'keys:issue@acme2', false],
    [['keys:issue@acme'], 'keys:issue@acme@beta', false],
    [['keys:issue@acme'], 'keys:issue@', false],
    [['keys:issue@acme'], '@acme', false],
    [['keys:*'], 'keys:', false],
    [['keys:*'], 'keys:fly', false],
    [['keys:*'], '*', false],
    [['verify'], 'verify@acme', true],
    [['verify@acme'], 'verify', false],
    [['verif:*'], 'verify', false],
    [['verify'], 'verify:*', false],
    [['system:*'], 'system:operate', true],
    [['system:*'], 'system:operate@acme', false],
    [['system:*@acme'], 'system:operate', false],
    [[], 'keys:read', false],
    [['keys:read'], '', false],
  ])('%j may grant %j: %j', (scopes, wanted, allowed) => {
    expect(mayGrant(scopes, wanted)).toBe(allowed);
  });

  it('never hands on more than is held', () => {
    fc.assert(
      fc.property(held, scope, (own, wanted) => {
        if (!mayGrant(own, wanted)) return;
        const mine = powers(own);
        expect([...powers([wanted])].filter((power) => !mine.has(power))).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  it('lets everybody hand on just what he holds', () => {
    fc.assert(
      fc.property(held, (own) => {
        expect(own.every((text) => mayGrant(own, text))).toBe(true);
      }),
    );
  });

  it('is not moved by any text that is no management scope', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          scope.map((text) => `${text}@beta`),
        ),
        (text) => {
          if (!isManagementScope(text)) expect(mayGrant(ADMIN_SCOPES, text)).toBe(false);
        },
      ),
    );
  });
});
