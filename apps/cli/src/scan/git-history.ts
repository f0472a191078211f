import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { UsageError } from '../exit.js';

/** One object of a repository whose text is scanned: a version of a file, or the message of a commit or a tag. */
export interface GitObject {
  id: string;
  kind: 'file' | 'message';
  /** One path under which the version stood. */
  path: string;
}

const KINDS: Record<string, GitObject['kind'] | undefined> = { blob: 'file', commit: 'message', tag: 'message' };

/**
 * Gives the text of every object once that a range of the history reaches: without one, everything that any branch, tag,
 * stash or HEAD reaches, also what HEAD itself does not. `begin` is called for each, then `piece` for its bytes.
 * @throws UsageError if git cannot read the repository or the range
 */
export async function readHistory(
  repository: string,
  range: string | undefined,
  reader: { begin(object: GitObject): void; piece(bytes: Buffer): void; end(): void },
): Promise<void> {
  if (range?.startsWith('-')) throw new UsageError('The range of --git is written like main..feature or a commit');
  const running: Running[] = [];
  const git = (...args: string[]): Running => {
    const one = run(repository, args);
    running.push(one);
    return one;
  };
  try {
    const list = git('rev-list', '--objects', ...(range === undefined ? ['--all'] : range.split(' ')), '--');
    const kinds = git('cat-file', '--batch-check=%(objecttype) %(objectname) %(rest)', '--buffer');
    const texts = git('cat-file', '--batch=%(objectname) %(objecttype) %(objectsize) %(rest)', '--buffer');
    list.child.stdout?.pipe(kinds.child.stdin as NodeJS.WritableStream);
    await Promise.all([choose(kinds.child, texts.child), read(texts.child, reader)]);
    for (const one of running) await one.done;
  } finally {
    for (const { child } of running) child.kill();
  }
}

/** The first commit in which a version of a file stood; of a message the commit or tag itself. */
export async function commitOf(repository: string, { id, kind }: GitObject): Promise<string> {
  if (kind === 'message') return id;
  const log = run(repository, ['log', '--all', '-m', '--reverse', '--format=%H', `--find-object=${id}`]);
  let first = '';
  for await (const line of createInterface({ input: log.child.stdout as NodeJS.ReadableStream })) {
    first = line;
    break;
  }
  log.child.kill();
  await log.done.catch(() => undefined);
  return first;
}

interface Running {
  child: ChildProcess;
  done: Promise<void>;
}

function run(repository: string, args: readonly string[]): Running {
  const child = spawn('git', ['-C', repository, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  // A reader that ended says why by its exit code.
  child.stdin.on('error', () => undefined);
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    if (said.length < 2000) said += text.toString();
  });
  const done = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(new UsageError(`git cannot be run: ${error.message}`)));
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new UsageError(`git ${args[0]} in ${repository} failed: ${said.trim() || `exit code ${code}`}`));
    });
  });
  done.catch(() => undefined);
  return { child, done };
}

/** Passes on what has a text of its own; trees have none. */
async function choose(from: ChildProcess, to: ChildProcess): Promise<void> {
  const { stdin } = to;
  if (!stdin) return;
  for await (const line of createInterface({ input: from.stdout as NodeJS.ReadableStream, crlfDelay: Infinity })) {
    const space = line.indexOf(' ');
    if (KINDS[line.slice(0, space)] === undefined) continue;
    if (!stdin.write(`${line.slice(space + 1)}\n`)) await Promise.race([once(stdin, 'drain'), once(to, 'close')]);
  }
  stdin.end();
}

async function read(
  { stdout }: ChildProcess,
  reader: { begin(object: GitObject): void; piece(bytes: Buffer): void; end(): void },
): Promise<void> {
  let head = Buffer.alloc(0);
  /** Bytes of the object at hand that are still to come; its text is followed by a newline. */
  let left = -1;
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    let at = 0;
    while (at < chunk.length) {
      if (left < 0) {
        const newline = chunk.indexOf(0x0a, at);
        head = Buffer.concat([head, chunk.subarray(at, newline < 0 ? chunk.length : newline)]);
        at = newline < 0 ? chunk.length : newline + 1;
        if (newline < 0) continue;
        const [id = '', type = '', size = '', ...path] = head.toString().split(' ');
        head = Buffer.alloc(0);
        const kind = KINDS[type];
        if (kind === undefined) continue;
        reader.begin({ id, kind, path: kind === 'file' ? path.join(' ') : `(message of the ${type})` });
        left = Number(size);
      }
      const piece = chunk.subarray(at, at + left);
      if (piece.length > 0) reader.piece(piece);
      at += piece.length;
      left -= piece.length;
      if (left === 0 && at < chunk.length) {
        at++;
        left = -1;
        reader.end();
      }
    }
  }
}
