/** How long `keyledger up` takes on a built tree, from the command to the line that says it is up; and its memory. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { freePort, residentMib, ROOT, start, stop, temporaryFolder } from './processes.mjs';
import { median, report } from './report.mjs';
import { until } from './system.mjs';

const APPS = ['api', 'verifier', 'worker', 'eventstore', 'redis'];

export async function benchStart() {
  const folder = temporaryFolder();
  const env = { KEYLEDGER_DATA_DIR: join(folder, 'data') };
  for (const app of APPS) env[`KEYLEDGER_${app.toUpperCase()}_PORT`] = String(await freePort());
  const rows = [];
  for (const kind of ['first, empty data folder', 'second', 'third', 'fourth']) {
    const began = performance.now();
    const child = start(process.execPath, [join(ROOT, 'dist/apps/cli/src/main.js'), 'up'], { env });
    await until('keyledger to be up', child, async () => child.output.includes('keyledger is up'));
    rows.push({ start: kind, seconds: (performance.now() - began) / 1000 });
    if (kind === 'fourth') report('memory of each process after start', memoryBelow(child.pid));
    await stop(child);
  }
  report('start of `up` on a built tree', rows, { 'seconds, median': median(rows.map(({ seconds }) => seconds)) });
}

function memoryBelow(pid) {
  const children = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(pid)], { encoding: 'utf8' });
  return children
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .map(([child, ...words]) => ({
      process:
        words
          .join(' ')
          .match(/apps\/(\w+)\/|(redis-server)/)
          ?.slice(1)
          .find(Boolean) ?? words[0],
      'resident MiB': Math.round(residentMib(child)),
    }));
}
