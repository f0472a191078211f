import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, describe, expect, it } from '@jest/globals';
import { NO_STREAM, START } from '@kurrent/kurrentdb-client';
import { connect, disconnectAll, event, Inbox, readBack, storeStatus } from '../contract/eventstore.client.js';
import { eventually, startEventStore, temporaryFolder } from '../support/index.js';

afterAll(disconnectAll);

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  it('answers every append, ends every subscription as unavailable, and keeps what it acknowledged', async () => {
    const server = await startEventStore();
    const client = connect(server.url);
    const inbox = new Inbox(client.subscribeToAll({ fromPosition: START }));
    await inbox.caughtUp();

    let answered = 0;
    const appends = Array.from({ length: 600 }, async (_, n) => {
      try {
        await client.appendToStream(`stop-${n}`, event(n), { streamState: NO_STREAM });
        return 'acknowledged';
      } catch (error) {
        return (error as { type?: string }).type ?? 'other';
      } finally {
        answered++;
      }
    });
    await eventually('some are answered', () => answered > 0);
    server.signal(signal);
    const outcomes = await Promise.all(appends);
    await server.ended();
    expect(server.exitCode).toBe(0);
    expect(new Set(outcomes.filter((outcome) => outcome !== 'acknowledged' && outcome !== 'unavailable'))).toEqual(
      new Set(),
    );
    await eventually('the subscription has ended', () => inbox.error !== undefined);
    expect(inbox.error).toMatchObject({ type: 'unavailable' });

    await server.start();
    const again = connect(server.url);
    for (const [n, outcome] of outcomes.entries()) {
      if (outcome === 'acknowledged') expect(await readBack(again, `stop-${n}`)).toMatchObject([{ n }]);
    }
    await disconnectAll();
    await server.stop();
  });
});

it('a client that takes nothing does not hold up the stop', async () => {
  const server = await startEventStore();
  const client = connect(server.url);
  for (let n = 0; n < 10; n++) {
    const events = Array.from({ length: 50 }, (_, index) => event(index, { filler: 'x'.repeat(10_000) }));
    await client.appendToStream(`big-${n}`, events);
  }
  const idle = client.subscribeToAll({ fromPosition: START });
  idle.on('error', () => undefined);
  await eventually('it is open', async () => (await storeStatus(server.port)).openReads === 1);
  await server.stop();
  expect(server.exitCode).toBe(0);
  await disconnectAll();
});

it('a store whose parent process goes away stops by itself', async () => {
  const child = fork('dist/apps/eventstore/src/main.js', {
    env: { ...process.env, KEYLEDGER_EVENTSTORE_PORT: '0', KEYLEDGER_DATA_DIR: temporaryFolder() },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  await once(child, 'message');
  child.disconnect();
  expect(await exited).toEqual([0, null]);
});
