import { describe, expect, it } from '@jest/globals';
import { VERDICT_CODES } from '@keyledger/contracts';
import type { KeyState } from '@keyledger/domain';
import type { KeyRead } from '@keyledger/read-model';
import fc from 'fast-check';
import { responseOf, textOf, type Outcome } from './answer.js';

const instant = fc.constantFrom('2026-01-01T00:00:00.000Z', '2027-06-30T12:00:00.000Z', '2030-01-01T00:00:00.000Z');
const words = fc.string({ unit: 'binary', maxLength: 20 });

const state: fc.Arbitrary<KeyState> = fc
  .record(
    {
      name: words,
      ownerId: words,
      scopes: fc.array(words, { maxLength: 3 }),
      metadata: fc.dictionary(words, words),
      expiresAt: instant,
    },
    { requiredKeys: ['name', 'ownerId', 'scopes', 'metadata'] },
  )
  .map(({ ownerId, ...rest }) => ({
    keyId: 'k1',
    keyspaceId: 'acme',
    environment: 'live',
    kind: 'secret',
    owner: { id: ownerId, type: 'service' },
    restrictions: {},
    status: 'active',
    secrets: ['s2', 's1'].map((secretId) => ({
      secretId,
      mask: 'm',
      hash: secretId,
      createdAt: '2026-01-01T00:00:00.000Z',
    })),
    retired: [],
    createdAt: '2026-01-01T00:00:00.000Z',
    ...rest,
  }));

const secret = fc.record(
  { secretId: fc.constantFrom('s1', 's2', 's0'), graceEndsAt: instant },
  { requiredKeys: ['secretId'] },
);

describe('an answer as text', () => {
  it('says what the answer as an object says, of whatever key, secret and verdict, and however often', () => {
    const questions = fc.array(fc.record({ code: fc.constantFrom(...VERDICT_CODES), secret }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(state, fc.nat(), fc.boolean(), questions, (of, revision, isKept, asked) => {
        const key: KeyRead = { state: of, revision, ...(isKept && { memo: {} }) };
        // A secret's grace is part of the record, so that one record says one thing of it.
        const graces = new Map(asked.map(({ secret: one }) => [one.secretId, one]));
        for (const {
          code,
          secret: { secretId },
        } of asked) {
          const outcome: Outcome = { code, key, secret: graces.get(secretId)! };
          expect(JSON.parse(textOf(outcome))).toEqual(JSON.parse(JSON.stringify(responseOf(outcome))));
        }
      }),
    );
  });

  it('says nothing but the verdict of a key that is not known', () => {
    for (const code of VERDICT_CODES) {
      expect(JSON.parse(textOf({ code }))).toEqual({ valid: code === 'VALID', code });
    }
  });
});
