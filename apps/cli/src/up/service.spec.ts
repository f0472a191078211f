import { afterEach, expect, it, jest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotReady } from './health.js';
import { LogFile } from './logs.js';
import { Patience } from './patience.js';
import { UpRefused } from './refusal.js';
import { Service } from './service.js';
import { Watchdog } from './watchdog.js';

const folder = mkdtempSync(join(tmpdir(), 'keyledger-test-'));
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const onItsWay = (done: Record<string, number>): NotReady => new NotReady('readModel: it is being rebuilt', done);

/** A process that says this of itself, a minute apart, and is ready after the last of it. */
function starting(answers: readonly Error[]): { started: Promise<void>; said: string[] } {
  const said: string[] = [];
  let now = Date.now();
  jest.spyOn(Date, 'now').mockImplementation(() => now);
  const left = answers.values();
  const watchdog = new Watchdog();
  const log = new LogFile(folder, 'one');
  const service = new Service(
    {
      name: 'one',
      stage: 0,
      spawn: () => spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'pipe' }),
      checkReady: async () => {
        now += 60_000;
        const { value } = left.next();
        if (value) throw value;
      },
    },
    { log, watchdog, patience: new Patience(), say: (line) => said.push(line) },
  );
  ends.push(async () => {
    await service.stop();
    await watchdog.end();
    log.close();
  });
  return { started: service.start(), said };
}

it('a start that comes nearer to its end is waited for, however long it takes, and what it waits for is said', async () => {
  const usage = [{ usage: 1 }, { usage: 900, readModel: 1 }];
  const readModel = [2, 2, 3, 500, 500, 501].map((done) => ({ readModel: done }));
  const { started, said } = starting([new Error('refused'), ...[...usage, ...readModel].map(onItsWay)]);
  await expect(started).resolves.toBeUndefined();
  expect(said).toContain('one is not ready yet (readModel: it is being rebuilt)');
});

it('a start that comes no nearer for two minutes is given up, saying what it waited for', async () => {
  const { started } = starting([5, 4, 5, 3, 5, 5].map((done) => onItsWay({ readModel: done })));
  await expect(started).rejects.toThrow(UpRefused);
  await expect(started).rejects.toThrow(
    'one did not start: nothing has come forward for 120 s (readModel: it is being rebuilt)',
  );
});
