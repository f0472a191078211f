import { expect, it } from '@jest/globals';
import { RefusalError } from '@keyledger/platform';
import { mintKey } from '@keyledger/domain';
import { randomBytes } from 'node:crypto';
import { assertPlainBody } from './body-guard.js';

const { key: KEY } = mintKey('acme', 'live', randomBytes);

function fieldOf(body: unknown): string | undefined {
  try {
    assertPlainBody(body);
    return undefined;
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    return error.refusal.errors?.[0]?.field;
  }
}

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });

it('lets plain objects pass, and no body', () => {
  expect(fieldOf(undefined)).toBeUndefined();
  expect(fieldOf(null)).toBeUndefined();
  expect(fieldOf({ a: [{ b: 'c' }, 1, null], d: { e: {} } })).toBeUndefined();
  expect(fieldOf(nested(16))).toBeUndefined();
});

it.each([
  ['a list', [], 'body'],
  ['a string', 'x', 'body'],
  ['a number', 1, 'body'],
  ['a name that objects inherit', { metadata: { constructor: 'x' } }, 'metadata.constructor'],
  ['such a name in a list', { keys: [{}, { toString: 1 }] }, 'keys[1].toString'],
  ['encrypted personal data', { keys: [{ name: 'pii:v1:x' }] }, 'keys[0].name'],
  ['a whole key in a text', { owner: { id: `of ${KEY}` } }, 'owner.id'],
  ['a whole key as a name', { metadata: { [KEY]: 'x' } }, 'metadata'],
  ['a whole key in a list', { scopes: ['a:read', KEY] }, 'scopes[1]'],
  ['a list within a list', { keys: [{}, []] }, 'keys[1]'],
  ['such a list deeper down', { policy: { leaks: [[{ response: 'alert' }]] } }, 'policy.leaks[0]'],
  ['__proto__ as an own name', JSON.parse('{"a": {"__proto__": 1}}'), 'a.__proto__'],
])('refuses %s, naming the field', (_, body, field) => {
  expect(fieldOf(body)).toBe(field);
});

it('refuses a body that nests too deep without walking down all of it', () => {
  let bomb: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) bomb = [bomb];
  expect(fieldOf({ bomb })).toMatch(/^bomb(\[0\])+$/);
});

it('lets a key pass where one is presented, a mask anywhere, and any key where the route masks them', () => {
  const { mask } = mintKey('acme', 'live', randomBytes);
  expect(fieldOf({ key: KEY, request: { origin: 'https://a.example' } })).toBeUndefined();
  expect(fieldOf({ name: mask, metadata: { seen: mask } })).toBeUndefined();
  expect(() => assertPlainBody({ url: `https://a.example/?k=${KEY}` }, true)).not.toThrow();
});
