import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UpRefused } from './refusal.js';

/**
 * The sealing key of an installation that was given none: made once, kept in the data folder for its owner alone, as
 * `id:base64`. Losing it loses the signing secrets of the channels, so it belongs into a backup, apart from the events.
 * @throws UpRefused
 */
export function ownSealingKey(folder: string): string {
  const file = join(folder, 'sealing.key');
  try {
    return read(file) ?? make(file);
  } catch (error) {
    throw new UpRefused(`the sealing key in ${file} cannot be used: ${(error as Error).message}`);
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all: half a key would lock away what the whole one sealed. */
function make(file: string): string {
  const key = `own:${randomBytes(32).toString('base64')}`;
  const draft = `${file}.${process.pid}`;
  const handle = openSync(draft, 'wx', 0o600);
  try {
    writeSync(handle, `${key}\n`);
    fsyncSync(handle);
    linkSync(draft, file);
  } finally {
    closeSync(handle);
    rmSync(draft, { force: true });
  }
  return key;
}
