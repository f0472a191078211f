import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ParentMessage } from '@keyledger/platform';
import { EXIT } from '../exit.js';
import { readable, worthShowing, type LogFile } from './logs.js';
import { PATIENCE_SECONDS, type Patience } from './patience.js';
import { UpMisconfigured, UpRefused } from './refusal.js';
import type { Watchdog } from './watchdog.js';

const FIRST_WORD_MS = 5_000;
const NEXT_WORD_MS = 30_000;
/** Longer than the ten seconds after which our own processes cut their stop off themselves. */
const STOP_TIMEOUT_MS = 12_000;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 5_000;
const HEALTHY_AFTER_MS = 30_000;
const FIRST_POLL_MS = 25;
const LONGEST_POLL_MS = 500;
const SHOWN_LINES = 15;

export interface ServiceOptions {
  name: string;
  /** Services of a lower stage are stopped first. */
  stage: number;
  /** In a session of its own, so that a Ctrl-C in the terminal reaches the supervisor only, who knows the order. */
  spawn(): ChildProcess;
  /** Throws, with the reason, until it can do its work: `NotReady` where the process itself says it. */
  checkReady(): Promise<void>;
  onMessage?(message: ParentMessage): void;
}

export interface Surroundings {
  log: LogFile;
  watchdog: Watchdog;
  patience: Patience;
  /** One line for the person at the terminal. */
  say(line: string): void;
}

/**
 * One process of the system: started, watched, started again when it dies. After the first start it never gives up;
 * the pause between tries grows from 250 ms to 5 s, and begins anew after half a minute of health.
 */
export class Service {
  private child: ChildProcess | undefined;
  private ended: Promise<void> = Promise.resolve();
  private readonly stopping = new AbortController();
  private lastLines: string[] = [];
  private unshown: string[] | undefined = [];

  constructor(
    private readonly options: ServiceOptions,
    private readonly surroundings: Surroundings,
  ) {}

  get name(): string {
    return this.options.name;
  }

  /**
   * A process that goes through a long log, after the loss of Redis say, is waited for as long as it takes.
   * @throws UpRefused with its last lines if it ends, or is not ready when patience is over
   */
  async start(): Promise<void> {
    const { patience } = this.surroundings;
    patience.renew();
    this.launch();
    const reason = await this.untilReady(patience);
    if (reason !== undefined) {
      const Refusal = this.child?.exitCode === EXIT.misconfigured ? UpMisconfigured : UpRefused;
      throw new Refusal(`${this.name} did not start: ${reason}${this.shownLines()}`);
    }
    for (const line of this.unshown ?? []) this.surroundings.say(line);
    this.unshown = undefined;
    void this.keepRunning();
  }

  /** SIGTERM, and SIGKILL to what takes longer than twelve seconds. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.stopping.abort();
    const { child } = this;
    if (!child || this.hasEnded()) return this.ended;
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.surroundings.say(`${this.name} did not stop in ${STOP_TIMEOUT_MS / 1000} s and is killed`);
      child.kill('SIGKILL');
    }, STOP_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }

  private async keepRunning(): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    let readySince = Date.now();
    for (;;) {
      await this.ended;
      if (this.stopping.signal.aborted) return;
      if (Date.now() - readySince > HEALTHY_AFTER_MS) backoffMs = FIRST_BACKOFF_MS;
      this.surroundings.say(`${this.name} ended (${this.ending()}); it is started again in ${backoffMs} ms`);
      await this.pause(backoffMs);
      if (this.stopping.signal.aborted) return;
      backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS);
      this.launch();
      readySince = Infinity;
      if ((await this.untilReady()) !== undefined) continue;
      readySince = Date.now();
      this.surroundings.say(`${this.name} is back`);
    }
  }

  /** Gives why it will not be ready: it ended, is being stopped, or patience is over; without it none ever is. */
  private async untilReady(patience?: Patience): Promise<string | undefined> {
    let nextWordAt = Date.now() + FIRST_WORD_MS;
    for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 1.5, LONGEST_POLL_MS)) {
      if (this.stopping.signal.aborted) return 'it was stopped';
      if (this.hasEnded()) {
        await this.ended;
        return `it ended (${this.ending()})`;
      }
      try {
        await this.options.checkReady();
        return undefined;
      } catch (error) {
        const { message } = error as Error;
        patience?.hear(this.name, error as Error);
        if (patience?.isOver) return `nothing has come forward for ${PATIENCE_SECONDS} s (${message})`;
        if (Date.now() >= nextWordAt) {
          this.surroundings.say(`${this.name} is not ready yet (${message})`);
          nextWordAt = Date.now() + NEXT_WORD_MS;
        }
      }
      await this.pause(pollMs);
    }
  }

  private launch(): void {
    const { name, stage } = this.options;
    const { watchdog } = this.surroundings;
    const child = this.options.spawn();
    this.child = child;
    this.read(child.stdout, false);
    this.read(child.stderr, true);
    child.on('message', (message) => this.options.onMessage?.(message as ParentMessage));
    child.on('error', (error) => this.keep(`${name}: ${error.message}`, true));
    if (child.pid !== undefined) watchdog.watch(child.pid, stage);
    this.ended = new Promise((resolve) => {
      child.once('close', () => {
        if (child.pid !== undefined) watchdog.unwatch(child.pid);
        resolve();
      });
    });
  }

  private hasEnded(): boolean {
    const { child } = this;
    return !child || child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  private ending(): string {
    return this.child?.signalCode ?? `exit code ${this.child?.exitCode}`;
  }

  private read(stream: Readable | null, isStandardError: boolean): void {
    if (!stream) return;
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => this.keep(line, isStandardError));
  }

  private keep(line: string, isStandardError: boolean): void {
    this.surroundings.log.write(line);
    this.lastLines = [...this.lastLines.slice(1 - SHOWN_LINES), line];
    const shown = worthShowing(line, isStandardError);
    if (shown === undefined) return;
    // A start that fails shows its last lines in any case; only one that succeeds shows its warnings by themselves.
    if (this.unshown) this.unshown.push(`${this.name}: ${shown}`);
    else this.surroundings.say(`${this.name}: ${shown}`);
  }

  private shownLines(): string {
    return this.lastLines.map((line) => `\n  ${readable(line)}`).join('');
  }

  private async pause(ms: number): Promise<void> {
    const { signal } = this.stopping;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }
}
