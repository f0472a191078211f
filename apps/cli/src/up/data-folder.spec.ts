import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { takeDataFolder } from './data-folder.js';
import { UpMisconfigured } from './refusal.js';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;
let above: string, folder: string;

beforeEach(() => {
  above = mkdtempSync(join(tmpdir(), 'keyledger-data-'));
  folder = join(above, 'data');
  chmodSync(above, 0o755);
  mkdirSync(folder);
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(above, { recursive: true });
});

/** Modes hold for everybody but root. */
function asSomebody<T>(act: () => T): T {
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    return act();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

describe('a data folder', () => {
  it('is taken by one, and free again when that one lets it go', () => {
    const taken = asSomebody(() => takeDataFolder(folder));
    expect(() => takeDataFolder(folder)).toThrow('in use by another');
    asSomebody(() => taken.release());
    expect(existsSync(join(folder, 'up.lock'))).toBe(false);
  });

  it.each([
    ['written', 0o500],
    ['read', 0o300],
    ['entered', 0o600],
  ])('that cannot be %s by this user is refused as what KEYLEDGER_DATA_DIR is wrong about', (_, mode) => {
    chmodSync(folder, mode);
    const take = () => asSomebody(() => takeDataFolder(folder));
    expect(take).toThrow(UpMisconfigured);
    expect(take).toThrow(`KEYLEDGER_DATA_DIR is "${folder}", which cannot be used: EACCES`);
  });
});
