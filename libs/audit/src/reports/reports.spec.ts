import { afterAll, describe, expect, it } from '@jest/globals';
import type { Instant } from '@keyledger/contracts';
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { History } from '../history.js';
import { readerOf } from '../log.spec-support.js';
import type { KeyAt } from '../replay.js';
import { Story } from './reports.spec-support.js';

describe('a report about all keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-reports-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const steps = fc.array(fc.record({ kind: fc.nat(5), key: fc.nat(9), space: fc.nat(1) }), { maxLength: 40 });
  const SPACES = ['acme', 'zeta'];

  function storyOf(given: readonly { kind: number; key: number; space: number }[]): Story {
    const story = SPACES.reduce((told, space) => told.keyspace(0, space), new Story());
    const secrets = new Map<string, number>();
    for (const [index, { kind, key, space }] of given.entries()) {
      const [now, keyId, keyspaceId = ''] = [index + 1, `k${key}`, SPACES[space]];
      const secret = secrets.get(keyId);
      if (kind === 0) story.policy(now, keyspaceId, { maxLifetime: `P${10 * key + 1}D` });
      else if (secret === undefined) {
        story.issue(now, keyId, { keyspaceId, scopes: [`a:${space}`, `b:${key % 3}`] });
        secrets.set(keyId, 1);
      } else if (secret > 0 && kind === 1) {
        story.revoke(now, keyId);
        secrets.set(keyId, 0);
      } else if (secret > 0 && kind === 2) {
        story.rotate(now, keyId, secret);
        secrets.set(keyId, secret + 1);
      } else story.used(now, keyId, `${keyId}s1`, index);
    }
    return story;
  }

  it('says the same from snapshots as from all events, at any instant', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 6 }), async (given, spacing) => {
        const story = storyOf(given);
        const options = { folder: mkdtempSync(join(folder, 'case-')), version: 'test', spacing };
        const history = new History(readerOf(story.log), options);
        await history.keepUp(new AbortController().signal);
        const fromSnapshots = async function* (at: Instant): AsyncGenerator<KeyAt[]> {
          for await (const found of history.keysAt({ recordedUntil: at })) yield found.map((one) => one.key());
        };
        for (const at of story.log.map(({ recordedAt }) => recordedAt)) {
          for (const name of ['inventory', 'never-used', 'older-than-policy', 'scope-holders']) {
            expect(await story.report(name, { at }, fromSnapshots)).toEqual(await story.report(name, { at }));
          }
        }
        const keyEvents = story.log.filter(({ stream }) => stream.startsWith('key-')).length;
        expect(history.status.snapshots > 0).toBe(keyEvents >= spacing);
      }),
      { numRuns: 25 },
    );
  });
});
