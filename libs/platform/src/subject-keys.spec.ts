import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sealing, SealingUnavailable } from './sealing.js';
import { SubjectKeys } from './subject-keys.js';

const sealing = new Sealing([{ id: 'k1', key: randomBytes(32) }]);
const at = '2026-11-24T10:00:00.000Z';
let folder: string;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'keyledger-subjects-')), 'subjects');
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

const opened = (nowMs?: () => number) => new SubjectKeys(folder, sealing, nowMs);
const contents = (): string =>
  readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'latin1'))
    .join('\n');

describe('the key of a subject', () => {
  it('is the same for every process, also when many make it at once', async () => {
    const made = await Promise.all(Array.from({ length: 12 }, () => opened().forNew('person', 'jane@example.com')));
    const [first] = made;
    for (const one of made) expect(one).toEqual(first);
    expect(first).toMatchObject({ generation: 1, subjectId: expect.stringMatching(/^[0-9A-Za-z]{22}$/) });
    expect(readdirSync(folder).toSorted()).toEqual([`${first?.subjectId}.1.json`, 'index.key'].toSorted());
  });

  it('lies in a file for its owner alone, with neither the key nor the name readable', async () => {
    const { key, subjectId } = await opened().forNew('person', 'jane@example.com');
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(contents()).not.toContain('jane');
    expect(contents()).not.toContain(key.toString('base64'));
    expect(await opened().show(subjectId)).toMatchObject({ kind: 'person', name: 'jane@example.com' });
  });

  it('makes its folder with what is missing above it, for its owner alone, also when the folder was lost', async () => {
    const keys = new SubjectKeys(join(folder, 'a', 'b'), sealing);
    await keys.forNew('owner', 'app');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    rmSync(folder, { recursive: true });
    await keys.forNew('owner', 'other');
    expect(readdirSync(join(folder, 'a', 'b'))).toHaveLength(1);
  });

  const onLinux = existsSync('/proc/self') ? it : it.skip;
  onLinux.each(['/proc/keyledger', '/proc/keyledger/subjects'])(
    'is refused, and not waited for, where no folder can be made: %s',
    async (path) => {
      await expect(new SubjectKeys(path, sealing).forNew('owner', 'app')).rejects.toThrow('ENOENT');
    },
  );

  it('is one for a person however the name is spelt, and of a kind of its own', async () => {
    const keys = opened();
    const jane = await keys.idOf('person', 'jane@example.com');
    expect(await keys.idOf('person', ' Jane@Example.COM')).toBe(jane);
    expect(await keys.idOf('owner', 'jane@example.com')).not.toBe(jane);
    expect(await keys.idOf('owner', 'App')).not.toBe(await keys.idOf('owner', 'app'));
  });

  it('has an id that nobody gets from the name without the folder', async () => {
    const jane = await opened().idOf('person', 'jane@example.com');
    const elsewhere = new SubjectKeys(join(folder, '..', 'other'), sealing);
    expect(await elsewhere.idOf('person', 'jane@example.com')).not.toBe(jane);
  });

  it('cannot be made or read without a sealing key', async () => {
    const { subjectId } = await opened().forNew('owner', 'app');
    const keyless = new SubjectKeys(folder, new Sealing([]));
    expect(keyless.available).toBe(false);
    await expect(keyless.forNew('owner', 'app')).rejects.toThrow(SealingUnavailable);
    await expect(keyless.find(subjectId, 1)).rejects.toThrow(SealingUnavailable);
  });
});

describe('a destroyed key', () => {
  it('is gone from the disk, and new data gets one of the next generation', async () => {
    const keys = opened();
    const { subjectId, key } = await keys.forNew('owner', 'app');
    const sealed = readFileSync(join(folder, `${subjectId}.1.json`), 'utf8').match(/k1\.[\w-]+/)?.[0] ?? '';
    expect(sealed.length).toBeGreaterThan(60);
    expect(await keys.destroy(subjectId, 'owner', 1, at)).toEqual([1]);
    expect(contents()).not.toContain(sealed);
    expect(await keys.find(subjectId, 1)).toBe('destroyed');
    const later = await keys.forNew('owner', 'app');
    expect(later).toMatchObject({ subjectId, generation: 2 });
    expect(later.key).not.toEqual(key);
    expect((await keys.show(subjectId))?.keys).toEqual([
      { subjectId, kind: 'owner', generation: 1, destroyedAt: at },
      { subjectId, kind: 'owner', generation: 2, createdAt: expect.any(String) },
    ]);
  });

  it('is destroyed once, whoever does it again', async () => {
    const { subjectId } = await opened().forNew('owner', 'app');
    expect(await opened().destroy(subjectId, 'owner', 1, at)).toEqual([1]);
    expect(await opened().destroy(subjectId, 'owner', 1, '2027-01-01T00:00:00.000Z')).toEqual([]);
    expect((await opened().show(subjectId))?.keys[0]?.destroyedAt).toBe(at);
  });

  it('is forgotten by a process that was not told, within five seconds', async () => {
    let now = 0;
    const other = opened(() => now);
    const { subjectId } = await other.forNew('owner', 'app');
    await opened().destroy(subjectId, 'owner', 1, at);
    now = 5001;
    expect(await other.find(subjectId, 1)).toBe('destroyed');
    expect(await other.forNew('owner', 'app')).toMatchObject({ generation: 2 });
  });

  it('that a backup of the folder brings back is destroyed again, and one that is lost cannot be made anew', async () => {
    const { subjectId } = await opened().forNew('owner', 'app');
    const backup = `${folder}.backup`;
    cpSync(folder, backup, { recursive: true });
    await opened().destroy(subjectId, 'owner', 1, at);
    rmSync(folder, { recursive: true });
    cpSync(backup, folder, { recursive: true });
    expect(await opened().destroy(subjectId, 'owner', 1, at)).toEqual([1]);
    rmSync(join(folder, `${subjectId}.1.json`));
    await opened().destroy(subjectId, 'owner', 1, at);
    expect(await opened().forNew('owner', 'app')).toMatchObject({ generation: 2 });
  });

  it('whose file was cut off by a crash is destroyed all the same', async () => {
    const { subjectId } = await opened().forNew('owner', 'app');
    const file = join(folder, `${subjectId}.1.json`);
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, 40));
    await expect(opened().find(subjectId, 1)).rejects.toThrow('damaged');
    expect(await opened().destroy(subjectId, 'owner', 1, at)).toEqual([1]);
    expect(await opened().find(subjectId, 1)).toBe('destroyed');
  });
});
