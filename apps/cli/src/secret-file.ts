import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, lstat, open, readFile, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { UsageError } from './exit.js';
import { messageOf } from './print.js';

/** More than any key is long, so that the room for it is there before the key is. */
const RESERVED_BYTES = 512;

/**
 * A file that will hold a secret. It is reserved before the request that makes the secret, so that a taken name, a
 * missing folder or a full disk costs a message and not a key. Readable by its owner only; an existing file is never
 * written over; under its name the file is there whole or not at all.
 */
export class SecretFile {
  private constructor(
    readonly path: string,
    private readonly draft: string,
    private readonly handle: FileHandle,
  ) {}

  /** @throws UsageError if the name is none, the file exists, or it cannot be made. */
  static async reserve(path: string): Promise<SecretFile> {
    if (path === '' || path.endsWith(sep)) throw new UsageError(`"${path}" names no file for a secret`);
    const draft = join(dirname(path), `.keyledger.${randomBytes(6).toString('hex')}`);
    let handle: FileHandle | undefined;
    try {
      // Asked of the name itself too: the draft's may be fine where this one is too long.
      if (await exists(path)) throw new UsageError(`${path} exists and is not overwritten: choose another file`);
      handle = await open(draft, 'wx', 0o600);
      await handle.writeFile(' '.repeat(RESERVED_BYTES));
      await handle.sync();
      return new SecretFile(path, draft, handle);
    } catch (error) {
      await handle?.close();
      if (handle) await rm(draft, { force: true });
      if (error instanceof UsageError) throw error;
      throw new UsageError(`${path} cannot be written: ${messageOf(error)}`);
    }
  }

  /** @throws Error that names where the secret stands, if its own name could not be given to it. */
  async write(secret: string): Promise<void> {
    await this.handle.truncate(0);
    await this.handle.write(`${secret}\n`, 0);
    await this.handle.sync();
    await this.handle.close();
    try {
      await link(this.draft, this.path);
    } catch (error) {
      await this.copyInstead(error);
    }
    await rm(this.draft, { force: true });
  }

  /** For file systems without hard links. */
  private async copyInstead(cause: unknown): Promise<void> {
    try {
      if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') throw cause;
      await copyFile(this.draft, this.path, constants.COPYFILE_EXCL);
    } catch (error) {
      throw new Error(`${this.path} could not be made (${messageOf(error)}); the secret stands in ${this.draft}`, {
        cause: error,
      });
    }
  }

  /** For a request that gave no secret: leaves nothing behind. */
  async discard(): Promise<void> {
    await this.handle.close();
    await rm(this.draft, { force: true });
  }
}

/** The one line that a file with a key holds. */
export async function readSecretFile(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${messageOf(error)}`);
  }
  const secret = text.trim();
  if (secret === '' || /\s/.test(secret)) throw new UsageError(`${path} must hold one key and nothing else`);
  return secret;
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
