import { constants } from 'node:fs';
import { access, open, rm, stat, writeFile } from 'node:fs/promises';
import { UsageError } from './exit.js';
import { messageOf } from './print.js';

/** A file for an answer. Its place is looked at before anything is asked: a wrong one is a wrong command line. */
export class OutFile {
  private constructor(
    readonly path: string,
    private readonly flag: 'w' | 'wx',
  ) {}

  /** @throws UsageError if nothing can be written there, or something is there that must not be written over */
  static async at(path: string, { overwrite }: { overwrite: boolean }): Promise<OutFile> {
    try {
      const there = await stat(path).catch(ifMissing);
      if (!there) await tryOut(path);
      else if (!overwrite) throw new Error('it exists and is not overwritten');
      else if (there.isDirectory()) throw new Error('it is a folder');
      else await access(path, constants.W_OK);
    } catch (error) {
      throw new UsageError(`"${path}" cannot be written (${messageOf(error)}): name a file in a folder that is there`);
    }
    return new OutFile(path, overwrite ? 'w' : 'wx');
  }

  /** @throws Error if it cannot be written after all */
  async write(text: string): Promise<void> {
    await writeFile(this.path, text, { flag: this.flag }).catch((error: unknown) => {
      throw new Error(`${this.path} could not be written: ${messageOf(error)}`, { cause: error });
    });
  }
}

/** Nothing says as surely whether a file can be made as making it. */
async function tryOut(path: string): Promise<void> {
  const handle = await open(path, 'wx');
  await handle.close();
  await rm(path);
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
