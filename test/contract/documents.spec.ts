import { describe, expect, it } from '@jest/globals';
import { REPORTS } from '@keyledger/audit';
import { AUTHORIZE_RESPONSE_HEADERS, EXPIRY_HEADERS } from '@keyledger/contracts';
import { SETTINGS } from '@keyledger/platform';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const MADE_BY_THE_READER = 'docker/.env';

/** The requirements of the guide that a backend answers for, by their numbers. */
const CORE = numbers(
  '1-6 9-15 17-18 21-29 31-33 35-37 40-41 44 46-52 55-60 62-69 75-81 83 85-89 100 102-105 108-111 114-120 122-125 ' +
    '128-138 140-141 147-150 152-153 155 157-159 161 163 169 177-179 187 190-191 193 198-202 205-209',
);
const POLICY = numbers(
  '8 16 19 30 34 38-39 43 45 71-73 90-92 95-99 101 112 121 139 145-146 154 160 167-168 175 192 194-195',
);

describe('docs/guide-conformance.md', () => {
  it('answers for every core and every policy requirement of the guide, once', () => {
    const of = (kind: string): number[] =>
      conformance()
        .filter((row) => row.kind === kind)
        .map(({ id }) => id);
    expect(of('C')).toEqual(CORE);
    expect(of('P')).toEqual(POLICY);
  });

  it('says of each what became of it and where, or why not', () => {
    for (const { id, status, where } of conformance()) {
      expect(`G${id} ${status}`).toMatch(/ (met|part|later|no)$/);
      expect(`G${id} ${where}`).toMatch(/ .{8,}/);
    }
  });
});

describe('the documents', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...markdownIn('docs'), ...markdownIn('docs/adr')];

  it.each(documents)('name only files that are there: %s', (document) => {
    const text = read(document);
    const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !/^[a-z]+:/.test(target))
      .map((target) => join(dirname(document), target));
    const named = [...text.matchAll(/`((?:apps|libs|docs|docker|test|scripts)\/[\w./-]*)`/g)].map(
      (match) => match[1] ?? '',
    );
    const missing = [...links, ...named].filter((path) => path !== MADE_BY_THE_READER && !existsSync(join(ROOT, path)));
    expect(missing).toEqual([]);
  });
});

describe.each(['README.md', 'docs/configuration.md'])('the configuration table of %s', (document) => {
  it('has every variable that the code reads, with its default, and no other', () => {
    const rows = [...read(document).matchAll(/^\| `([A-Z_]+)` \| (.*?) \|/gm)];
    const documented = Object.fromEntries(rows.map((match) => [match[1], (match[2] ?? '').replaceAll('`', '')]));
    const settings = Object.values(SETTINGS).map(({ name, default: value }) => [name, value || 'none']);
    expect(documented).toEqual(Object.fromEntries(settings));
  });
});

describe('the reports about the use of keys', () => {
  it.each(['inventory', 'never-used'] as const)('say how often uses are recorded: %s', (name) => {
    expect(REPORTS.get(name)?.description).toContain('within seconds, later ones together once in an interval');
    expect(REPORTS.get(name)?.description).toContain('an hour unless it was changed');
    expect(SETTINGS.usageIntervalSeconds.default).toBe('3600');
  });
});

