import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EMBEDDED_STORE } from '@keyledger/contracts';
import type { KurrentDBClient } from '@kurrent/kurrentdb-client';
import { ADMIN_BACKUP_PATH, ADMIN_STATUS_PATH } from '../../apps/eventstore/src/admin-names.js';
import { type EventStoreServer, RealProcess, startEventStore, temporaryFolder } from '../support/index.js';
import {
  backUp,
  callAdmin,
  collect,
  connect,
  disconnectAll,
  event,
  readBack,
  refusalOf,
  storeStatus,
  streamName,
} from './eventstore.client.js';

let server: EventStoreServer;
let client: KurrentDBClient;

beforeAll(async () => {
  server = await startEventStore();
  client = connect(server.url);
}, 60_000);

afterAll(async () => {
  await disconnectAll();
  await server.stop();
});

describe('the node', () => {
  it('is found by gossip, for both of the client’s transports', async () => {
    const discovering = connect(server.url.replace('kurrentdb://', 'kurrentdb+discover://'));
    const stream = streamName();
    await discovering.appendToStream(stream, event(7));
    expect(await readBack(discovering, stream)).toMatchObject([{ n: 7 }]);
    expect(await collect(discovering.readAll({ maxCount: 1 }))).toHaveLength(1);
  });

  it('claims only what it has: the rest is UNIMPLEMENTED or unsupported, and the connection survives', async () => {
    const refusal = await refusalOf(client.createProjection('p', 'fromAll()'));
    expect(refusal).toMatchObject({ code: 12 });
    const unsupported = await refusalOf(client.multiStreamAppend([]));
    expect(unsupported).toMatchObject({ type: 'unsupported' });
    expect(await refusalOf(callAdmin(server.port, '/event_store.client.users.Users/Create', {}))).toMatchObject({
      code: 12,
    });
    await client.appendToStream(streamName(), event(0));
  });

  it('refuses bytes that are no message as an invalid argument, and goes on', async () => {
    const methods = ['Read', 'Append', 'BatchAppend', 'Delete', 'Tombstone'];
    for (const method of methods) {
      const path = `/event_store.client.streams.Streams/${method}`;
      expect(await refusalOf(callAdmin(server.port, path, { no: 'message' }))).toMatchObject({ code: 3 });
    }
    expect((await storeStatus(server.port)).pid).toBe(server.pid);
  });

  it('tells its state, and has the names that the other apps call it by', async () => {
    expect([ADMIN_STATUS_PATH, ADMIN_BACKUP_PATH]).toEqual([EMBEDDED_STORE.statusPath, EMBEDDED_STORE.backupPath]);
    const before = await storeStatus(server.port);
    await client.appendToStream(streamName(), [event(0), event(1)]);
    const after = await storeStatus(server.port);
    expect(after).toMatchObject({
      storeId: before.storeId,
      pid: server.pid,
      position: before.position + 2,
      failedCommits: 0,
    });
    expect(after.commits).toBe(before.commits + 1);
    const marker = JSON.parse(readFileSync(join(server.folder, 'eventstore', 'format.json'), 'utf8'));
    expect(marker).toEqual({ format: 'keyledger-eventstore', version: 1, storeId: after.storeId });
  });

  it.each([
    ['a relative path', 'backups/today', /absolute/],
    ['its own folder', () => join(server.folder, 'eventstore', 'copy'), /within the store/],
    ['a folder that holds something', () => server.folder, /not empty/],
    ['a file', process.execPath, /is no folder/],
    ['a place below a file', () => join(process.execPath, 'copy'), /not a directory/],
    ['a place that takes no folder', '/proc/keyledger/backup', /did not take the backup/],
    ['nothing', '', /send \{"folder"/],
  ])('refuses a backup to %s', async (_name, folder, reason) => {
    const refusal = await refusalOf(backUp(server.port, typeof folder === 'string' ? folder : folder()));
    expect(refusal['message']).toMatch(reason);
  });

  it('says in one line on standard output where it listens', () => {
    const lines = server.logs().trim().split('\n');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      msg: 'listening',
      port: server.port,
      host: '127.0.0.1',
    });
    expect(server.message('listening')).toEqual({ type: 'listening', port: server.port });
  });
});

describe('a start', () => {
  it.each([
    ['KEYLEDGER_EVENTSTORE_PORT', '70000', /0 \(any free one\) to 65535/],
    ['KEYLEDGER_EVENTSTORE_PORT', '74l0', /74l0/],
  ])('with %s=%s ends with code 78 and the variable’s name', async (name, value, message) => {
    const refused = new RealProcess({
      name: 'eventstore',
      module: 'dist/apps/eventstore/src/main.js',
      env: { KEYLEDGER_DATA_DIR: temporaryFolder(), KEYLEDGER_EVENTSTORE_PORT: '0', [name]: value },
    });
    expect(await refused.runToEnd()).toBe(78);
    expect(refused.logs()).toContain(name);
    expect(refused.logs()).toMatch(message);
  });

  it('on a port that is taken ends with code 75 and leaves its folder free', async () => {
    const folder = temporaryFolder();
    const refused = new RealProcess({
      name: 'eventstore',
      module: 'dist/apps/eventstore/src/main.js',
      env: { KEYLEDGER_DATA_DIR: folder, KEYLEDGER_EVENTSTORE_PORT: String(server.port) },
    });
    expect(await refused.runToEnd()).toBe(75);
    expect(refused.logs()).toContain(`127.0.0.1:${server.port}`);
    const next = await startEventStore({ folder });
    await next.stop();
    expect(next.exitCode).toBe(0);
  });
});
