import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { claimPort, http, RealProcess, startSystem, temporaryFolder, type System } from '../support/index.js';

const DIRECTORY = 'KEYLEDGER_SUBJECT_KEYS_DIR';
const folder = temporaryFolder();
const file = join(folder, 'file');
const dangling = join(folder, 'dangling');
writeFileSync(file, '');
symlinkSync(join(folder, 'nowhere'), dangling);

describe('a process that keeps personal data', () => {
  const places = [file, dangling, '/proc/nope'];

  it.each(['api', 'worker'])(
    'ends at its start where the chosen folder cannot be one, naming the variable: %s',
    (name) =>
      Promise.all(
        places.map(async (place) => {
          const { port } = await claimPort();
          const one = new RealProcess({
            name,
            module: `dist/apps/${name}/src/main.js`,
            env: {
              REDIS_URL: 'redis://127.0.0.1:1',
              EVENTSTORE_URL: 'kurrentdb://127.0.0.1:1?tls=false',
              KEYLEDGER_DATA_DIR: temporaryFolder(),
              [`KEYLEDGER_${name.toUpperCase()}_PORT`]: String(port),
              [DIRECTORY]: place,
            },
          });
          expect(await one.runToEnd()).toBe(78);
          expect(one.logs()).toContain(`${DIRECTORY} is "${place}": it is no folder`);
        }),
      ),
  );
});

describe('a folder of subject keys that cannot be written', () => {
  const dataDir = temporaryFolder();
  const chosen = join(temporaryFolder(), 'subjects');
  let system: System;

  afterAll(() => system?.stop());

  const change = (prefix: string) =>
    http(system.api.baseUrl, system.adminKey).post(
      '/v1/keyspaces',
      { name: prefix, prefix },
      { 'x-keyledger-on-behalf-of': `${prefix}@example.com` },
    );

  describe('where none was chosen', () => {
    beforeAll(async () => {
      writeFileSync(join(dataDir, 'subjects'), '');
      system = await startSystem({ KEYLEDGER_DATA_DIR: dataDir, [DIRECTORY]: undefined });
    });
    afterAll(() => system.stop());

    it('stops neither the start nor a change, and the log says so', async () => {
      expect((await change('defaults')).status).toBe(201);
      expect(system.api.logs()).toContain('personal data is left out');
    });
  });

  describe('where one was chosen and is lost later', () => {
    beforeAll(async () => {
      system = await startSystem({ [DIRECTORY]: chosen });
    });

    it('stops no change, and the log says so', async () => {
      expect((await change('before')).status).toBe(201);
      expect(system.api.logs()).not.toContain('personal data is left out');
      rmSync(chosen, { recursive: true });
      writeFileSync(chosen, '');
      expect((await change('later')).status).toBe(201);
      expect(system.api.logs()).toContain('personal data is left out');
    });
  });
});
