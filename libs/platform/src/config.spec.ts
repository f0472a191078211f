import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ConfigError, loadConfig, unknownVariables, type Spec } from './config.js';
import { SETTINGS } from './settings.js';

const { redisUrl, verifierPort, peppers, trustedProxies, logLevel, adminKey, maxStalenessSeconds } = SETTINGS;
const spec = { redisUrl, verifierPort, peppers, trustedProxies, logLevel, adminKey, maxStalenessSeconds };
const PEPPER = Buffer.alloc(32, 7).toString('base64');

function problemsOf(env: NodeJS.ProcessEnv, of: Spec = spec): readonly string[] {
  try {
    loadConfig(of, { REDIS_URL: 'redis://localhost', ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  it('reads defaults, and what is set, in its type', () => {
    expect(loadConfig(spec, { REDIS_URL: 'redis+sentinel://a:1,b:2/main?db=0', KEYLEDGER_VERIFIER_PORT: '0' })).toEqual(
      {
        redisUrl: 'redis+sentinel://a:1,b:2/main?db=0',
        verifierPort: 0,
        peppers: [],
        trustedProxies: [],
        logLevel: 'info',
        maxStalenessSeconds: 300,
      },
    );
    const config = loadConfig(spec, { REDIS_URL: 'rediss://h', KEYLEDGER_PEPPERS: `b:${PEPPER}, a:${PEPPER}` });
    expect(config.peppers.map(({ id, key }) => [id, key.length])).toEqual([
      ['b', 32],
      ['a', 32],
    ]);
  });

  it('takes an empty variable for one that is not set', () => {
    expect(problemsOf({ REDIS_URL: ' ' })).toEqual([expect.stringContaining('REDIS_URL is not set')]);
    expect(problemsOf({ KEYLEDGER_VERIFIER_PORT: '' })).toEqual([]);
  });

  it('names every variable that cannot be used, and what would be right, at once', () => {
    const problems = problemsOf({ KEYLEDGER_VERIFIER_PORT: '99999', KEYLEDGER_LOG_LEVEL: 'loud' });
    expect(problems).toEqual([
      'KEYLEDGER_VERIFIER_PORT is "99999": it is no whole number in range; right would be 0 to 65535',
      expect.stringMatching(/^KEYLEDGER_LOG_LEVEL is "loud": .*trace, debug, info/),
    ]);
  });

  it.each([
    ['KEYLEDGER_PEPPERS', `a:${PEPPER},b:c2hvcnRzZWNyZXQ=`, 'entry 2'],
    ['KEYLEDGER_PEPPERS', `a:${PEPPER},a:${PEPPER}`, 'twice'],
    ['KEYLEDGER_PEPPERS', PEPPER, 'entry 1'],
    ['KEYLEDGER_ADMIN_KEY', 'c2hvcnRzZWNyZXQ=', '32 to 512'],
    ['REDIS_URL', 'http://user:c2hvcnRzZWNyZXQ=@host', 'redis://'],
  ])('refuses a bad %s without showing it', (name, value, hint) => {
    const [problem] = problemsOf({ [name]: value });
    expect(problem).toContain(name);
    expect(problem).toContain(hint);
    expect(problem).not.toContain('c2hvcnRzZWNyZXQ');
    expect(problem).not.toContain(PEPPER);
  });

  it('refuses a proxy that is no address', () => {
    expect(problemsOf({ KEYLEDGER_TRUSTED_PROXIES: '10.0.0.0/8,::1' })).toEqual([]);
    expect(problemsOf({ KEYLEDGER_TRUSTED_PROXIES: '10.0.0.0/8,proxy' })).toEqual([expect.stringContaining('entry 2')]);
  });
});

describe('what can never be right', () => {
  const all = { host: SETTINGS.host, subjectKeysDir: SETTINGS.subjectKeysDir, eventStoreUrl: SETTINGS.eventStoreUrl };
  const given = { EVENTSTORE_URL: 'kurrentdb://h' };
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyledger-config-'));
    writeFileSync(join(folder, 'file'), '');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(['file', 'file/below', 'dangling', '/proc/keyledger'])('a folder that cannot be one: %s', (path) => {
    const value = resolve(folder, path);
    expect(problemsOf({ ...given, KEYLEDGER_SUBJECT_KEYS_DIR: value }, all)).toEqual([
      expect.stringMatching(
        /^KEYLEDGER_SUBJECT_KEYS_DIR is ".*": it is no folder and cannot be one .*; right would be /,
      ),
    ]);
  });

  it('is no folder that is there, or is missing, or lies behind a link', () => {
    symlinkSync(folder, join(folder, 'link'));
    for (const path of ['', 'new/one', 'new/one', 'link/another']) {
      expect(problemsOf({ ...given, KEYLEDGER_SUBJECT_KEYS_DIR: resolve(folder, path) }, all)).toEqual([]);
    }
  });

  it.each(['not a host', 'http://localhost', '127.0.0.1:7400', '-'])('a host that is none: %s', (host) => {
    expect(problemsOf({ ...given, KEYLEDGER_HOST: host }, all)).toEqual([expect.stringContaining('KEYLEDGER_HOST')]);
  });

  it.each(['127.0.0.1', '0.0.0.0', '::', '::1', 'localhost', 'node_1.example.com'])('is no host like %s', (host) => {
    expect(problemsOf({ ...given, KEYLEDGER_HOST: host }, all)).toEqual([]);
  });

  it.each([
    'kurrentdb://h:99999?tls=false',
    'esdb://user:password@h:0',
    'kdb+discover://a:2113,b:65536',
    'kurrentdb://[::1]:70000',
  ])('a port that there is none: %s', (url) => {
    const [problem, ...more] = problemsOf({ EVENTSTORE_URL: url }, all);
    expect(more).toEqual([]);
    expect(problem).toMatch(
      /^EVENTSTORE_URL: it names a port that there is none; right would be a port from 1 to 65535/,
    );
    expect(problem).not.toContain('password');
  });

  it.each([
    'kurrentdb://a:1,b:65535/?tls=false',
    'esdb://user:99999@h:2113',
    'esdb://user:99999/9@h',
    'kurrentdb://[::1]:2113',
    'kurrentdb://fe80::99999',
  ])('is not what only looks like a port: %s', (url) => {
    expect(problemsOf({ EVENTSTORE_URL: url }, all)).toEqual([]);
  });
});

describe('the table of variables', () => {
  it('names each once, describes it, and has defaults that can be read', () => {
    const variables = Object.values(SETTINGS);
    expect(new Set(variables.map(({ name }) => name)).size).toBe(variables.length);
    for (const { name, description, ...rest } of variables) {
      expect(name).toMatch(/^(KEYLEDGER_[A-Z_]+|REDIS_URL|EVENTSTORE_URL)$/);
      expect(description.length).toBeGreaterThan(20);
      if ('default' in rest && rest.default !== undefined) rest.parse(rest.default);
    }
  });

  it('tells variables that are likely misspelt', () => {
    expect(unknownVariables(SETTINGS, { KEYLEDGER_API_PROT: '1', KEYLEDGER_API_PORT: '1', PATH: '' })).toEqual([
      'KEYLEDGER_API_PROT',
    ]);
  });
});
