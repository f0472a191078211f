// `npm run bench [-- names…]`: prepares the folder, then runs the named benchmarks, or all of them.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, Refusal, prepare, run, runScript } from './prepare.mjs';

await runScript(async () => {
  const entry = join(ROOT, 'test', 'bench', 'run.mjs');
  if (!existsSync(entry)) throw new Refusal('there are no benchmarks in test/bench yet');
  await prepare();
  process.exitCode = await run(process.execPath, [entry, ...process.argv.slice(2)]);
});
