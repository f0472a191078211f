import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { open } from 'lmdb';
import { connect, disconnectAll, event, readBack } from '../contract/eventstore.client.js';
import { RealProcess, startEventStore, temporaryFolder } from '../support/index.js';

/** A data directory with events in it, whose store was stopped. */
let original: string;

beforeAll(async () => {
  const server = await startEventStore();
  const client = connect(server.url);
  for (let n = 0; n < 40; n++) await client.appendToStream('kept', event(n, { filler: 'x'.repeat(20_000) }));
  await disconnectAll();
  await server.stop();
  original = server.folder;
}, 60_000);

afterAll(disconnectAll);

function copyOfOriginal(): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'eventstore'));
  for (const name of ['data.mdb', 'format.json']) copyFileSync(storeFile(original, name), storeFile(folder, name));
  return folder;
}

function storeFile(folder: string, name: string): string {
  return join(folder, 'eventstore', name);
}

async function startOn(folder: string): Promise<{ exitCode: number | null; said: string }> {
  const attempt = new RealProcess({
    name: 'eventstore',
    module: 'dist/apps/eventstore/src/main.js',
    env: { KEYLEDGER_DATA_DIR: folder, KEYLEDGER_EVENTSTORE_PORT: '0' },
  });
  return { exitCode: await attempt.runToEnd(), said: attempt.logs() };
}

async function foreignDatabase(folder: string): Promise<void> {
  const database = open({ path: join(folder, 'eventstore'), noSubdir: false });
  await database.put('some', 'thing');
  await database.close();
}

describe('a start on a folder that is not the store’s, or not whole, is refused with the reason and changes nothing', () => {
  const cases: [string, (folder: string) => void | Promise<void>, RegExp][] = [
    [
      'with foreign files',
      (folder) => writeFileSync(storeFile(folder, 'photo.jpg'), 'x'),
      /not an event store's \(photo\.jpg\)/,
    ],
    [
      'whose marker is another program’s',
      (folder) => writeFileSync(storeFile(folder, 'format.json'), '{"format":"other"}'),
      /does not hold a Keyledger event store/,
    ],
    [
      'whose marker cannot be read',
      (folder) => writeFileSync(storeFile(folder, 'format.json'), '{'),
      /format\.json cannot be read/,
    ],
    [
      'of a later version',
      (folder) => {
        const marker = JSON.parse(readFileSync(storeFile(folder, 'format.json'), 'utf8'));
        writeFileSync(storeFile(folder, 'format.json'), JSON.stringify({ ...marker, version: 2 }));
      },
      /format version 2; this program reads version 1/,
    ],
    ['that lost its data', (folder) => rmSync(storeFile(folder, 'data.mdb')), /lost its data\.mdb/],
    ['whose data is empty', (folder) => truncateSync(storeFile(folder, 'data.mdb'), 0), /lost its data\.mdb/],
    [
      'whose data is garbage',
      (folder) => writeFileSync(storeFile(folder, 'data.mdb'), Buffer.alloc(65_536, 'x')),
      /not a database/,
    ],
    [
      'whose data was cut',
      // Not at its end: the room that is made there ahead of the events is no loss.
      (folder) => truncateSync(storeFile(folder, 'data.mdb'), 16_384),
      /bytes instead of/,
    ],
    [
      'with another program’s database',
      async (folder) => {
        rmSync(join(folder, 'eventstore'), { recursive: true });
        await foreignDatabase(folder);
        rmSync(storeFile(folder, 'lock.mdb'));
      },
      /another program's database/,
    ],
    [
      'with a backup that was never finished',
      (folder) => {
        rmSync(join(folder, 'eventstore'), { recursive: true });
        mkdirSync(join(folder, 'eventstore.unfinished'));
      },
      /never finished/,
    ],
  ];

  it.each(cases)('%s', async (_name, damage, reason) => {
    const folder = copyOfOriginal();
    await damage(folder);
    const path = join(folder, 'eventstore');
    const contents = (): [string, Buffer][] =>
      existsSync(path)
        ? readdirSync(path)
            .filter((name) => name !== 'lock.mdb')
            .map((name) => [name, readFileSync(join(path, name))])
        : [];
    const before = contents();
    const { exitCode, said } = await startOn(folder);
    expect(said).toMatch(reason);
    expect(exitCode).toBe(78);
    const after = contents();
    expect(after.map(([name]) => name)).toEqual(before.map(([name]) => name));
    for (const [index, [name, bytes]] of after.entries())
      expect([name, bytes.equals(before[index]![1])]).toEqual([name, true]);
  });
});

describe('a folder', () => {
  it('is served by one process at a time, also right after that process was killed', async () => {
    const folder = copyOfOriginal();
    const first = await startEventStore({ folder });
    const second = await startOn(folder);
    expect(second.exitCode).toBe(75);
    expect(second.said).toContain(`served by another process (pid ${first.pid})`);
    await first.kill();
    const third = await startEventStore({ folder });
    expect(await readBack(connect(third.url), 'kept')).toHaveLength(40);
    await disconnectAll();
    await third.stop();
  });

  it('goes to one of several processes that start at once', async () => {
    const folder = temporaryFolder();
    const attempts = Array.from(
      { length: 4 },
      () =>
        new RealProcess({
          name: 'eventstore',
          module: 'dist/apps/eventstore/src/main.js',
          env: { KEYLEDGER_DATA_DIR: folder, KEYLEDGER_EVENTSTORE_PORT: '0' },
          ready: (self) => self.message('listening') !== undefined,
        }),
    );
    const outcomes = await Promise.allSettled(attempts.map((attempt) => attempt.start()));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const refused = attempts.filter((attempt) => !attempt.isRunning);
    for (const attempt of refused) expect(attempt.logs()).toContain('served by another process');
    for (const attempt of attempts) await attempt.stop();
  });

  it('may lie at a path that is longer than a socket’s address', async () => {
    const folder = join(temporaryFolder(), 'a'.repeat(80), 'b'.repeat(80));
    const first = await startEventStore({ folder });
    expect((await startOn(folder)).exitCode).toBe(75);
    await first.stop();
    expect(first.exitCode).toBe(0);
  });
});
