import { execFileSync } from 'node:child_process';
import { opendirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Folders that hold what others wrote. The history of a repository is scanned by `--git`. */
const SKIPPED_FOLDERS = ['.git', 'node_modules'];
/** As git does, a file with a NUL in its beginning is taken for binary. */
const LOOKED_AT_BYTES = 8000;
const LIST_BYTES = 1 << 30;

export interface FileRules {
  /** Names of further files and folders that are passed over, wherever they are. */
  exclude: readonly string[];
  /** Leaves out what git ignores. */
  skipIgnored: boolean;
  binary: boolean;
}

/** The regular files below a path, or the file that it names; links are followed only where they are named. */
export function* filesBelow(
  path: string,
  rules: FileRules,
  onError: (path: string, error: Error) => void,
): Generator<string> {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    return onError(path, error as Error);
  }
  if (!isFolder) yield path;
  else if (rules.skipIgnored) yield* filesOfGit(path, rules, onError);
  else yield* walk(path, rules, onError);
}

function* walk(folder: string, rules: FileRules, onError: (path: string, error: Error) => void): Generator<string> {
  const folders: string[] = [];
  try {
    const entries = opendirSync(folder);
    try {
      for (let entry = entries.readSync(); entry; entry = entries.readSync()) {
        if (isPassedOver(entry.name, rules)) continue;
        if (entry.isDirectory()) folders.push(entry.name);
        else if (entry.isFile()) yield join(folder, entry.name);
      }
    } finally {
      entries.closeSync();
    }
  } catch (error) {
    onError(folder, error as Error);
  }
  for (const name of folders.sort()) yield* walk(join(folder, name), rules, onError);
}

function* filesOfGit(
  folder: string,
  rules: FileRules,
  onError: (path: string, error: Error) => void,
): Generator<string> {
  let listed: string;
  try {
    const args = ['-C', folder, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'];
    listed = execFileSync('git', args, { encoding: 'utf8', maxBuffer: LIST_BYTES, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    return onError(folder, error as Error);
  }
  for (const name of new Set(listed.split('\0'))) {
    if (name === '' || name.split('/').some((part) => isPassedOver(part, rules))) continue;
    const path = join(folder, name);
    // Deleted but not yet committed, a link, or another repository.
    if (statSync(path, { throwIfNoEntry: false })?.isFile()) yield path;
  }
}

function isPassedOver(name: string, { exclude }: FileRules): boolean {
  return SKIPPED_FOLDERS.includes(name) || exclude.includes(name);
}

export function isBinary(piece: Buffer): boolean {
  return piece.subarray(0, LOOKED_AT_BYTES).includes(0);
}
