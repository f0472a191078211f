import { describe, expect, it } from '@jest/globals';
import { mintKey, type KeyspaceState } from '@keyledger/domain';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { scannerRules } from '../../apps/api/src/keyspaces/scanner-rules.js';
import { ROOT } from '../support/process.js';
import { temporaryFolder } from '../support/index.js';

const keyspace: KeyspaceState = {
  keyspaceId: 'acme',
  name: "Acme \"payments\"\n''' # no: [injection]",
  prefix: 'acme',
  environments: ['live', 'test'],
  policy: {} as KeyspaceState['policy'],
  createdAt: '2026-01-01T00:00:00.000Z',
};

const secret = mintKey('acme', 'live', randomBytes).key;
const others = {
  publishable: mintKey('acmepk', 'live', randomBytes).key,
  'another keyspace': mintKey('other', 'live', randomBytes).key,
  'another environment': mintKey('acme', 'dev', randomBytes).key,
  'too long': `${secret}x`,
  'its mask': `${secret.slice(0, -49)}…${secret.slice(-4)}`,
};

describe('the rules for secretlint', () => {
  const require = createRequire(import.meta.url);
  const secretlint = join(dirname(require.resolve('secretlint/package.json')), 'bin', 'secretlint.js');

  it('run in secretlint itself find our secret keys, show none of them, and find nothing else', async () => {
    const folder = temporaryFolder();
    const config = join(folder, 'secretlintrc.json');
    await writeFile(config, scannerRules(keyspace, 'secretlint').text);
    await writeFile(join(folder, 'leaky.env'), `ACME_KEY="${secret}"\n`);
    await writeFile(
      join(folder, 'clean.txt'),
      Object.entries(others)
        .map(([what, text]) => `${what}: "${text}"\n`)
        .join(''),
    );
    const run = (file: string) =>
      new Promise<{ code: number | string | undefined | null; output: string }>((resolve) => {
        const args = [secretlint, '--secretlintrc', config, '--maskSecrets', join(folder, file)];
        execFile(process.execPath, args, { cwd: ROOT, timeout: 60_000 }, (error, stdout, stderr) => {
          resolve({ code: error?.code ?? 0, output: stdout + stderr });
        });
      });
    const [leaky, clean] = await Promise.all([run('leaky.env'), run('clean.txt')]);
    expect(leaky).toMatchObject({ code: 1, output: expect.stringContaining('leaky.env') });
    expect(leaky.output).not.toContain(secret);
    expect(clean).toMatchObject({ code: 0 });
  });
});

describe.each(['gitleaks', 'trufflehog'] as const)('the rules for %s', (format) => {
  const { text } = scannerRules(keyspace, format);
  const source = /regex = '''(.*)'''|key: '(.*)'/.exec(text)?.slice(1).find(Boolean) ?? '';
  const finds = (where: string): boolean => new RegExp(source).test(where);

  it('have an expression that matches our secret keys and nothing else', () => {
    expect(finds(`key: "${secret}"`)).toBe(true);
    for (const other of Object.values(others)) expect(finds(`key: "${other}"`)).toBe(false);
  });

  it('name words that stand in every key, since a scanner looks for those first', () => {
    const [, list = ''] = /keywords(?: =|:) (\[.*\])/.exec(text) ?? [];
    expect((JSON.parse(list) as string[]).some((word) => secret.includes(word))).toBe(true);
  });

  it('stay whole whatever the keyspace is called', () => {
    expect(text).not.toMatch(/\n'''/);
    for (const line of text.split('\n')) expect(line).not.toMatch(/injection\].*\[/);
    const described = /description(?: =|:) (".*")$/m.exec(text)?.[1] ?? '';
    expect(JSON.parse(described)).toContain('Acme');
  });
});
