import { beforeEach, describe, expect, it } from '@jest/globals';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RealProcess, temporaryFolder } from '../support/index.js';
import { ROOT } from '../support/process.js';

// A repository of two source files beside our real scripts and settings: what matters here is when what is done.
let folder: string;

const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
};

beforeEach(() => {
  folder = temporaryFolder();
  const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'nest-cli.json'];
  for (const path of ['scripts', ...settings]) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  write('libs/contracts/src/index.ts', "export const word = 'one';\n");
  write('apps/cli/src/main.ts', "import { word } from '@keyledger/contracts';\nprocess.stdout.write(word);\n");
});

const prepare = (env: NodeJS.ProcessEnv = {}): RealProcess =>
  new RealProcess({ name: 'prepare', program: process.execPath, args: [join(folder, 'scripts/prepare.mjs')], env });

/** What it gave: its exit code, and how many builds it needed. */
const prepared = async (one = prepare()): Promise<{ code: number | null; builds: number }> => {
  const code = await one.runToEnd({ timeoutMs: 120_000 });
  return { code, builds: one.logs().split('keyledger: building').length - 1 };
};

const runMain = async (): Promise<string> => {
  const main = new RealProcess({
    name: 'main',
    program: process.execPath,
    args: [join(folder, 'dist/apps/cli/src/main.js')],
  });
  expect(await main.runToEnd()).toBe(0);
  return main.logs();
};

describe('the build', () => {
  it('is made once, made anew when a source changed, and not for a test or a new date', async () => {
    expect(await prepared()).toEqual({ code: 0, builds: 1 });
    expect(await runMain()).toBe('one');

    write('libs/contracts/src/words.spec.ts', 'export {};\n');
    utimesSync(join(folder, 'apps/cli/src/main.ts'), new Date(), new Date());
    expect(await prepared()).toEqual({ code: 0, builds: 0 });

    write('libs/contracts/src/index.ts', "export const word = 'two';\n");
    expect(await prepared()).toEqual({ code: 0, builds: 1 });
    expect(await runMain()).toBe('two');
  });

  it('that fails is said to have failed, and is never taken for a whole one', async () => {
    write('apps/cli/src/main.ts', "const word: number = 'one';\nprocess.stdout.write(String(word));\n");
    expect(await prepared()).toEqual({ code: 1, builds: 1 });
    expect(await prepared()).toEqual({ code: 1, builds: 1 });
  });

  it('is made once when several prepare at the same time', async () => {
    const results = await Promise.all([prepared(), prepared(), prepared()]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(results.reduce((sum, { builds }) => sum + builds, 0)).toBe(1);
    expect(await runMain()).toBe('one');
  });

  it('goes on where a preparation was killed, whose process id may be somebody else by now', async () => {
    write('.prepare.lock', `${process.pid} 1`);
    expect(await prepared()).toEqual({ code: 0, builds: 1 });
    expect(existsSync(join(folder, '.prepare.lock'))).toBe(false);
  });
});

describe('what cannot be had here', () => {
  it('a missing redis-server is named with the ways to get it', async () => {
    write('bin/.keep', '');
    const one = prepare({ PATH: join(folder, 'bin') });
    expect((await prepared(one)).code).toBe(1);
    expect(one.logs()).toContain('redis-server is needed');
    expect(one.logs()).toContain('brew install redis');
    expect(one.logs()).toContain('REDIS_URL');
  });

  it('dependencies other than the locked ones are installed anew, and a missing npm is named', async () => {
    rmSync(join(folder, 'node_modules'));
    mkdirSync(join(folder, 'node_modules'));
    const installed = JSON.parse(readFileSync(join(ROOT, 'node_modules/.package-lock.json'), 'utf8'));
    installed.packages['node_modules/fastify'].version = '0.0.0';
    writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify(installed));
    write('bin/.keep', '');
    const one = prepare({ PATH: join(folder, 'bin') });
    expect(await prepared(one)).toEqual({ code: 1, builds: 0 });
    expect(one.logs()).toContain('installing dependencies');
    expect(one.logs()).toContain('npm is not installed or not on PATH');
  });
});
