/**
 * `keyledger scan` against `grep -E` for the same expression, on one core each, in rotated order: source text of the
 * installed packages as one large file, as it is in its files, and a text of nothing but base64. Every run is checked to
 * have found the keys that were planted, and `grep` the same lines.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, temporaryFolder } from './processes.mjs';
import { median, report } from './report.mjs';
import { SERVER_CORE } from './system.mjs';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const MIB = 2 ** 20;
const BIG_BYTES = 256 * MIB;
const PLANTED = 20;
const EXPRESSION = '[a-z][a-z0-9]{1,13}_[a-z][a-z0-9]{1,11}_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}';
const SOURCES = /\.(?:js|mjs|cjs|ts|json|md)$/;

export async function benchScan() {
  const { mintKey } = await import(join(ROOT, 'dist/libs/domain/src/index.js'));
  const mint = () => mintKey('acme', 'live', (count) => randomBytes(count)).key;
  const folder = temporaryFolder();
  const rows = [];
  const cases = [sourceFile(folder, mint), base64File(folder, mint), sourceFolder(folder, mint)];
  for (const { name, path, bytes } of cases) {
    const contestants = [
      { name: 'keyledger scan', run: () => scan(path), seconds: [] },
      { name: 'grep -E', run: () => grep(path), seconds: [] },
    ];
    for (let round = -1; round < ROUNDS; round++) {
      for (let i = 0; i < contestants.length; i++) {
        const contestant = contestants[(i + Math.max(round, 0)) % contestants.length];
        const began = performance.now();
        const found = contestant.run();
        const seconds = (performance.now() - began) / 1000;
        if (found !== PLANTED) throw new Error(`${contestant.name} found ${found} of ${PLANTED} in ${name}`);
        if (round >= 0) contestant.seconds.push(seconds);
      }
    }
    const [ours, theirs] = contestants.map(({ seconds }) => bytes / MIB / median(seconds));
    const ratios = contestants[0].seconds.map((seconds, round) => contestants[1].seconds[round] / seconds);
    rows.push({
      text: name,
      MiB: Math.round(bytes / MIB),
      'scan MB/s': ours,
      'grep -E MB/s': theirs,
      ratio: median(ratios),
    });
  }
  report('scan for keys, start of the process included', rows, {
    'scan / grep -E, lowest of the texts (goal: at least 0.3)': Math.min(...rows.map(({ ratio }) => ratio)),
  });
}

function scan(path) {
  const args = [join(ROOT, 'dist/apps/cli/src/main.js'), 'scan', path];
  return lines(spawnSync('taskset', ['-c', String(SERVER_CORE), process.execPath, ...args], { encoding: 'utf8' }), 5);
}

function grep(path) {
  const args = ['-c', String(SERVER_CORE), 'grep', '-rnoE', '-I', '--exclude-dir=node_modules', EXPRESSION, path];
  return lines(spawnSync('taskset', args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } }), 0);
}

function lines({ status, stdout, stderr }, expected) {
  if (status !== expected) throw new Error(`exit code ${status}: ${stderr}`);
  return stdout.trim().split('\n').length;
}

function sourceTexts() {
  const names = readdirSync(join(ROOT, 'node_modules/typescript/lib')).filter((name) => SOURCES.test(name));
  return names.map((name) => readFileSync(join(ROOT, 'node_modules/typescript/lib', name)));
}

function sourceFile(folder, mint) {
  const path = join(folder, 'source.txt');
  const all = Buffer.concat(sourceTexts());
  return planted(path, Math.ceil(BIG_BYTES / all.length), () => all, mint, 'source, one file');
}

function base64File(folder, mint) {
  const line = () => `${randomBytes(57).toString('base64')}\n`;
  const part = Buffer.from(Array.from({ length: 100_000 }, line).join(''));
  return planted(join(folder, 'base64.txt'), Math.ceil(BIG_BYTES / part.length), () => part, mint, 'base64, one file');
}

function planted(path, parts, partOf, mint, name) {
  writeFileSync(path, '');
  for (let part = 0; part < parts; part++) {
    appendFileSync(path, partOf(part));
    const keys = Math.floor(((part + 1) * PLANTED) / parts) - Math.floor((part * PLANTED) / parts);
    for (let i = 0; i < keys; i++) appendFileSync(path, `key = "${mint()}"\n`);
  }
  return { name, path, bytes: statSync(path).size };
}

/** Packages as they are installed, under another name: both scanners pass over `node_modules`. */
function sourceFolder(folder, mint) {
  const path = join(folder, 'packages');
  mkdirSync(path);
  for (const name of [
    '@nestjs',
    '@babel',
    'typescript',
    'rxjs',
    'prettier',
    'bullmq',
    'class-validator',
    'fast-check',
  ]) {
    const from = join(ROOT, 'node_modules', name);
    cpSync(from, join(path, name), {
      recursive: true,
      filter: (file) => statSync(file).isDirectory() || SOURCES.test(file),
    });
  }
  for (let i = 0; i < PLANTED; i++) writeFileSync(join(path, `planted-${i}.txt`), `${mint()}\n`);
  const bytes = Number(execFileSync('du', ['-sb', '--apparent-size', path], { encoding: 'utf8' }).split('\t')[0]);
  return { name: 'source, many files', path, bytes };
}
