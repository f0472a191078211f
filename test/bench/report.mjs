/** How every benchmark speaks: the machine once, then a table and one JSON line a benchmark. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

export function machine() {
  const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'));
  const version = (name) => lock.packages[`node_modules/${name}`]?.version;
  return {
    cpu: cpus()[0]?.model.trim(),
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    redis: execFileSync('redis-server', ['--version'], { encoding: 'utf8' }).match(/v=([\d.]+)/)?.[1],
    fastify: version('fastify'),
    nest: version('@nestjs/core'),
    ioredis: version('ioredis'),
    kurrentdbClient: version('@kurrent/kurrentdb-client'),
  };
}

/** Prints rows of one shape as a Markdown table, and everything as one JSON line behind it. */
export function report(name, rows, figures = {}) {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log(`\n## ${name}\n`);
  if (rows.length > 0) console.log(`${line(columns)}\n${line(columns.map(() => '---'))}`);
  for (const row of rows) console.log(line(columns.map((column) => show(row[column]))));
  for (const [figure, value] of Object.entries(figures)) console.log(`\n${figure}: ${show(value)}`);
  console.log(`\n${JSON.stringify({ bench: name, rows, figures })}`);
}

function show(value) {
  if (typeof value !== 'number') return String(value);
  return Number.isInteger(value) ? value.toLocaleString('en') : value.toPrecision(3);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1))] ?? Number.NaN;
}
