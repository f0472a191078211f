import type { Command } from 'commander';
import { UsageError } from './exit.js';
import type { Call, HttpClient } from './http-client.js';
import { interruptible } from './interruption.js';
import { json, type Terminal } from './print.js';
import { VERSION } from './version.js';

export const DEFAULT_URL = 'http://127.0.0.1:7400';

/** Options that stand on the program itself and hold for every command. */
export interface GlobalOptions {
  url?: string;
  keyFile?: string;
  json?: boolean;
  timeout: number;
}

/** Options of every command that changes something. */
export interface ChangeOptions {
  reason?: string;
  onBehalfOf?: string;
  idempotencyKey?: string;
}

/** How a change is sent. */
export interface ChangeMode {
  /** Only if the resource still has this revision. */
  ifMatch?: number;
  /** A POST that knows no Idempotency-Key: sent once. */
  once?: boolean;
  timeoutMs?: number;
  /** Whoever has to take something back when a signal comes hears it himself (`interruptible`). */
  stop?: AbortSignal;
}

/** One run of a command: its options, its way to the server and its way to the person or program that called it. */
export class Session {
  readonly options: GlobalOptions;

  constructor(
    readonly terminal: Terminal,
    command: Command,
  ) {
    this.options = command.optsWithGlobals<GlobalOptions>();
  }

  /** A call with the credential of KEYLEDGER_KEY or `--key-file`. @throws UsageError without one, before it sends. */
  async call<T>(call: Call): Promise<T> {
    return (await this.client()).call<T>(call);
  }

  /** An answer of any length, to standard output as it comes. */
  async copy(call: Call, silenceMs: number): Promise<void> {
    const client = await this.client();
    for await (const text of client.stream(call, { silenceMs })) this.terminal.stdout.write(text);
  }

  /** As `copy`, but every line is looked at. */
  async *lines(call: Call, silenceMs: number): AsyncGenerator<string> {
    const client = await this.client();
    let rest = '';
    for await (const text of client.stream(call, { silenceMs })) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  }

  /** The body of an answer that is no JSON, as it comes. */
  async open(call: Omit<Call, 'method'>): Promise<Response> {
    return (await this.client()).open(call);
  }

  /** A change: repeatable under its Idempotency-Key, with who wants it and why. */
  async change<T>(
    method: 'POST' | 'PATCH',
    path: string,
    body: unknown,
    options: ChangeOptions & ChangeMode,
  ): Promise<T> {
    const { ifMatch, once, timeoutMs, reason, onBehalfOf } = options;
    if (!options.stop) return interruptible((stop) => this.change(method, path, body, { ...options, stop }));
    const headers = { 'if-match': ifMatch === undefined ? undefined : `"${ifMatch}"` };
    const idempotencyKey = method === 'POST' && !once ? (options.idempotencyKey ?? crypto.randomUUID()) : undefined;
    return this.call<T>({
      method,
      path,
      body,
      headers,
      reason,
      onBehalfOf,
      idempotencyKey,
      timeoutMs,
      stop: options.stop,
    });
  }

  /** The answer as it came for `--json`, else as text. */
  show(answer: unknown, text: () => string): void {
    this.terminal.stdout.write(this.options.json ? json(answer) : text());
  }

  /** As `show`, for what cannot be had again. @throws Error if it cannot be written */
  async put(answer: unknown, text: () => string): Promise<void> {
    await this.terminal.stdout.put(this.options.json ? json(answer) : text());
  }

  /** @throws UsageError without a credential */
  async requireCredential(): Promise<void> {
    await this.credential();
  }

  /** A line for the person beside the answer. */
  note(text: string): void {
    this.terminal.stderr.write(`${text}\n`);
  }

  /** Says where the next page begins, to a person: for `--json` it stands in the answer. */
  noteMore({ nextCursor }: { nextCursor?: string }): void {
    if (nextCursor !== undefined && !this.options.json) this.note(`More: --cursor ${nextCursor}`);
  }

  /** Loaded when it is asked for: `scan` needs none, and what it does is short beside loading one. */
  private async client(): Promise<HttpClient> {
    const credential = await this.credential();
    const { HttpClient } = await import('./http-client.js');
    const { timeout } = this.options;
    const url = this.options.url ?? (this.terminal.env.KEYLEDGER_URL || DEFAULT_URL);
    return new HttpClient({ url, credential, timeoutMs: timeout * 1000, userAgent: `keyledger-cli/${VERSION}` });
  }

  private async credential(): Promise<string> {
    const { keyFile } = this.options;
    if (keyFile !== undefined) return (await import('./secret-file.js')).readSecretFile(keyFile);
    const credential = this.terminal.env.KEYLEDGER_KEY?.trim();
    if (!credential) {
      throw new UsageError('No management key: set KEYLEDGER_KEY, or name a file that holds it with --key-file');
    }
    return credential;
  }
}
