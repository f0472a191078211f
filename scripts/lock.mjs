// One preparation per folder at a time. A lock is a file made whole and at once (link), holding who owns it; a lock whose
// owner is gone is removed under a second, short-lived lock, so that no live owner's lock is ever taken for a dead one's.
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 200;
const ABANDONED_BREAK_MS = 10_000;

/**
 * Runs `work` while holding the lock file `path`. Waits at most `waitMs` for another owner, calling `onWait(pid)` once.
 * @throws {Error} when the wait runs out; names the owner and the file.
 */
export async function withLock(path, { waitMs, onWait }, work) {
  const release = await acquire(path, waitMs, onWait);
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

async function acquire(path, waitMs, onWait) {
  const deadline = Date.now() + waitMs;
  const mine = `${process.pid} ${startOf(process.pid)}`;
  let waited = false;
  for (;;) {
    if (create(path, mine)) return () => read(path) === mine && rmSync(path, { force: true });
    const owner = read(path);
    if (owner !== undefined && !isAlive(owner)) {
      breakLock(path);
      continue;
    }
    if (!waited && owner !== undefined) onWait(owner.split(' ')[0]);
    waited = true;
    if (Date.now() > deadline) {
      throw new Error(`process ${owner?.split(' ')[0]} has held ${path} for too long; end it, or delete that file`);
    }
    await delay(POLL_MS);
  }
}

function create(path, owner) {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, owner);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function breakLock(path) {
  const guard = `${path}.break`;
  try {
    mkdirSync(guard);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    const since = statSync(guard, { throwIfNoEntry: false })?.mtimeMs;
    if (since !== undefined && Date.now() - since > ABANDONED_BREAK_MS) rmdirSync(guard);
    return;
  }
  try {
    const owner = read(path);
    if (owner !== undefined && !isAlive(owner)) rmSync(path, { force: true });
  } finally {
    rmdirSync(guard);
  }
}

// A process id alone is not an identity: the number of a dead owner may be somebody else's by now.
function isAlive(owner) {
  const [pid, ...start] = owner.split(' ');
  return startOf(pid) === start.join(' ');
}

function startOf(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? undefined : fields[19];
    }
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
