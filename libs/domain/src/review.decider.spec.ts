import { describe, expect, it } from '@jest/globals';
import type { ReviewedKey, ReviewEvent } from '@keyledger/contracts';
import { at, DAY, given as givenOf, HOUR, START } from './decider.spec-support.js';
import { attestedKeys, reviewDecider, type Attester, type ReviewCommand } from './review.decider.js';

const given = (...events: ReviewEvent[]) => givenOf(reviewDecider, ...events);

const reviewed = (n: number, ownerId = 'billing'): ReviewedKey => ({
  keyId: `key${n}`,
  keyspaceId: 'acme',
  name: `Key ${n}`,
  owner: { id: ownerId, type: 'service' },
});
const terms = { reviewId: 'rev1', name: 'Q1', filter: { keyspaceId: 'acme' }, dueAt: at(30 * DAY) };
const started = (reviewer?: string): ReviewEvent => ({
  type: 'AccessReviewStarted',
  data: { ...terms, ...(reviewer !== undefined && { reviewer }), startedAt: START },
});
const scoped = (keys: ReviewedKey[], complete = true): ReviewEvent => ({
  type: 'AccessReviewScoped',
  data: { reviewId: 'rev1', keys, ...(complete && { complete: true as const }) },
});
const attested = (more: object = {}): ReviewEvent => ({
  type: 'AccessAttested',
  data: {
    reviewId: 'rev1',
    keyId: 'key1',
    decision: 'keep',
    attestedBy: 'boss',
    attestedAs: 'reviewer',
    attestedAt: at(HOUR),
    ...more,
  },
});
const closed = (outstanding: number): ReviewEvent => ({
  type: 'AccessReviewClosed',
  data: { reviewId: 'rev1', outstanding, closedAt: at(2 * HOUR) },
});

const boss: Attester = { as: 'manager', keyId: 'boss', ownerId: 'security' };
const start = (more: object = {}): ReviewCommand => ({
  type: 'StartReview',
  ...terms,
  keys: [reviewed(1)],
  complete: true,
  now: START,
  ...more,
});
const attest = (more: object = {}): ReviewCommand => ({
  type: 'AttestAccess',
  keyId: 'key1',
  decision: 'keep',
  held: ['payments:*'],
  attester: boss,
  now: at(HOUR),
  ...more,
});
const open = (reviewer?: string) => given(started(reviewer), scoped([reviewed(1), reviewed(2, 'shop')]));

describe('a review', () => {
  it('starts with its terms and the keys as they stand', () => {
    given()
      .when(start())
      .thenAppends(started(), scoped([reviewed(1)]));
    given()
      .when(start({ reviewer: 'owner', complete: false }))
      .thenAppends(started('owner'), scoped([reviewed(1)], false));
  });

  it('that finds no key, or is due before it begins, does not start', () => {
    given()
      .when(start({ keys: [] }))
      .thenRefuses('UNPROCESSABLE', 'filter');
    given()
      .when(start({ dueAt: START }))
      .thenRefuses('UNPROCESSABLE', 'dueAt');
  });

  it('started again goes on where it stopped and names no key twice', () => {
    const begun = given(started(), scoped([reviewed(1)], false));
    begun.when(start()).thenAppends();
    begun
      .when({ type: 'ScopeReview', keys: [reviewed(1), reviewed(2)], complete: true })
      .thenAppends(scoped([reviewed(2)]));
    begun.when({ type: 'ScopeReview', keys: [reviewed(1)], complete: false }).thenAppends();
    expect(begun.state?.status).toBe('preparing');
  });

  it('keeps its list once it is whole', () => {
    open()
      .when({ type: 'ScopeReview', keys: [reviewed(3)], complete: true })
      .thenAppends();
  });

  it('that is not whole is not attested', () => {
    given(started(), scoped([reviewed(1)], false))
      .when(attest())
      .thenRefuses('CONFLICT');
  });

  it('closes once, and says how many keys nobody attested', () => {
    const now = at(2 * HOUR);
    given(started(), scoped([reviewed(1), reviewed(2)]), attested(), attested({ decision: 'revoke' }))
      .when({ type: 'CloseReview', now })
      .thenAppends(closed(1));
    given(started(), scoped([reviewed(1)]), closed(1))
      .when({ type: 'CloseReview', now })
      .thenAppends();
    given(started(), scoped([reviewed(1)]), closed(1))
      .when(attest())
      .thenRefuses('REVIEW_CLOSED');
  });

  it('that was never started can be neither scoped, attested nor closed', () => {
    given().when(attest()).thenRefuses('NOT_FOUND');
    given().when({ type: 'CloseReview', now: START }).thenRefuses('NOT_FOUND');
    given()
      .when({ type: 'ScopeReview', keys: [reviewed(1)], complete: true })
      .thenRefuses('NOT_FOUND');
  });
});

