import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import { type AppendResult, type AppendStreamState, NO_STREAM } from '@kurrent/kurrentdb-client';
import { backUp, collect, connect, disconnectAll, event, refusalOf } from '../contract/eventstore.client.js';
import { eventually, startEventStore, temporaryFolder } from '../support/index.js';

afterAll(disconnectAll);

it('a backup taken while sixteen writers write is a store of its own: all up to its position, and nothing torn', async () => {
  const server = await startEventStore();
  const client = connect(server.url);
  for (let n = 0; n < 40; n++) {
    const events = Array.from({ length: 40 }, (_, index) => event(index, { filler: 'x'.repeat(5000) }));
    await client.appendToStream(`before-${n}`, events, { streamState: NO_STREAM });
  }
  let writing = true;
  let acknowledged = 0;
  const writers = Array.from({ length: 16 }, async (_, index) => {
    let streamState: AppendStreamState = NO_STREAM;
    for (let n = 0; writing; n++) {
      // Pairs, so that a torn copy would show a half.
      const result: AppendResult = await client.appendToStream(`during-${index}`, [event(n), event(n)], {
        streamState,
      });
      streamState = result.nextExpectedRevision;
      acknowledged++;
    }
  });
  await eventually('the writers are busy', () => acknowledged > 100);
  const target = join(temporaryFolder(), 'nightly');
  const [report, second] = await Promise.all([
    backUp(server.port, target),
    refusalOf(backUp(server.port, `${target}-2`)),
  ]);
  const atBackup = acknowledged;
  await eventually('they go on writing', () => acknowledged > atBackup + 100);
  writing = false;
  await Promise.all(writers);
  expect(second['message']).toContain('already running');
  expect(existsSync(`${target}-2`)).toBe(false);
  expect((await refusalOf(backUp(server.port, target)))['message']).toContain('not empty');
  expect(readdirSync(join(target, 'eventstore')).sort()).toEqual(['data.mdb', 'format.json']);

  const all = await collect(client.readAll());
  const restored = await startEventStore({ folder: target });
  const copy = connect(restored.url);
  const copied = await collect(copy.readAll());
  expect(report.position).toBeGreaterThan(1600);
  expect(copied).toHaveLength(report.position);
  expect(copied).toEqual(all.slice(0, report.position));
  expect(copied.filter(({ stream }) => stream.startsWith('during-')).length % 2).toBe(0);

  // It lives on by itself, with the idempotency of what it holds.
  const last = copied.filter(({ stream }) => stream === 'before-39').at(-1)!;
  const again = await copy.appendToStream('before-39', event(last.n, { id: last.id }), { streamState: 38n });
  expect(Number(again.position?.commit)).toBe(last.position);
  await copy.appendToStream('after', event(0), { streamState: NO_STREAM });
  await disconnectAll();
  await Promise.all([server.stop(), restored.stop()]);
}, 120_000);
