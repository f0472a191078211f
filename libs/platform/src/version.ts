import { existsSync, readFileSync } from 'node:fs';

/** The version of the package that a folder is part of, built or not. */
export function versionAbove(folder: URL): string {
  const manifest = new URL('package.json', folder);
  if (existsSync(manifest)) return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
  const parent = new URL('..', folder);
  return parent.href === folder.href ? 'unknown' : versionAbove(parent);
}
