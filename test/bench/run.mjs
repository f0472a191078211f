/**
 * `npm run bench [-- verify|projection|jobs|start|leaks|scan|audit|audit-proof|long-log …]`: all benchmarks, or those that
 * are named; `audit` is both of its own, and `long-log`, which takes an hour and ten gigabytes, has to be named.
 */
import { benchAudit } from './audit.bench.mjs';
import { benchAuditProof } from './audit-proof.bench.mjs';
import { benchLeaks } from './leaks.bench.mjs';
import { benchLongLog } from './long-log.bench.mjs';
import { benchJobs } from './jobs.bench.mjs';
import { benchProjection } from './projection.bench.mjs';
import { stopAll } from './processes.mjs';
import { machine } from './report.mjs';
import { benchScan } from './scan.bench.mjs';
import { benchStart } from './start.bench.mjs';
import { benchVerify } from './verify.bench.mjs';

const BENCHES = {
  verify: benchVerify,
  projection: benchProjection,
  jobs: benchJobs,
  start: benchStart,
  leaks: benchLeaks,
  scan: benchScan,
  audit: benchAudit,
  'audit-proof': benchAuditProof,
  'long-log': benchLongLog,
};
const USUAL = Object.keys(BENCHES).filter((name) => name !== 'long-log');

const names = process.argv.slice(2).flatMap((name) => (name === 'audit' ? [name, 'audit-proof'] : name));
const unknown = names.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`no benchmark is called ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
console.log(JSON.stringify({ machine: machine() }));
try {
  for (const name of names.length > 0 ? names : USUAL) await BENCHES[name]();
} finally {
  await stopAll();
}
process.exit(0);
