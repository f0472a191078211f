import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeFolder } from '@keyledger/platform/folders';
import { converse, type Address } from './conversation.js';
import { NotReady } from './health.js';
import { UpRefused } from './refusal.js';

const LEAST_VERSION = [6, 2] as const;
const ORPHAN_TIMEOUT_MS = 15_000;

/** @throws UpRefused where there is none, or one that is too old */
export function findRedisServer(): string {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = ['redis-server', 'valkey-server'].flatMap((name) => folders.map((folder) => join(folder, name)));
  const program = candidates.find(isExecutable);
  if (program === undefined) {
    throw new UpRefused(
      'there is no redis-server on PATH. Install it (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install ' +
        'redis; macOS: brew install redis), or set REDIS_URL to a Redis that you run',
    );
  }
  const version = /\bv=(\d+)\.(\d+)\S*/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }));
  const [least, leastMinor] = LEAST_VERSION;
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
  if (major > least || (major === least && minor >= leastMinor)) return program;
  throw new UpRefused(
    `${program} is version ${version ? `${major}.${minor}` : 'unknown'}, but ${LEAST_VERSION.join('.')} or newer is needed; ` +
      'install a newer one, or set REDIS_URL to a Redis that you run',
  );
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * A redis-server on loopback whose data outlives it: an append-only file synced every second, no snapshots, and an
 * error instead of evicted keys when memory runs out. It gets nothing of our environment: there are secrets in it.
 */
export function spawnRedis(program: string, { host, port }: Address, folder: string): ChildProcess {
  makeFolder(folder, 0o700);
  const settings = {
    port,
    bind: host,
    'protected-mode': 'yes',
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    logfile: '',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { PATH, LANG, TZ } = process.env;
  return spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, LANG, TZ } });
}

/** @throws NotReady while it loads its data, or what keeps it from answering */
export async function checkRedis(address: Address): Promise<void> {
  const answer = await converse(address, 'PING\r\n');
  if (answer.startsWith('+PONG')) return;
  const [, loaded] = /^loading_loaded_bytes:(\d+)/m.exec(await converse(address, 'INFO persistence\r\n')) ?? [];
  if (loaded === undefined) throw new Error(answer.trim().slice(0, 200));
  throw new NotReady(`it is loading its data, ${loaded} bytes so far`, { bytes: Number(loaded) });
}

/**
 * Shuts down the redis-server of an earlier run of this very data folder that was killed together with its watchdog.
 * Any other program on that port stays untouched, and is refused with the other taken ports.
 */
export async function shutDownOrphan(address: Address, folder: string): Promise<void> {
  if (!(await isOurs(address, folder))) return;
  await converse(address, 'SHUTDOWN\r\n').catch(() => undefined);
  const deadline = Date.now() + ORPHAN_TIMEOUT_MS;
  while (Date.now() < deadline && (await answers(address))) await pause(100);
}

async function isOurs(address: Address, folder: string): Promise<boolean> {
  try {
    const [, , , , directory] = (await converse(address, 'CONFIG GET dir\r\n')).split('\r\n');
    return directory !== undefined && realpathSync(directory) === realpathSync(folder);
  } catch {
    return false;
  }
}

async function answers(address: Address): Promise<boolean> {
  return converse(address).then(
    () => true,
    () => false,
  );
}
