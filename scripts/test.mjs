// `npm test [-- jest's own arguments]`: prepares the folder, then runs every suite against what was built. First the
// quick ones, then those that start whole systems: two at a time, because they wait more than they work. Arguments narrow
// both runs, e.g. a path or -t.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Refusal, prepare, run, runScript } from './prepare.mjs';

const RUNS = [
  ['--selectProjects', 'unit', 'contract', '--maxWorkers=2'],
  ['--selectProjects', 'e2e', 'fault', '--maxWorkers=2'],
];

await runScript(async () => {
  await prepare();
  const args = process.argv.slice(2);
  const runs = args.includes('--selectProjects') ? [['--maxWorkers=1']] : RUNS;
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const [index, options] of runs.entries()) {
    const report = join(folder, `${index}.json`);
    const code = await jest([...options, '--passWithNoTests', '--json', `--outputFile=${report}`, ...args]);
    if (code !== 0) process.exitCode = code;
    add(total, report);
  }
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  if (total.passed + total.failed + total.skipped === 0) throw new Refusal('no test matches these arguments');
});

function jest(args) {
  const entry = join('node_modules', 'jest', 'bin', 'jest.js');
  return run(process.execPath, ['--experimental-vm-modules', '--no-warnings', entry, ...args]);
}

// A suite that could not even start has no tests to count, yet has failed.
function add(total, report) {
  let result;
  try {
    result = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    total.failed += 1;
    return;
  }
  total.passed += result.numPassedTests;
  total.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
  total.skipped += result.numPendingTests + result.numTodoTests;
}
