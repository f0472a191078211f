import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LATEST_FILE, publishedFile } from '@keyledger/audit';
import type { PublishPlace } from '@keyledger/platform';

/** Where checkpoints go so that whoever could rewrite the log cannot rewrite them as well. */
export interface Place {
  /** For logs and metrics: nothing of an address that may be a credential. */
  readonly name: string;
  /** The newest checkpoint that is there; `undefined`: none, or a place that cannot be asked. */
  latest(): Promise<string | undefined>;
  /** Puts it there. What is there already stays; another one of that size is an error. */
  publish(note: string, size: number): Promise<void>;
}

const WEBHOOK_TIMEOUT_MS = 10_000;
const GIT_TIMEOUT_MS = 30_000;
const run = promisify(execFile);

export function placeOf({ kind, target }: PublishPlace): Place {
  if (kind === 'folder') return new Folder(target, `folder ${target}`);
  return kind === 'git' ? new GitRepository(target) : new Webhook(target);
}

/** One file a checkpoint, and `latest.txt`; each whole or not at all. */
class Folder implements Place {
  constructor(
    protected readonly path: string,
    readonly name: string,
  ) {}

  latest(): Promise<string | undefined> {
    return read(join(this.path, LATEST_FILE));
  }

  async publish(note: string, size: number): Promise<void> {
    await this.put(note, size);
  }

  protected async put(note: string, size: number): Promise<void> {
    await this.make();
    const file = join(this.path, publishedFile(size));
    const there = await read(file);
    if (there !== undefined && there !== note) throw new Error(`${file} is another checkpoint of ${size} leaves`);
    if (there === undefined) await replace(file, note);
    await replace(join(this.path, LATEST_FILE), note);
  }

  /** Not what is above it: that is somebody else's disk, and where it is away nothing may be put in its place. */
  private async make(): Promise<void> {
    await mkdir(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/** A folder in the work tree of a local repository, and a commit for each checkpoint. To push is left to its owner. */
class GitRepository extends Folder {
  constructor(path: string) {
    super(path, `git ${path}`);
  }

  override async publish(note: string, size: number): Promise<void> {
    await this.git('rev-parse', '--is-inside-work-tree');
    await this.put(note, size);
    const files = [publishedFile(size), LATEST_FILE];
    await this.git('add', '--', ...files);
    const { stdout } = await this.git('status', '--porcelain', '--', ...files);
    if (stdout.trim() !== '')
      await this.git('commit', '--quiet', '-m', `Checkpoint of ${size} leaves`, '--only', '--', ...files);
  }

  private git(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    const identity = [
      '-c',
      'user.name=Keyledger',
      '-c',
      'user.email=keyledger@localhost',
      '-c',
      'commit.gpgsign=false',
    ];
    return run('git', ['-C', this.path, ...identity, ...args], {
      timeout: GIT_TIMEOUT_MS,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], GIT_TERMINAL_PROMPT: '0' },
    });
  }
}

/** A POST of the note as text. Asked again after a restart, so the receiver may get one twice. */
class Webhook implements Place {
  readonly name: string;

  constructor(private readonly address: string) {
    this.name = `webhook ${new URL(address).host}`;
  }

  async latest(): Promise<undefined> {
    return undefined;
  }

  async publish(note: string, size: number): Promise<void> {
    const response = await fetch(this.address, {
      method: 'POST',
      headers: { 'content-type': 'text/plain; charset=utf-8', 'x-keyledger-checkpoint-size': String(size) },
      body: note,
      redirect: 'error',
      signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`it answered ${response.status}`);
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Puts a file in the place of another in one step, on disk. */
export async function replace(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.tmp`;
  const file = await open(draft, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
