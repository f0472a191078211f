import { afterAll, expect, it } from '@jest/globals';
import type { KeyState } from '@keyledger/domain';
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { lineOf, readSnapshot, writeSnapshot } from './snapshot-file.js';

const HEAD = { position: 7n, recordedAt: '2026-01-01T00:00:00.000Z', eventId: '00000000-0000-4000-8000-000000000000' };
const folder = mkdtempSync(join(tmpdir(), 'keyledger-snapshot-'));
const path = join(folder, 'snapshot.gz');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function* oneByOne<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function linesIn(file: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const batch of readSnapshot(file)) lines.push(...batch.map(({ line }) => line));
  return lines;
}

it('the lines of a snapshot come back as they were, in whatever batches they came and however long they are', async () => {
  const length = fc.oneof(fc.nat(2000), fc.integer({ min: 65_000, max: 66_000 }), fc.constant(300_000));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(length, { maxLength: 150 }), { maxLength: 6 }), async (given) => {
      const batches = given.map((lengths, batch) => lengths.map((n, at) => `key${batch}-${at}\t${'x'.repeat(n)}`));
      expect(await writeSnapshot(path, oneByOne(batches), HEAD)).toBe(batches.flat().length);
      expect(await linesIn(path)).toEqual(batches.flat());
    }),
    { numRuns: 30 },
  );
});

it('a batch of lines is written in pieces, however large it is: not all of it is held as text and bytes', async () => {
  let [inTurn, most] = [0, 0];
  function* lines(): Generator<string> {
    for (let n = 0; n < 10_000; n++) {
      // Callbacks of the event loop run only once the writer waits for what it was given to be written.
      if (inTurn === 0) setImmediate(() => (inTurn = 0));
      const line = `key${n}\t${'x'.repeat(1000)}`;
      most = Math.max(most, (inTurn += line.length));
      yield line;
    }
  }
  expect(await writeSnapshot(path, oneByOne([lines()]), HEAD)).toBe(10_000);
  expect(most).toBeLessThan(500_000);
});

it('a line takes a byte a character in memory, though every mask has an ellipsis', () => {
  const state = {
    keyId: 'key0',
    secrets: [{ secretId: 's', hash: 'h', mask: 'kl_live_…abcd' }],
  } as unknown as KeyState;
  const line = lineOf('key0', { state, revision: 0, position: 1n, recordedAt: HEAD.recordedAt, begun: 1n });
  // V8 writes a text as it has it.
  expect(serialize(line).length).toBeLessThan(1.2 * line.length);
  expect(serialize(`${line}…`).length).toBeGreaterThan(2 * line.length);
});
