import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from './folders.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyledger-folders-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a folder', () => {
  it('is made with what is missing above it, with its mode, and may be there already', () => {
    const path = join(folder, 'a', 'b', 'c');
    makeFolder(path, 0o700);
    makeFolder(path, 0o700);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it('may be there behind a link', () => {
    symlinkSync(folder, join(folder, 'link'));
    makeFolder(join(folder, 'link'));
    makeFolder(join(folder, 'link', 'new'));
    expect(existsSync(join(folder, 'new'))).toBe(true);
  });

  it('is refused where something else is, or is above it', () => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    for (const path of ['file', 'file/below', 'dangling', 'dangling/below']) {
      expect(() => makeFolder(join(folder, path))).toThrow();
    }
  });

  const onLinux = existsSync('/proc/self') ? it : it.skip;
  onLinux.each(['/proc/keyledger', '/proc/keyledger/data'])('is refused where none can be made: %s', (path) => {
    expect(() => makeFolder(path)).toThrow('ENOENT');
  });
});
