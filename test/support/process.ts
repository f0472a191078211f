import { fork, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Watchdog } from '../../apps/cli/src/up/watchdog.js';
import { eventually } from './eventually.js';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const STOP_TIMEOUT_MS = 20_000;
const SHOWN_LINES = 40;
const KEPT_CHARACTERS = 20_000_000;

export interface ProcessOptions {
  name: string;
  /** A built JavaScript file below the repository's root, run with an IPC channel; or a program on PATH. */
  module?: string;
  program?: string;
  args?: readonly string[];
  /** Set on top of this process's environment, from which everything of Keyledger is taken out first. */
  env?: NodeJS.ProcessEnv;
  /** Throws, or gives false, until the process can be used. */
  ready?: (self: RealProcess) => unknown;
  readyTimeoutMs?: number;
}

const running = new Set<RealProcess>();
const folders = new Set<string>();
/** Ends the processes of a test process that was itself killed. */
const watchdog = new Watchdog();

/** A process of a test that can be stopped, killed, frozen and started again; its output is kept, its end is certain. */
export class RealProcess {
  private child: ChildProcess | undefined;
  private output = '';
  private messages: Record<string, unknown>[] = [];

  constructor(private readonly options: ProcessOptions) {}

  get pid(): number {
    const pid = this.child?.pid;
    if (pid === undefined) throw new Error(`${this.options.name} does not run`);
    return pid;
  }

  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The code with which it ended; `null` while it runs or when a signal ended it. */
  get exitCode(): number | null {
    return this.child?.exitCode ?? null;
  }

  /** Starts it and waits until it is ready. One that ends before, or is not ready in time, fails with its last lines. */
  async start(): Promise<void> {
    const { name, ready, readyTimeoutMs = 60_000 } = this.options;
    if (this.isRunning) throw new Error(`${name} runs already`);
    this.launch();
    const isReadyOrEnded = async () => !this.isRunning || (await ready?.(this));
    try {
      await eventually(`${name} is ready`, isReadyOrEnded, { timeoutMs: readyTimeoutMs });
      if (!this.isRunning) throw new Error(`${name} ended before it was ready, with ${this.ending()}`);
    } catch (error) {
      await this.kill();
      throw this.withLines(error as Error);
    }
  }

  /** Starts it again in the same way, after stopping it if it runs. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Starts it and waits until it has ended. */
  async runToEnd({ timeoutMs = 60_000 } = {}): Promise<number | null> {
    this.launch();
    await this.ended(timeoutMs);
    return this.exitCode;
  }

  /** Everything it wrote to standard output and standard error, over all its starts; at most the last 20 million characters. */
  logs(): string {
    return this.output;
  }

  /** The first IPC message of that type since the last start. */
  message(type: string): Record<string, unknown> | undefined {
    return this.messages.find((message) => message.type === type);
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** SIGSTOP: it is there, its connections stay open, and it does nothing. */
  freeze(): void {
    this.signal('SIGSTOP');
  }

  thaw(): void {
    this.signal('SIGCONT');
  }

  /** SIGKILL; resolves when it is gone. Does nothing if it does not run. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    this.signal('SIGKILL');
    await this.ended(STOP_TIMEOUT_MS);
  }

  /** SIGTERM; resolves when it is gone. One that does not go in time is killed, and that is an error. */
  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.thaw();
    this.signal('SIGTERM');
    try {
      await this.ended(STOP_TIMEOUT_MS);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** Resolves when it is gone. */
  async ended(timeoutMs = 60_000): Promise<void> {
    try {
      await eventually(`${this.options.name} has ended`, () => !this.isRunning, { timeoutMs });
    } catch (error) {
      throw this.withLines(error as Error);
    }
  }

  private launch(): void {
    const { name, module, program, args = [], env } = this.options;
    this.messages = [];
    const options = { cwd: ROOT, env: { ...cleanEnvironment(), ...env } };
    const child =
      module !== undefined
        ? fork(join(ROOT, module), args, { ...options, execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
        : spawn(program ?? name, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    running.add(this);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.keep(text));
    }
    child.on('message', (message) => this.messages.push(message as Record<string, unknown>));
    child.on('error', (error) => this.keep(`${error.message}\n`));
    child.once('exit', () => {
      running.delete(this);
      if (child.pid !== undefined) watchdog.unwatch(child.pid);
    });
    if (child.pid !== undefined) watchdog.watch(child.pid, 0);
  }

  private keep(text: string): void {
    this.output = (this.output + text).slice(-KEPT_CHARACTERS);
  }

  private ending(): string {
    return this.child?.signalCode ?? `exit code ${this.child?.exitCode}`;
  }

  private withLines(error: Error): Error {
    const lines = this.output.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n');
    return new Error(`${error.message}\n--- last lines of ${this.options.name}:\n${lines}`, { cause: error });
  }
}

/** A new empty folder, removed when the test file ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-test-'));
  folders.add(folder);
  return folder;
}

/** Whether a process of that id runs; one that has ended and was not yet collected does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(KEYLEDGER_|REDIS_URL$|EVENTSTORE_URL$|NODE_OPTIONS$|NODE_ENV$|JEST_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}

async function endAll(): Promise<void> {
  const left = [...running];
  await Promise.all(left.map((one) => one.kill()));
  await watchdog.end();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

// Under jest every test file has its own copy of this module, and ends with this.
(globalThis as { afterAll?: (hook: () => Promise<void>, timeoutMs: number) => void }).afterAll?.(endAll, 60_000);
