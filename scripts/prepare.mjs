// Everything that has to be there before anything of ours can run: Node, dependencies, the build, a redis-server.
// Only Node built-ins: this is the first thing that runs on a bare clone. Each step first looks whether it is needed,
// so on a prepared folder all of this takes a fraction of a second.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NEEDED_NODE = [20, 19];
const LOCK_WAIT_MS = 15 * 60_000;
const APT_TIMEOUT_MS = 5 * 60_000;
const STEP_TIMEOUT_MS = 10 * 60_000;

/** A refusal that a person can act on: its message is printed without a stack. */
export class Refusal extends Error {}

/**
 * Brings this folder to where `up` and the tests can start. Concurrent calls on one folder wait for each other.
 * @param {{build?: boolean, redis?: boolean}} [wanted] dependencies are always prepared, these two unless false
 * @throws {Refusal} when something is missing that cannot be had here; the message says what to do
 */
export async function prepare({ build = true, redis = true } = {}) {
  checkNode();
  const missing = () => [
    ...(dependenciesAreInstalled() ? [] : [installDependencies]),
    ...(!build || buildIsFresh() ? [] : [buildAll]),
    ...(!redis || findRedisServer() ? [] : [installRedis]),
  ];
  if (missing().length === 0) return;
  const onWait = (pid) => say(`process ${pid} is preparing this folder; waiting for it`);
  await withLock(join(ROOT, '.prepare.lock'), { waitMs: LOCK_WAIT_MS, onWait }, async () => {
    for (const step of missing()) await step();
  });
}

/** Runs `main` as a script's body: a Refusal ends it with its message and status 1, any other failure with its stack. */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Refusal ? `keyledger: ${error.message}` : error.stack}\n`);
    process.exitCode = 1;
  }
}

/**
 * Runs a command in the repository's root with our output, and passes SIGINT and SIGTERM on to it.
 * @returns {Promise<number>} its exit code; 128 when a signal or the time limit ended it
 */
export function run(command, args, { env, timeoutMs } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    });
    // Not spawn's own time limit: after a program that is not there its timer would keep this process waiting.
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => child.kill(), timeoutMs);
    let interrupted = false;
    const pass = (signal) => {
      interrupted = true;
      child.kill(signal);
    };
    process.on('SIGINT', pass).on('SIGTERM', pass);
    const settle = () => {
      clearTimeout(timer);
      process.off('SIGINT', pass).off('SIGTERM', pass);
    };
    child.once('error', (error) => {
      settle();
      reject(error.code === 'ENOENT' ? new Refusal(`${command} is not installed or not on PATH`) : error);
    });
    child.once('exit', (code) => {
      settle();
      if (interrupted) process.exit(code ?? 128);
      resolve(code ?? 128);
    });
  });
}

function say(text) {
  process.stderr.write(`keyledger: ${text}\n`);
}

async function mustRun(what, command, args, options) {
  const code = await run(command, args, { timeoutMs: STEP_TIMEOUT_MS, ...options });
  if (code !== 0) throw new Refusal(`${what} failed (exit code ${code}); its messages are above`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NEEDED_NODE[0] || (major === NEEDED_NODE[0] && minor >= NEEDED_NODE[1])) return;
  throw new Refusal(
    `Node ${NEEDED_NODE.join('.')} or newer is needed, this is ${process.versions.node}. Get it from https://nodejs.org or with your version manager.`,
  );
}

// npm writes node_modules/.package-lock.json last, so it is there only after a finished install, and lists what is
// installed. It fits when every package in it is the locked one, and nothing that is not optional is missing from it.
function dependenciesAreInstalled() {
  const installedFile = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const { '': root, ...locked } = readJson(join(ROOT, 'package-lock.json')).packages;
  const installed = readJson(installedFile).packages;
  const same = (a, b) => a !== undefined && b !== undefined && a.version === b.version && a.integrity === b.integrity;
  return (
    Object.entries(installed).every(([path, found]) => same(found, locked[path])) &&
    Object.entries(locked).every(([path, wanted]) => wanted.optional || wanted.devOptional || path in installed)
  );
}

async function installDependencies() {
  say('installing dependencies (npm ci)');
  await mustRun('npm ci', 'npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
}

const STAMP = join(ROOT, 'dist', '.build-stamp');

function buildIsFresh() {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sourceHash();
}

// The stamp goes first and comes last: a build that was cut off is never taken for a whole one, and sources changed
// while it ran make it stale.
async function buildAll() {
  const hash = sourceHash();
  say('building');
  rmSync(STAMP, { force: true });
  await mustRun('the build', process.execPath, [join('node_modules', '@nestjs', 'cli', 'bin', 'nest.js'), 'build']);
  writeFileSync(STAMP, hash);
}

function sourceHash() {
  const hash = createHash('sha256').update(process.versions.node.split('.')[0]);
  const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'nest-cli.json'];
  const sources = [...filesUnder(join(ROOT, 'apps')), ...filesUnder(join(ROOT, 'libs'))];
  for (const file of [...settings.map((name) => join(ROOT, name)), ...sources]) {
    const content = readFileSync(file);
    hash.update(`${relative(ROOT, file)} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return entry.name === 'node_modules' || entry.name === 'dist' ? [] : filesUnder(path);
      return entry.isFile() && !entry.name.endsWith('.spec.ts') ? [path] : [];
    });
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function onPath(...names) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function findRedisServer() {
  return onPath('redis-server', 'valkey-server');
}

async function installRedis() {
  if (process.getuid?.() === 0 && onPath('apt-get')) await aptInstallRedis();
  if (findRedisServer()) return;
  throw new Refusal(
    [
      'redis-server is needed and not on PATH. Install it with one of',
      '  sudo apt-get install redis-server    (Debian, Ubuntu)',
      '  sudo dnf install redis               (Fedora, RHEL; newer ones: valkey)',
      '  apk add redis                        (Alpine)',
      '  brew install redis                   (macOS)',
      'For `npm run up` you may instead set REDIS_URL to a Redis that you run.',
    ].join('\n'),
  );
}

// The package would start a Redis on 6379 and enable it at boot. We want the program only: policy-rc.d (Debian's own
// way to say so) keeps it from starting now, disabling the unit from starting later.
async function aptInstallRedis() {
  say('installing redis-server with apt-get');
  const env = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' };
  const apt = (...args) =>
    run('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120', ...args], {
      env,
      timeoutMs: APT_TIMEOUT_MS,
    });
  const policy = '/usr/sbin/policy-rc.d';
  const ourPolicy = !existsSync(policy);
  if (ourPolicy) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const removePolicy = () => ourPolicy && rmSync(policy, { force: true });
  process.once('exit', removePolicy);
  try {
    await apt('update');
    await apt('install', '-y', '--no-install-recommends', 'redis-server');
    if (findRedisServer() && onPath('systemctl')) await run('systemctl', ['--quiet', 'disable', 'redis-server']);
  } finally {
    process.off('exit', removePolicy);
    removePolicy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runScript(() => prepare());
