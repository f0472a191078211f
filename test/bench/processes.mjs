/** Real processes for benchmarks: start, pin to a core, count their CPU time and memory, and end them all. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';

const started = [];
const folders = [];

export const ROOT = new URL('../../', import.meta.url).pathname;

export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-bench-'));
  folders.push(folder);
  return folder;
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A process; `core` pins it, with all of its threads, where the machine has `taskset`. */
export function start(command, args, { core, env, stdin } = {}) {
  const pinned = core !== undefined && canPin ? ['taskset', ['-c', String(core), command, ...args]] : [command, args];
  const child = spawn(...pinned, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (child.output = (child.output + text).slice(-20_000_000)));
  }
  child.stdin.on('error', () => undefined);
  if (stdin !== undefined) child.stdin.end(stdin);
  started.push(child);
  return child;
}

export const canPin = (() => {
  try {
    execFileSync('taskset', ['-c', '0', 'true']);
    return true;
  } catch {
    return false;
  }
})();

/** The first JSON line that the process prints and that has the wanted member. */
export async function firstJson(child, member, timeoutMs = 120_000) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    for (const line of child.output.split('\n').slice(0, -1)) {
      if (line.startsWith('{') && line.includes(`"${member}"`)) return JSON.parse(line);
    }
    if (child.exitCode !== null) throw new Error(`it stopped early:\n${child.output.slice(-2000)}`);
    if (Date.now() > deadline) throw new Error(`no "${member}" in ${timeoutMs} ms:\n${child.output.slice(-2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** CPU seconds, user and system, that a process has used so far. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function residentMib(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Runs the load generator in a process of its own and gives its figures. */
export async function load(options, core) {
  const child = start(process.execPath, ['test/bench/load-generator.mjs', '-'], {
    core,
    stdin: JSON.stringify(options),
  });
  return firstJson(child, 'requests', options.seconds * 1000 + 30_000);
}

export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await once(child, 'exit');
  clearTimeout(timer);
}

export async function stopAll() {
  for (const child of started.reverse()) await stop(child);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
