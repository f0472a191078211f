import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './exit.js';
import { readSecretFile, SecretFile } from './secret-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyledger-secret-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a file for a secret', () => {
  it('holds the secret, for its owner only, and leaves nothing beside it', async () => {
    const path = join(folder, 'billing.key');
    const file = await SecretFile.reserve(path);
    await file.write('acme_live_x');
    expect(readFileSync(path, 'utf8')).toBe('acme_live_x\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['billing.key']);
    expect(await readSecretFile(path)).toBe('acme_live_x');
  });

  it('is refused before any request when its name is taken, by a dangling link too', async () => {
    writeFileSync(join(folder, 'taken'), 'something');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'link'));
    await expect(SecretFile.reserve(join(folder, 'taken'))).rejects.toBeInstanceOf(UsageError);
    await expect(SecretFile.reserve(join(folder, 'link'))).rejects.toBeInstanceOf(UsageError);
    expect(readFileSync(join(folder, 'taken'), 'utf8')).toBe('something');
  });

  it.each([
    ['no name', () => ''],
    ['the name of a folder', () => join(folder, 'new/')],
    ['a name that no file may have', () => join(folder, 'x'.repeat(256))],
  ])('is refused before any request when it has %s', async (_, path) => {
    await expect(SecretFile.reserve(path())).rejects.toBeInstanceOf(UsageError);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('may have the longest name that a file may have', async () => {
    const name = 'x'.repeat(255);
    const file = await SecretFile.reserve(join(folder, name));
    await file.write('acme_live_x');
    expect(readdirSync(folder)).toEqual([name]);
  });

  it('is refused before any request when its folder does not exist', async () => {
    await expect(SecretFile.reserve(join(folder, 'none', 'billing.key'))).rejects.toBeInstanceOf(UsageError);
  });

  it('does not write over a file that came in between, and says where the secret stands instead', async () => {
    const path = join(folder, 'billing.key');
    const file = await SecretFile.reserve(path);
    writeFileSync(path, 'of somebody else');
    const error = (await file.write('acme_live_x').catch((failure: unknown) => failure)) as Error;
    expect(readFileSync(path, 'utf8')).toBe('of somebody else');
    const draft = error.message.split('the secret stands in ')[1] ?? '';
    expect(readFileSync(draft, 'utf8')).toBe('acme_live_x\n');
  });

  it('is gone when the request gave no secret', async () => {
    const file = await SecretFile.reserve(join(folder, 'billing.key'));
    await file.discard();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is read only if it holds one key', async () => {
    writeFileSync(join(folder, 'two'), 'one\ntwo\n');
    writeFileSync(join(folder, 'empty'), '\n');
    await expect(readSecretFile(join(folder, 'two'))).rejects.toBeInstanceOf(UsageError);
    await expect(readSecretFile(join(folder, 'empty'))).rejects.toBeInstanceOf(UsageError);
  });
});
