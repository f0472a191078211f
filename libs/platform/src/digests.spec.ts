import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createHash, createHmac } from 'node:crypto';
import { KeyDigests, type Pepper } from './digests.js';
import { idFrom, newId, uuidFrom } from './ids.js';

const pepper = (id: string): Pepper => ({ id, key: createHash('sha256').update(id).digest() });
const [a, b] = [pepper('a'), pepper('b')];
const KEY = 'acme_live_4f9kQ2LmZ7aB_secret';

describe('KeyDigests', () => {
  it('is the SHA-256 of the whole text without peppers, HMAC-SHA-256 under the first with them', () => {
    const plain = createHash('sha256').update(KEY).digest('base64url');
    expect(new KeyDigests([]).forNew(KEY)).toEqual({ hash: plain });
    expect(new KeyDigests([]).candidates(KEY)).toEqual([plain]);
    const keyed = createHmac('sha256', a.key).update(KEY).digest('base64url');
    expect(new KeyDigests([a, b]).forNew(KEY)).toEqual({ hash: keyed, pepperId: 'a' });
  });

  it('finds a key again after peppers were turned on, changed and retired, the current one first', () => {
    const ages = [[], [a], [b, a]].map((peppers) => new KeyDigests(peppers));
    const newest = new KeyDigests([pepper('c'), b, a]);
    const candidates = newest.candidates(KEY);
    for (const age of ages) expect(candidates).toContain(age.forNew(KEY).hash);
    expect(candidates[0]).toBe(newest.forNew(KEY).hash);
    expect(new KeyDigests([b]).candidates(KEY)).not.toContain(new KeyDigests([a]).forNew(KEY).hash);
  });

  it('opens what it sealed with the same Idempotency-Key and with no other, also once its pepper is retired', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ unit: 'binary' }), (one, other, text) => {
        const sealed = new KeyDigests([a]).seal(one, text);
        expect(new KeyDigests([b, a]).open(one, sealed)).toBe(Buffer.from(text).toString());
        if (other !== one) expect(new KeyDigests([a]).open(other, sealed)).toBeUndefined();
        expect(new KeyDigests([b]).open(one, sealed)).toBeUndefined();
      }),
    );
    expect(new KeyDigests([]).open('k', new KeyDigests([]).seal('k', 'text'))).toBe('text');
  });

  it('opens nothing that was changed or is no seal', () => {
    const digests = new KeyDigests([a]);
    const sealed = digests.seal('k', 'text');
    for (const broken of [`${sealed.slice(0, -2)}AA`, sealed.slice(2), '', '.', 'a.', 'a.AAAA', sealed.slice(0, 60)]) {
      expect(digests.open('k', broken)).toBeUndefined();
    }
  });
});

describe('ids', () => {
  it('are 22 base62 characters, fresh each time or the same for the same seed', () => {
    expect(new Set(Array.from({ length: 1000 }, newId)).size).toBe(1000);
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        expect(idFrom(one)).toMatch(/^[0-9A-Za-z]{22}$/);
        expect(idFrom(one) === idFrom(other)).toBe(one === other);
        expect(uuidFrom(one)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      }),
    );
  });
});
