import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { generateSignerKey } from '@keyledger/audit';
import { UpRefused } from './refusal.js';

/**
 * The sealing key of an installation that was given none: made once, kept in the data folder for its owner alone, as
 * `id:base64`. Losing it loses the signing secrets of the channels, so it belongs into a backup, apart from the events.
 * @throws UpRefused
 */
export function ownSealingKey(folder: string): string {
  return ownKey(folder, 'sealing', () => `own:${randomBytes(32).toString('base64')}`);
}

/**
 * The key that signs the audit log of an installation that was given none. Its name becomes the log's origin. Whoever
 * has it and the events can make up another history, so a copy belongs into a safe, apart from both.
 * @throws UpRefused
 */
export function ownSigningKey(folder: string): string {
  return ownKey(folder, 'signing', () => generateSignerKey(`keyledger.local/${randomBytes(6).toString('hex')}`));
}

function ownKey(folder: string, what: string, generate: () => string): string {
  const file = join(folder, `${what}.key`);
  try {
    return read(file) ?? make(file, generate());
  } catch (error) {
    throw new UpRefused(`the ${what} key in ${file} cannot be used: ${(error as Error).message}`);
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
function make(file: string, key: string): string {
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
