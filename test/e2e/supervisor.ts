import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { claimPort, eventually, isAlive, RealProcess, temporaryFolder } from '../support/index.js';

export const PORT_VARIABLES = {
  redis: 'KEYLEDGER_REDIS_PORT',
  eventstore: 'KEYLEDGER_EVENTSTORE_PORT',
  api: 'KEYLEDGER_API_PORT',
  verifier: 'KEYLEDGER_VERIFIER_PORT',
  worker: 'KEYLEDGER_WORKER_PORT',
} as const;
export type ServiceName = keyof typeof PORT_VARIABLES;

export interface Supervisor {
  process: RealProcess;
  ports: Record<ServiceName, number>;
  folder: string;
  /** Starts it and waits for "keyledger is up". */
  start(): Promise<void>;
  /** The processes that it started, by what they run. */
  children(): Child[];
  /** The process of one service. */
  child(name: ServiceName): number;
}

export interface Child {
  pid: number;
  command: string;
}

export interface SupervisorOptions {
  folder?: string;
  ports?: Record<ServiceName, number>;
  env?: NodeJS.ProcessEnv;
}

/** `keyledger up` with these arguments, on ports of its own. */
export async function supervisor(args: readonly string[], options: SupervisorOptions = {}): Promise<Supervisor> {
  const folder = options.folder ?? join(temporaryFolder(), 'data');
  const ports = options.ports ?? (await ownPorts());
  const names = Object.keys(PORT_VARIABLES) as ServiceName[];
  const variables = Object.fromEntries(names.map((name) => [PORT_VARIABLES[name], String(ports[name])]));
  let seen = 0;
  const up = new RealProcess({
    name: 'keyledger up',
    program: process.execPath,
    args: ['dist/apps/cli/src/main.js', 'up', '--data-dir', folder, ...args],
    env: { ...variables, ...options.env },
    ready: (self) => upLines(self).length > seen,
  });
  return {
    process: up,
    ports,
    folder,
    start: async () => {
      seen = upLines(up).length;
      await up.start();
    },
    children: () => childrenOf(up.pid),
    child: (name) => {
      const mark = name === 'redis' ? /redis-server|valkey-server/ : new RegExp(`/apps/${name}/src/main\\.js`);
      const found = childrenOf(up.pid).find(({ command }) => mark.test(command));
      if (!found) throw new Error(`${name} does not run`);
      return found.pid;
    },
  };
}

/** The lines by which it says that it is up. */
export function upLines(up: RealProcess): string[] {
  return up
    .logs()
    .split('\n')
    .filter((line) => line.startsWith('keyledger is up'));
}

export async function expectGone(children: readonly Child[]): Promise<void> {
  await eventually('every process of it is gone', () => {
    const left = children.filter(({ pid }) => isAlive(pid));
    if (left.length > 0) throw new Error(left.map(({ pid, command }) => `${pid} ${command}`).join('\n'));
  });
}

/** Whether a refused start left its folder to the next one. */
export function isTaken(folder: string): boolean {
  return existsSync(join(folder, 'up.lock'));
}

async function ownPorts(): Promise<Record<ServiceName, number>> {
  const claims = await Promise.all(Object.keys(PORT_VARIABLES).map(async (name) => [name, (await claimPort()).port]));
  return Object.fromEntries(claims) as Record<ServiceName, number>;
}

function childrenOf(parent: number): Child[] {
  const lines = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const [, pid, ppid, command = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return Number(ppid) === parent && !/<defunct>|^ps /.test(command) ? [{ pid: Number(pid), command }] : [];
  });
}
