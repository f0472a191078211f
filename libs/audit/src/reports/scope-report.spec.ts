import { describe, expect, it } from '@jest/globals';
import { day, keyOf, link, Story } from './reports.spec-support.js';

describe('who holds which scope', () => {
  it('lists the keys that hold each, and none that is over', async () => {
    const story = new Story()
      .keyspace(0, 'acme')
      .issue(0, 'k1', { scopes: ['payments:read', 'payments:*'] })
      .issue(0, 'k2')
      .issue(0, 'k3')
      .revoke(1, 'k3')
      .add(1, { type: 'KeySuspended', data: { keyId: 'k2', reason: 'odd', suspendedAt: day(1) } });
    const line = (scope: string, keyId: string, state: string, position: number) => ({
      scope,
      ...keyOf(keyId),
      state,
      createdAt: day(0),
      expiresAt: day(90),
      events: link(`keyId=${keyId}&toPosition=${position}`),
    });
    expect(await story.report('scope-holders', { at: day(2) })).toEqual([
      line('payments:*', 'k1', 'active', 20),
      line('payments:read', 'k1', 'active', 20),
      line('payments:read', 'k2', 'suspended', 60),
    ]);
    // Suspended or not, at its end a key is over: nobody can reinstate it.
    expect(await story.report('scope-holders', { at: day(90) })).toEqual([]);
  });
});
