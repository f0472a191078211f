import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../support/index.js';
import { CommandLine, ISSUE, WHOLE_KEY } from './cli.harness.js';

let line: CommandLine;
beforeAll(async () => {
  line = await CommandLine.start();
}, 120_000);
afterAll(() => line?.stop());

const keyledger = (...args: string[]) => line.run(args);

describe('a secret', () => {
  it('goes to its file, for its owner only, and nowhere else', async () => {
    const { file, outcome } = await line.issue('only-here');
    expect(outcome.code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toMatch(WHOLE_KEY);
    expect(outcome.out + outcome.err).not.toMatch(WHOLE_KEY);
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(0);
  });

  it('stands on standard output when that is asked for', async () => {
    const { code, out } = await keyledger(...ISSUE, '--name', 'shown', '--show-secret', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).key).toMatch(WHOLE_KEY);
    const text = await keyledger(...ISSUE, '--name', 'shown too', '--show-secret');
    expect(text.out).toMatch(WHOLE_KEY);
  });

  it('comes again under the same Idempotency-Key, and makes no second key', async () => {
    const first = await line.issue('repeated', '--idempotency-key', 'one-intent');
    const file = line.path('again.key');
    const again = await keyledger(
      ...ISSUE,
      '--name',
      'repeated',
      '--secret-file',
      file,
      '--json',
      '--idempotency-key',
      'one-intent',
    );
    expect(JSON.parse(again.out).keyId).toBe(first.keyId);
    expect(readFileSync(file, 'utf8')).toBe(readFileSync(first.file, 'utf8'));
  });

  it('of a refused request leaves no file behind', async () => {
    const { file, outcome } = await line.issue('too-long', '--lifetime', 'P3000D');
    expect(outcome.code).toBe(1);
    expect(JSON.parse(outcome.err)).toMatchObject({ code: 'POLICY', errors: [{ field: 'lifetime' }] });
    expect(existsSync(file)).toBe(false);
  });
});

