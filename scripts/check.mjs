// `npm run check`: format, lint, types and dependency rules. Every step runs, also after one failed.
import { join } from 'node:path';
import { prepare, run, runScript } from './prepare.mjs';

const bin = (...path) => join('node_modules', ...path);
const cache = (name) => join('node_modules', '.cache', name);

const STEPS = [
  ['format', bin('prettier', 'bin', 'prettier.cjs'), '--check', '--log-level', 'warn', '.'],
  [
    'lint',
    bin('eslint', 'bin', 'eslint.js'),
    '--cache',
    '--cache-strategy',
    'content',
    '--cache-location',
    cache('eslint/'),
    '.',
  ],
  ['types', bin('typescript', 'bin', 'tsc'), '--noEmit', '--incremental', '--tsBuildInfoFile', cache('tsc.json')],
  [
    'dependencies',
    bin('dependency-cruiser', 'bin', 'dependency-cruise.mjs'),
    '--config',
    '.dependency-cruiser.cjs',
    'apps',
    'libs',
    'test',
  ],
];

await runScript(async () => {
  await prepare({ build: false, redis: false });
  const failed = [];
  for (const [name, ...command] of STEPS) {
    process.stdout.write(`== ${name}\n`);
    if ((await run(process.execPath, command)) !== 0) failed.push(name);
  }
  process.stdout.write(failed.length === 0 ? 'check: all good\n' : `check: failed: ${failed.join(', ')}\n`);
  if (failed.length > 0) process.exitCode = 1;
});
