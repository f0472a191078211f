import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { maskOf, mintKey } from '@keyledger/domain';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommandLine } from '../program.js';

const mint = (prefix = 'acme') => mintKey(prefix, 'live', (count) => randomBytes(count)).key;

interface Run {
  code: number;
  out: string;
  err: string;
}

async function scan(args: readonly string[], input: readonly Buffer[] = []): Promise<Run> {
  const run: Run = { code: -1, out: '', err: '' };
  const sink = (name: 'out' | 'err') => {
    const write = (text: string): void => void (run[name] += text);
    return { write, put: async (text: string) => write(text) };
  };
  async function* stdin() {
    yield* input;
  }
  const terminal = { env: {}, stdin: stdin(), stdout: sink('out'), stderr: sink('err') };
  run.code = await runCommandLine(['scan', ...args], terminal);
  return run;
}

describe('keyledger scan', () => {
  let folder: string;
  let repository: string;
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
      encoding: 'utf8',
    }).trim();

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyledger-scan-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(() => {
    repository = mkdtempSync(join(folder, 'case-'));
  });

  it('tells file, line, column and mask of a key, never the key, and ends with the code for findings', async () => {
    const key = mint();
    const file = join(repository, 'settings.py');
    writeFileSync(file, `# settings\nKEY = "${key}"\n`);
    const { code, out, err } = await scan([repository]);
    expect(code).toBe(5);
    expect(out).toBe(`${file}:2:8: ${maskOf(key)} (keyledger-key)\n`);
    expect(out + err).not.toContain(key);
    writeFileSync(file, 'KEY = os.environ["KEY"]\n');
    expect((await scan([repository])).code).toBe(0);
  });

  it('passes over node_modules, .git, links, binary files and excluded names', async () => {
    for (const name of ['node_modules', '.git', 'fixtures', 'src']) mkdirSync(join(repository, name));
    for (const name of ['node_modules/a.js', '.git/config', 'fixtures/a.txt']) {
      writeFileSync(join(repository, name), mint());
    }
    writeFileSync(join(repository, 'image.bin'), Buffer.concat([Buffer.alloc(4), Buffer.from(mint())]));
    symlinkSync(join(repository, 'image.bin'), join(repository, 'link'));
    expect(await scan([repository, '--exclude', 'fixtures'])).toMatchObject({ code: 0, out: '' });
    expect((await scan([repository, '--exclude', 'fixtures', '--binary'])).code).toBe(5);
  });

  it('leaves out what git ignores if it is asked to, and scans it else', async () => {
    git('init', '-q');
    writeFileSync(join(repository, '.gitignore'), '.env\n');
    writeFileSync(join(repository, '.env'), mint());
    expect((await scan([repository])).code).toBe(5);
    expect((await scan([repository, '--skip-ignored'])).code).toBe(0);
    writeFileSync(join(repository, 'new file.txt'), mint());
    expect((await scan([repository, '--skip-ignored'])).out).toContain('new file.txt:1:1: ');
  });

  it('scans standard input, and a file that cannot be read is an error of its own', async () => {
    const key = Buffer.from(`x ${mint()} y`);
    expect((await scan(['--stdin'], [key.subarray(0, 30), key.subarray(30)])).out).toMatch(/^\(standard input\):1:3: /);
    expect(await scan([join(repository, 'nothing')])).toMatchObject({
      code: 2,
      err: expect.stringContaining('nothing'),
    });
    expect((await scan(['--stdin', repository])).code).toBe(2);
    expect((await scan([repository, '--pattern', 'x=('])).code).toBe(2);
  });

  it('finds keys in the whole history: deleted, on another branch, in a stash and in messages, each with its commit', async () => {
    const [deleted, branched, stashed, said] = [mint(), mint(), mint(), mint()];
    const commit = (text: string, message: string) => {
      writeFileSync(join(repository, 'a b.txt'), text);
      git('add', '-A');
      git('commit', '-q', '-m', message);
      return git('rev-parse', 'HEAD');
    };
    git('init', '-q', '-b', 'main');
    const first = commit(`one\n${deleted}\n`, 'first');
    const second = commit('one\n', `second\n\n${said}`);
    git('checkout', '-q', '-b', 'side');
    const third = commit(`${branched}\n`, 'third');
    git('checkout', '-q', 'main');
    writeFileSync(join(repository, 'a b.txt'), stashed);
    git('stash', '-q');

    expect((await scan([repository])).code).toBe(0);
    const { code, out } = await scan([repository, '--git', '--format', 'json']);
    expect(code).toBe(5);
    const { findings } = JSON.parse(out);
    const brief = findings.map(({ commit: id, path, mask }: Record<string, string>) => [id, path, mask]);
    expect(brief).toEqual(
      expect.arrayContaining([
        [first, 'a b.txt', maskOf(deleted)],
        [second, '(message of the commit)', maskOf(said)],
        [third, 'a b.txt', maskOf(branched)],
        [git('rev-parse', 'stash'), 'a b.txt', maskOf(stashed)],
      ]),
    );
    expect(findings).toHaveLength(4);
    const range = JSON.parse((await scan([repository, '--git=main..side', '--json'])).out);
    expect(range.findings).toMatchObject([{ commit: third, line: 1, column: 1 }]);
    expect(await scan([repository, '--git=nowhere'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('nowhere'),
    });
  });

  it('writes SARIF 2.1.0 that names rules, places and masks, and no key', async () => {
    const key = mint();
    writeFileSync(join(repository, 'ä #1.txt'), `${key} ghp_${'a'.repeat(36)}`);
    const { out } = await scan([repository, '--format', 'sarif', '--pattern', 'github=ghp_[0-9A-Za-z]{36}']);
    expect(out).not.toContain(key);
    const { version, runs } = JSON.parse(out);
    expect(version).toBe('2.1.0');
    expect(runs[0].tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual(['keyledger-key', 'github']);
    expect(runs[0].results).toMatchObject([
      { ruleId: 'keyledger-key', locations: [{ physicalLocation: { region: { startLine: 1, startColumn: 1 } } }] },
      { ruleId: 'github' },
    ]);
    expect(decodeURI(runs[0].results[0].locations[0].physicalLocation.artifactLocation.uri)).toContain('ä %231.txt');
  });
});
