import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { claimPort, eventually, startSystem, temporaryFolder, type System } from '../support/index.js';

let system: System;
let folder: string;
const listeners: ChildProcess[] = [];

beforeAll(async () => {
  folder = temporaryFolder();
  system = await startSystem({ KEYLEDGER_ALLOWED_TARGETS: '127.0.0.1', KEYLEDGER_NOTIFICATION_RETRIES: 'PT1S' });
});

afterAll(async () => {
  for (const listener of listeners) listener.kill('SIGKILL');
  await system.stop();
});

function start(...args: string[]) {
  const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...args], {
    env: { ...process.env, KEYLEDGER_URL: system.api.baseUrl, KEYLEDGER_KEY: system.adminKey },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  return { child, said };
}

async function keyledger(...args: string[]) {
  const { child, said } = start(...args);
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...said };
}

it('a person has the trail pushed and sees it arrive', async () => {
  const file = join(folder, 'siem.secret');
  const listener = start('channels', 'listen', '--port', '0', '--secret-file', file);
  listeners.push(listener.child);
  const url = await eventually('it listens', () => /http:\S+/.exec(listener.said.err)?.[0] ?? false);
  const terms = ['--type', 'webhook', '--system', '--format', 'cloudevents', '--target-url', url];
  const made = await keyledger('channels', 'create', ...terms, '--secret-file', file);
  expect(made).toMatchObject({ code: 0, out: expect.stringContaining('as cloudevents') });
  expect(await keyledger('keyspaces', 'create', 'pushed')).toMatchObject({ code: 0 });
  await eventually('it is shown', () => /keyledger\.KeyspaceCreated {2}keyspace-pushed/.test(listener.said.out));
});

it('a person registers a webhook, listens to it, tests it, rotates its secret, and replays what failed', async () => {
  const file = join(folder, 'hook.secret');
  const { port } = await claimPort();
  const url = `http://127.0.0.1:${port}/`;
  const made = await keyledger(
    ...['channels', 'create', '--type', 'webhook', '--system', '--target-url', url, '--secret-file', file, '--json'],
  );
  expect(made).toMatchObject({ code: 0, err: expect.stringContaining(file) });
  expect(made.out).not.toContain('whsec_');
  const secret = readFileSync(file, 'utf8').trim();
  expect(secret).toMatch(/^whsec_/);
  const { channelId } = JSON.parse(made.out);
  expect((await keyledger('channels', 'list')).out).toContain(channelId);

  const failed = await keyledger('channels', 'test', channelId);
  expect(failed).toMatchObject({ code: 1, out: expect.stringContaining('cannot be reached') });

  const listener = start('channels', 'listen', '--port', String(port), '--secret-file', file);
  listeners.push(listener.child);
  await eventually('it listens', () => listener.said.err.includes('listening on'));
  expect(await keyledger('channels', 'test', channelId)).toMatchObject({ code: 0 });
  await eventually('the test is shown', () => listener.said.out.includes('channel.test'));

  const dead = JSON.parse((await keyledger('notifications', 'list', '--json')).out).items[0];
  expect(await keyledger('notifications', 'replay', dead.notificationId)).toMatchObject({ code: 0 });
  await eventually('nothing is dead any more', async () => {
    return JSON.parse((await keyledger('notifications', 'list', '--json')).out).items.length === 0;
  });

  // The listener goes on with the old secret within the overlap, and refuses what it cannot verify after it.
  const rotate = ['channels', 'rotate-secret', channelId, '--show-secret'];
  expect((await keyledger(...rotate)).out).toContain('whsec_');
  expect(await keyledger('channels', 'test', channelId)).toMatchObject({ code: 0 });
  await keyledger(...rotate, '--overlap', 'PT0S');
  expect(await keyledger('channels', 'test', channelId)).toMatchObject({
    code: 1,
    out: expect.stringContaining('answered 401'),
  });
  expect(listener.said.err).toContain('refused: ');

  expect(await keyledger('channels', 'update', channelId, '--disable', '--json')).toMatchObject({ code: 0 });
  expect((await keyledger('channels', 'show', channelId)).out).toContain('disabled');
  expect(await keyledger('channels', 'remove', channelId)).toMatchObject({ code: 0 });
  expect((await keyledger('channels', 'list')).out).not.toContain(channelId);
});

it('a command line that says too little is told what is missing', async () => {
  const create = ['channels', 'create', '--type', 'webhook', '--target-url', 'https://a.example/'];
  expect(await keyledger(...create, '--show-secret')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--system'),
  });
  expect(await keyledger(...create, '--system')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--secret-file'),
  });
  expect(await keyledger(...create, '--system', '--keyspace', 'a', '--show-secret')).toMatchObject({ code: 2 });
});
