import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and what is missing above it, level by level: `mkdir` with `recursive` never comes back from a place
 * like /proc, where a folder can be neither made nor missed (Node 20).
 * @throws Error of the file system
 */
export function makeFolder(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isFolder(path)) return;
    const parent = dirname(path);
    const isParentMissing = (error as NodeJS.ErrnoException).code === 'ENOENT' && parent !== path && !isFolder(parent);
    if (!isParentMissing) throw error;
    makeFolder(parent, mode);
    makeFolder(path, mode);
  }
}

/** Also false of what cannot be looked at. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
