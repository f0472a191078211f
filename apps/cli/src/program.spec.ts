import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { EXIT } from './exit.js';
import { runCommandLine } from './program.js';

const COMMANDS = [
  'up',
  'keyspaces create',
  'keyspaces list',
  'keyspaces show',
  'keyspaces update',
  'keyspaces archive',
  'keys issue',
  'keys import',
  'keys list',
  'keys show',
  'keys rotation',
  'keys update',
  'keys rotate',
  'keys suspend',
  'keys reinstate',
  'keys revoke',
  'keys revoke-many',
  'deliveries list',
  'deliveries pickup',
  'deliveries open',
  'receivers keygen',
  'verify',
  'privacy show',
  'privacy erase',
  'scan',
  'system status',
  'system rebuild',
  'system backup',
];
const ISSUE = 'keys issue --keyspace acme --environment live --name billing --owner app-7'.split(' ');

const FSCK = 'audit fsck --store kurrentdb://127.0.0.1:1?tls=false --checkpoints'.split(' ');

let folder: string, server: Server, url: string;
let requests = 0;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keyledger-cli-'));
  server = createServer((_, response) => {
    requests++;
    response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(args: readonly string[], env: Record<string, string> = { KEYLEDGER_KEY: 'k' }, stdin = '') {
  let out = '';
  let err = '';
  const code = await runCommandLine(args, {
    env: { KEYLEDGER_URL: url, ...env },
    stdin: Readable.from(stdin === '' ? [] : [stdin]),
    stdout: { write: (text) => (out += text), put: async (text) => void (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

describe('the command line', () => {
  it.each(COMMANDS)('explains %s with an example', async (command) => {
    const { code, out } = await run([...command.split(' '), '--help']);
    expect(code).toBe(EXIT.ok);
    expect(out).toContain(`$ keyledger ${command}`);
    expect(out).toContain('--json');
  });

  it('says its version and its exit codes', async () => {
    expect((await run(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run(['--help'])).out).toContain('Exit codes:');
  });

  it.each([
    ['an unknown command', ['nonsense'], 'unknown command'],
    ['an unknown option', ['keys', 'list', '--nonsense'], '--nonsense'],
    ['a missing option', ['keys', 'issue', '--keyspace', 'acme'], 'required option'],
    ['a value out of its list', ['keys', 'list', '--state', 'dead'], 'Allowed choices'],
    ['a duration that is none', ['keys', 'rotate', 'k', '--grace', 'soon', '--show-secret'], 'PT24H'],
    ['a secret with nowhere to go', ISSUE, '--secret-file FILE or --show-secret'],
    ['a rotation with nowhere to go', ['keys', 'rotate', 'k'], '--secret-file FILE or --show-secret'],
    ['revoking everything without meaning it', ['keys', 'revoke-many', '--owner', 'o', '--reason', 'closed'], '--yes'],
    ['revoking nothing', ['keys', 'revoke-many', '--reason', 'closed'], 'Name either key ids'],
    ['changing nothing', ['keys', 'update', 'k'], 'Name what shall change'],
    ['a file that is not there', ['keys', 'import', '/nonexistent/keys', '--keyspace', 'acme'], 'cannot be read'],
    ['verifying nothing', ['verify'], 'Standard input is empty'],
    ['a header of two lines', ['keyspaces', 'create', 'acme', '--reason', 'a\nb'], 'one line'],
    ['a secret file without a name', [...ISSUE, '--secret-file', ''], 'names no file'],
    ['a secret file of too long a name', [...ISSUE, '--secret-file', 'x'.repeat(256)], 'ENAMETOOLONG'],
    ['a bundle that is not there', ['audit', 'verify', '/nonexistent/2026'], '/nonexistent/2026'],
    ['a bundle that is no folder', ['audit', 'verify', '/dev/null'], 'no folder "/dev/null"'],
    ['a store that is none', ['audit', 'fsck', '--store', 'bogus'], '--store: '],
    ['checkpoints that are no folder', [...FSCK, '/dev/null'], '--checkpoints: there is no folder "/dev/null"'],
    ['a folder without a checkpoint', [...FSCK, 'apps/cli'], 'there is no published checkpoint in "apps/cli"'],
    ['one file for two proofs', ['audit', 'receipt', 'e', '--out', 'a', '--leaf', './a'], 'the same file'],
  ])('refuses %s as wrong usage and sends nothing', async (_, args, message) => {
    const before = requests;
    const { code, out, err } = await run(args);
    expect(code).toBe(EXIT.usage);
    expect(err).toContain(message);
    expect(out).toBe('');
    expect(requests).toBe(before);
  });

  it.each([
    ['audit report inventory --out', 'audit report inventory --out'],
    ['audit checkpoint --out', 'audit checkpoint --out'],
    ['audit receipt --out', 'audit receipt --index 1 --out'],
    ['audit receipt --leaf', 'audit receipt --index 1 --leaf'],
    ['audit export --out', 'audit export --out'],
  ])('looks at the place of %s before it sends anything', async (_, command) => {
    const before = requests;
    writeFileSync(join(folder, 'file'), '');
    for (const place of ['', '/proc/keyledger/x', folder, join(folder, 'file', 'x'), join(folder, 'x'.repeat(256))]) {
      const { code, err } = await run([...command.split(' '), place]);
      expect({ code, err }).toEqual({ code: EXIT.usage, err: expect.stringMatching(/^keyledger: .*\n$/) });
    }
    expect(requests).toBe(before);
    rmSync(join(folder, 'file'));
    expect((await run([...command.split(' '), join(folder, 'new')])).code).toBe(EXIT.refused);
    expect(requests).toBeGreaterThan(before);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses to start without a management key', async () => {
    const before = requests;
    const { code, err } = await run(['keys', 'list'], {});
    expect(code).toBe(EXIT.usage);
    expect(err).toContain('KEYLEDGER_KEY');
    expect(requests).toBe(before);
  });

  it('refuses a secret file that exists before it asks for a secret, and leaves no draft behind', async () => {
    const before = requests;
    const path = join(folder, 'taken.key');
    writeFileSync(path, 'x');
    expect((await run([...ISSUE, '--secret-file', path])).code).toBe(EXIT.usage);
    expect(requests).toBe(before);
    expect(readdirSync(folder)).toEqual(['taken.key']);
  });

  it('leaves no secret file behind when the server refuses', async () => {
    const { code } = await run([...ISSUE, '--secret-file', join(folder, 'new.key')]);
    expect(code).toBe(EXIT.refused);
    expect(readdirSync(folder)).toEqual(['taken.key']);
  });

  it('names the broken line of a file to import', async () => {
    const { code, err } = await run(['keys', 'import', '-', '--keyspace', 'acme'], undefined, '{"a":1}\nnonsense\n');
    expect(code).toBe(EXIT.usage);
    expect(err).toContain('line 2');
  });

  it.each([
    ['that does it once', ['keyspaces', 'update', 'acme', '--name', 'A']],
    ['that has an Idempotency-Key', ['keys', 'revoke', 'k', '--reason', 'leaked']],
  ])('says that nobody answers, with exit code 3, and that nothing was done, of a command %s', async (_, args) => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    const nobody = `http://127.0.0.1:${port}`;
    const { code, err } = await run(['--url', nobody, ...args]);
    expect(code).toBe(EXIT.unreachable);
    expect(err).toMatch(/^keyledger: \S+ refuses connections: is the system up\?.*\n$/);
  });

  it('names the Idempotency-Key of a change that may be done, where the command takes one', async () => {
    const cut = createServer((request) => request.socket.destroy());
    await new Promise<void>((resolve) => cut.listen(0, '127.0.0.1', resolve));
    const at = ['--url', `http://127.0.0.1:${(cut.address() as AddressInfo).port}`];
    const archived = await run([...at, 'keyspaces', 'archive', 'acme', '--idempotency-key', 'one-intent']);
    expect(archived.err).toContain(
      'It may have been done all the same. The same command with --idempotency-key one-int',
    );
    const updated = await run([...at, 'keyspaces', 'update', 'acme', '--name', 'A']);
    expect(updated.err).toMatch(/It may have been done all the same\.\n$/);
    expect([archived.code, updated.code]).toEqual([EXIT.unreachable, EXIT.unreachable]);
    cut.close();
  });

  it('says no more than the server where that says that nothing was changed, but how to repeat it', async () => {
    const away = createServer((_, response) => {
      response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '0' });
      response.end(JSON.stringify({ title: 'away', status: 503, code: 'UNAVAILABLE', detail: 'nothing was changed.' }));
    });
    await new Promise<void>((resolve) => away.listen(0, '127.0.0.1', resolve));
    const at = ['--url', `http://127.0.0.1:${(away.address() as AddressInfo).port}`];
    const { code, err } = await run([...at, 'keyspaces', 'archive', 'acme', '--idempotency-key', 'one-intent']);
    expect(code).toBe(EXIT.unreachable);
    expect(err).toContain('nothing was changed.\nThe same command with --idempotency-key one-intent');
    expect(err).not.toContain('may have been done');
    away.close();
  });

  it('gives examples that can be typed as they stand, with a pipe too', async () => {
    const { out } = await run(['scan', '--help']);
    expect(out).toContain('$ git diff --cached | keyledger scan --stdin\n');
  });
});