describe('an attestation', () => {
  it('records the decision, who made it and as what', () => {
    open()
      .when(attest({ comment: 'in use' }))
      .thenAppends(attested({ comment: 'in use' }));
    open()
      .when(attest({ keyId: 'key3' }))
      .thenRefuses('NOT_FOUND', 'keyId');
  });

  it('said again by the same person changes nothing; another word or another person does', () => {
    const said = given(started(), scoped([reviewed(1)]), attested());
    said.when(attest({ now: at(2 * HOUR) })).thenAppends();
    said.when(attest({ decision: 'revoke' })).thenAppends(attested({ decision: 'revoke' }));
    said
      .when(attest({ attester: { as: 'manager', keyId: 'deputy', ownerId: 'security' } }))
      .thenAppends(attested({ attestedBy: 'deputy' }));
  });

  it('to revoke is the last word', () => {
    const gone = given(started(), scoped([reviewed(1)]), attested({ decision: 'revoke' }));
    gone.when(attest()).thenRefuses('CONFLICT');
    gone.when(attest({ decision: 'revoke' })).thenAppends();
  });

  it('to narrow names fewer scopes, and a key that holds no more than them', () => {
    const narrow = (more: object) => open().when(attest({ decision: 'narrow', ...more }));
    const scopes = ['payments:read'];
    narrow({ scopes }).thenAppends(attested({ decision: 'narrow', scopes }));
    narrow({ scopes, replacement: { keyId: 'key9', scopes } }).thenAppends(
      attested({ decision: 'narrow', scopes, replacementKeyId: 'key9' }),
    );
    narrow({}).thenRefuses('UNPROCESSABLE', 'scopes');
    narrow({ scopes: ['payments:read', 'refunds:read'] }).thenRefuses('UNPROCESSABLE', 'scopes[1]');
    narrow({ scopes: ['payments:*'] }).thenRefuses('UNPROCESSABLE', 'scopes');
    narrow({ scopes, replacement: { keyId: 'key1', scopes } }).thenRefuses('UNPROCESSABLE', 'replacementKeyId');
    narrow({ scopes, replacement: { keyId: 'key9', scopes: ['payments:*'] } }).thenRefuses(
      'UNPROCESSABLE',
      'replacementKeyId',
    );
  });

  it('with scopes that its decision has no use for is refused', () => {
    open()
      .when(attest({ scopes: ['payments:read'], replacement: { keyId: 'key9', scopes: [] } }))
      .thenRefuses('UNPROCESSABLE', 'scopes', 'replacementKeyId');
  });

  it.each([
    [undefined, boss, 'reviewer'],
    [undefined, { as: 'holder', keyId: 'key1' }, 'holder'],
    [undefined, { as: 'holder', keyId: 'key2' }, undefined],
    ['boss', boss, 'reviewer'],
    ['boss', { as: 'manager', keyId: 'deputy', ownerId: 'security' }, undefined],
    ['boss', { as: 'holder', keyId: 'key1' }, undefined],
    ['owner', boss, undefined],
    ['owner', { as: 'manager', keyId: 'deputy', ownerId: 'billing' }, 'owner'],
    ['owner', { as: 'holder', keyId: 'key1' }, 'holder'],
  ] as const)('with the reviewer %s by %j counts as that of: %s', (reviewer, attester, attestedAs) => {
    const asked = open(reviewer).when(attest({ attester }));
    if (attestedAs === undefined) asked.thenRefuses('NOT_ALLOWED');
    else asked.thenAppends(attested({ attestedBy: attester.keyId, attestedAs }));
  });

  it('of the holder keeps or revokes, and never narrows', () => {
    const holder: Attester = { as: 'holder', keyId: 'key1' };
    open()
      .when(attest({ attester: holder, decision: 'narrow', scopes: ['payments:read'] }))
      .thenRefuses('UNPROCESSABLE', 'decision');
  });

  it('that came last about a key is the one that holds', () => {
    const { state } = given(started(), scoped([reviewed(1)]), attested(), attested({ decision: 'revoke' }));
    expect([...(state ? attestedKeys(state).values() : [])].map(({ decision }) => decision)).toEqual(['revoke']);
  });
});