describe('a secret that cannot be given', () => {
  const NAMED = /^The secret of key (\S+), which is made, .* --idempotency-key (\S+) gives it again\.$/m;

  it.each([
    ['a full disk', async () => openSync('/dev/full', 'w')],
    ['a pipe that nobody reads', async () => 'pipe' as const],
  ])('to %s is not lost: its key is named, and how to have it all the same', async (_, opened) => {
    const stdout = await opened();
    const command = [...ISSUE, '--name', 'not lost'];
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...command, '--show-secret'], {
      env: line.env,
      stdio: ['ignore', stdout, 'pipe'],
    });
    child.stdout?.destroy();
    let err = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => (err += text));
    const [code] = (await once(child, 'close')) as [number];
    if (typeof stdout === 'number') closeSync(stdout);
    expect(code).toBe(1);
    const [, keyId = '', idempotencyKey = ''] = NAMED.exec(err) ?? [];
    const again = await keyledger(...command, '--show-secret', '--json', '--idempotency-key', idempotencyKey);
    expect(JSON.parse(again.out)).toMatchObject({ keyId, key: expect.stringMatching(WHOLE_KEY) });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('because %s came first is told by its Idempotency-Key, and leaves no file', async (signal, expected) => {
    const into = line.path(signal);
    mkdirSync(into);
    const asked: string[] = [];
    const silent = createServer((request) => {
      asked.push(String(request.headers['idempotency-key']));
      child.kill(signal);
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const command = [...ISSUE, '--name', 'interrupted', '--secret-file', join(into, 'c.key')];
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...command], {
      env: { ...process.env, KEYLEDGER_URL: url, KEYLEDGER_KEY: line.system.adminKey },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    const [code] = (await once(child, 'close')) as [number];
    silent.close();
    expect(code).toBe(expected);
    expect(asked).toHaveLength(1);
    expect(err).toContain(`The same command with --idempotency-key ${asked[0]} does not do it twice.`);
    expect(readdirSync(into)).toEqual([]);
  });
});

describe('a new secret of a key that was found somewhere', () => {
  it('waits for its owner, who picks it up with his private key, once, and into his file only', async () => {
    const [jwk, publicJwk, file] = [
      line.path('receiver.jwk'),
      line.path('receiver.public.jwk'),
      line.path('picked-up.key'),
    ];
    const made = await keyledger('receivers', 'keygen', '--private-key', jwk);
    expect(made.code).toBe(0);
    writeFileSync(publicJwk, made.out);
    const receiver = ['--type', 'receiver', '--owner', 'app-8', '--public-key', publicJwk, '--via', 'pickup'];
    expect(await keyledger('channels', 'create', ...receiver)).toMatchObject({ code: 0 });
    const rule = ['--leak-response', 'rotate:PT5M'];
    expect(await keyledger('keyspaces', 'create', 'turning', '--name', 'T', ...rule)).toMatchObject({ code: 0 });
    const old = line.path('turning.key');
    const issued = await keyledger(
      ...['keys', 'issue', '--keyspace', 'turning', '--environment', 'live', '--scopes', 'a:b', '--owner', 'app-8'],
      ...['--name', 'turning', '--secret-file', old, '--json'],
    );
    const { keyId } = JSON.parse(issued.out);
    expect((await keyledger('leaks', 'report', '--secret-file', old)).code).toBe(0);
    const waiting = await eventually('it waits', async () => {
      const { items } = JSON.parse((await keyledger('deliveries', 'list', keyId, '--json')).out);
      return items[0] ?? false;
    });
    expect(waiting).toMatchObject({ state: 'open', via: 'pickup' });
    const pickup = ['deliveries', 'pickup', waiting.deliveryId, '--private-key', jwk];
    const nowhere = await keyledger(...pickup);
    expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining('--secret-file') });
    writeFileSync(line.path('no.jwk'), made.out);
    const without = await keyledger(...pickup.slice(0, 4), line.path('no.jwk'), '--secret-file', file);
    expect(without).toMatchObject({ code: 2, err: expect.stringContaining('"d"') });
    expect(existsSync(file)).toBe(false);

    const picked = await keyledger(...pickup, '--secret-file', file);
    expect(picked).toMatchObject({ code: 0, out: expect.stringContaining(waiting.secretId) });
    expect(picked.out + picked.err).not.toMatch(WHOLE_KEY);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(0);
    const again = await keyledger(...pickup, '--secret-file', line.path('second.key'));
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('GONE') });
    expect(existsSync(line.path('second.key'))).toBe(false);
  });

  it('that was picked up with the wrong private key is not lost: the right one opens it later', async () => {
    const wrong = line.path('wrong.jwk');
    await keyledger('receivers', 'keygen', '--private-key', wrong);
    const old = line.path('turning.2.key');
    const issued = await keyledger(
      ...['keys', 'issue', '--keyspace', 'turning', '--environment', 'live', '--scopes', 'a:b', '--owner', 'app-8'],
      ...['--name', 'turning', '--secret-file', old, '--json'],
    );
    const { keyId } = JSON.parse(issued.out);
    expect((await keyledger('leaks', 'report', '--secret-file', old)).code).toBe(0);
    const { deliveryId } = await eventually('it waits', async () => {
      const { items } = JSON.parse((await keyledger('deliveries', 'list', keyId, '--json')).out);
      return items[0] ?? false;
    });
    const file = line.path('opened.key');
    const pickup = ['deliveries', 'pickup', deliveryId, '--secret-file', file];
    // Whoever found the old secret holds it too.
    const asFinder = await keyledger(...pickup, '--key-file', old, '--private-key', line.path('receiver.jwk'));
    expect(asFinder).toMatchObject({ code: 1, err: expect.stringContaining('NOT_ALLOWED') });
    const failed = await keyledger(...pickup, '--private-key', wrong);
    expect(failed).toMatchObject({ code: 1, out: '', err: expect.stringContaining('keyledger deliveries open') });
    const [jwe] = /^eyJ\S+$/m.exec(failed.err) ?? [''];
    writeFileSync(line.path('delivery.jwe'), `${jwe}\n`);
    const open = ['deliveries', 'open', line.path('delivery.jwe'), '--secret-file', file];
    expect(await keyledger(...open, '--private-key', wrong)).toMatchObject({ code: 1 });
    expect(existsSync(file)).toBe(false);
    const opened = await keyledger(...open, '--private-key', line.path('receiver.jwk'));
    expect(opened).toMatchObject({ code: 0, out: expect.stringContaining(keyId) });
    expect(opened.out + opened.err).not.toMatch(WHOLE_KEY);
    expect((await keyledger('verify', '--secret-file', file)).code).toBe(0);
  });
});