describe('the examples for gateways', () => {
  const examples = ['README.md', 'docs/gateways.md'].flatMap((document) =>
    read(document)
      .split('```')
      .filter((text) => text.includes('/v1/authorize') && /^(nginx|caddyfile|yaml)\n/.test(text))
      .map((text) => ({ example: `${text.split('\n')[0]} in ${document}`, text: text.toLowerCase() })),
  );
  /** What a gateway says to the verifier, which is not what it says to the service. */
  const ASKING =
    /location = \/_authorize \{[^}]*\}|header_up x-keyledger-.*|headers_to_add:[^]*?(?=authorization_response)/g;

  it('are those for nginx in both documents, Caddy, Traefik and Envoy', () => {
    const kinds = examples.map(({ example }) => example.split(' ')[0]);
    expect(kinds).toEqual(['nginx', 'nginx', 'caddyfile', 'yaml', 'yaml']);
  });

  it.each(examples)('let no client forge a header of /v1/authorize: $example', ({ text }) => {
    const toTheService = text.replace(ASKING, '');
    const named = (name: string) => new RegExp(`${name}(?![\\w-])`).test(toTheService);
    const headers = Object.values({ ...AUTHORIZE_RESPONSE_HEADERS, ...EXPIRY_HEADERS });
    expect(headers.filter((name) => !named(name))).toEqual([]);
    for (const key of ['authorization', 'x-api-key']) expect(named(key)).toBe(true);
  });
});

describe('docker/', () => {
  const dockerfile = read('docker/Dockerfile');

  it('has an image for every process, with a healthcheck where it serves, for a user without rights', () => {
    const stage = (name: string): string =>
      dockerfile.split(/^FROM /m).find((part) => part.includes(` AS ${name}\n`)) ?? '';
    expect(stage('runtime')).toContain('USER node');
    for (const target of ['api', 'verifier', 'worker']) expect(stage(target)).toContain('HEALTHCHECK');
    expect(stage('cli')).toContain('ENTRYPOINT');
  });

  it('sends to the builder what the images copy, and no data and no .env', () => {
    const lines = read('docker/Dockerfile.dockerignore').split('\n');
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' '),
    );
    expect(copied.filter((path) => !lines.includes(`!${path}`) || !existsSync(join(ROOT, path)))).toEqual([]);
    expect(lines.filter((line) => !line.startsWith('#'))[0]).toBe('*');
    expect(lines).toContain('**/.env');
  });

  it('takes the admin key from outside', () => {
    expect(read('docker/compose.yaml')).toMatch(/KEYLEDGER_ADMIN_KEY: \$\{KEYLEDGER_ADMIN_KEY:\?/);
    expect(read('docker/.env.example')).toMatch(/^KEYLEDGER_ADMIN_KEY=$/m);
  });

  it('tells the verifier no secret that it does not need', () => {
    const compose = read('docker/compose.yaml').split('\n\n');
    const part = (beginning: string): string => compose.find((one) => one.startsWith(beginning)) ?? '';
    expect(part('  verifier:')).toContain('    environment: *environment\n');
    expect([...part('x-environment:').matchAll(/^  ([A-Z_]+):/gm)].map((match) => match[1])).toEqual([
      'REDIS_URL',
      'KEYLEDGER_PEPPERS',
      'KEYLEDGER_TRUSTED_PROXIES',
      'KEYLEDGER_LOG_LEVEL',
      'KEYLEDGER_MAX_STALENESS_SECONDS',
    ]);
  });

  const compose = spawnSync('docker', ['compose', 'version']).status === 0;
  (compose ? it : it.skip)(
    `passes docker compose config${compose ? '' : ' (docker compose is not installed here)'}`,
    () => {
      const env = { ...process.env, KEYLEDGER_ADMIN_KEY: 'x'.repeat(32), KEYLEDGER_SEALING_KEYS: 'k1:x' };
      const config = execFileSync('docker', ['compose', '-f', 'docker/compose.yaml', 'config'], {
        cwd: ROOT,
        env,
        encoding: 'utf8',
      });
      for (const service of ['kurrentdb', 'redis', 'api', 'verifier', 'worker'])
        expect(config).toContain(`${service}:`);
    },
  );
});

function numbers(ranges: string): number[] {
  return ranges.split(' ').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

function conformance(): { id: number; kind: string; status: string; where: string }[] {
  return [...read('docs/guide-conformance.md').matchAll(/^\| G(\d+) \| (.*) \|$/gm)].map((match) => {
    const [kind = '', , status = '', where = ''] = (match[2] ?? '').split(' | ');
    return { id: Number(match[1]), kind, status, where };
  });
}

function markdownIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
}
