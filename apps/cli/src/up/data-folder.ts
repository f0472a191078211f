import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  opendirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '@keyledger/platform/folders';
import { UpMisconfigured, UpRefused } from './refusal.js';

const ABANDONED_GUARD_MS = 10_000;
/** A full disk: the folder is right, and will do again. */
const FULL = ['ENOSPC', 'EDQUOT'];

export interface DataFolder {
  /** Absolute, without links. */
  path: string;
  /** The run before was killed: what it started may still be about to end. */
  wasAbandoned: boolean;
  release(): void;
}

/**
 * Takes a data folder for this process, making it if need be. A folder belongs to one `keyledger up` at a time; one
 * whose owner was killed is free again.
 * @throws UpMisconfigured where it is none that can be read and written, UpRefused where it is in use or full
 */
export function takeDataFolder(wanted: string): DataFolder {
  const path = folderAt(wanted);
  const lock = join(path, 'up.lock');
  const wasAbandoned = removeIfDead(lock);
  const mine = `${process.pid} ${startOf(process.pid)}`;
  if (!create(lock, mine, path)) {
    const pid = readIfThere(lock)?.split(' ')[0] ?? 'unknown';
    throw new UpRefused(
      `${path} is in use by another \`keyledger up\` (process ${pid}); stop that one, or set KEYLEDGER_DATA_DIR to another folder`,
    );
  }
  return { path, wasAbandoned, release: () => readIfThere(lock) === mine && rmSync(lock, { force: true }) };
}

function folderAt(path: string): string {
  try {
    makeFolder(path, 0o700);
    opendirSync(path).closeSync();
    return realpathSync(path);
  } catch (error) {
    throw new UpMisconfigured(unusable(path, error));
  }
}

const unusable = (path: string, error: unknown): string =>
  `KEYLEDGER_DATA_DIR is "${path}", which cannot be used: ${(error as Error).message}; right would be a folder that this user may read and write`;

/** Whole and at once, so that nobody reads half an owner. */
function create(lock: string, owner: string, folder: string): boolean {
  const draft = `${lock}.${process.pid}`;
  try {
    try {
      writeFileSync(draft, owner);
      linkSync(draft, lock);
    } finally {
      rmSync(draft, { force: true });
    }
    return true;
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (FULL.includes(code)) throw new UpRefused(`KEYLEDGER_DATA_DIR is "${folder}", which is full: ${message}`);
    throw new UpMisconfigured(unusable(folder, error));
  }
}

/** Under a short-lived lock of its own: of two that find a dead owner, the slower must not remove the quicker's lock. */
function removeIfDead(lock: string): boolean {
  if (!belongsToDead(lock)) return false;
  const guard = `${lock}.clearing`;
  try {
    mkdirSync(guard);
  } catch {
    const since = statSync(guard, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    if (Date.now() - since > ABANDONED_GUARD_MS) rmdirSync(guard);
    return false;
  }
  const dead = belongsToDead(lock);
  if (dead) rmSync(lock, { force: true });
  rmdirSync(guard);
  return dead;
}

function belongsToDead(lock: string): boolean {
  const owner = readIfThere(lock);
  return owner !== undefined && !isAlive(owner);
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

// A process id alone is not an identity: the number of a dead owner may be somebody else's by now.
function isAlive(owner: string): boolean {
  const [pid, ...start] = owner.split(' ');
  return startOf(Number(pid)) === start.join(' ');
}

function startOf(pid: number): string | undefined {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
