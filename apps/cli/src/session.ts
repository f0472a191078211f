import type { Command } from 'commander';
import { UsageError } from './exit.js';
import type { Call, HttpClient } from './http-client.js';
import { json, type Terminal } from './print.js';
import type { SecretFile } from './secret-file.js';
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
}

/** Options of the commands whose answer holds a secret. */
export interface SecretOptions {
  secretFile?: string;
  showSecret?: boolean;
}

/** Takes one secret. `put` says whether it may be shown too. */
export interface SecretPlace {
  discard(): Promise<void>;
  put(secret: string): Promise<boolean>;
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
    const headers = { 'if-match': ifMatch === undefined ? undefined : `"${ifMatch}"` };
    const idempotencyKey = method === 'POST' && !once ? (options.idempotencyKey ?? crypto.randomUUID()) : undefined;
    return this.call<T>({ method, path, body, headers, reason, onBehalfOf, idempotencyKey, timeoutMs });
  }

  /**
   * A change whose answer holds a new secret under `key`, or under the name given. The answer comes back without it; the secret goes to the file
   * or to standard output as the options say, and nowhere without them.
   */
  async changeWithSecret<T extends { [K in N]?: string }, N extends string = 'key'>(
    path: string,
    body: unknown,
    options: ChangeOptions & SecretOptions,
    name: N = 'key' as N,
  ): Promise<T> {
    const { secretFile, showSecret } = options;
    if (secretFile === undefined && !showSecret) {
      throw new UsageError(
        'The answer will hold a secret, this once: say where it goes, --secret-file FILE or --show-secret',
      );
    }
    await this.credential();
    const idempotencyKey = options.idempotencyKey ?? crypto.randomUUID();
    const file = secretFile === undefined ? undefined : await reserve(secretFile);
    let answer: T;
    try {
      answer = await this.change<T>('POST', path, body, { ...options, idempotencyKey });
    } catch (error) {
      await file?.discard();
      throw error;
    }
    const { [name]: key, ...rest } = answer;
    if (key === undefined) {
      await file?.discard();
      this.note('The secret of this receipt was given out before and is not given again.');
    } else if (file) {
      await this.save(file, key, idempotencyKey);
    }
    return (showSecret ? answer : rest) as unknown as T;
  }

  /** Where a secret goes that a command will have: reserved before it is asked for. @throws UsageError */
  async placeFor({ secretFile, showSecret }: SecretOptions): Promise<SecretPlace> {
    if (secretFile === undefined && !showSecret) {
      throw new UsageError('There will be a secret: say where it goes, --secret-file FILE or --show-secret');
    }
    const file = secretFile === undefined ? undefined : await reserve(secretFile);
    return {
      discard: async () => file?.discard(),
      put: async (secret) => {
        await file?.write(secret);
        if (file) this.note(`The secret is in ${file.path}; it is not shown again.`);
        return showSecret === true;
      },
    };
  }

  private async save(file: SecretFile, key: string, idempotencyKey: string): Promise<void> {
    try {
      await file.write(key);
    } catch (error) {
      this.note(`Within ten minutes the same command with --idempotency-key ${idempotencyKey} gives the secret again.`);
      throw error;
    }
    this.note(`The secret is in ${file.path}; it is not shown again.`);
  }

  /** The answer as it came for `--json`, else as text. */
  show(answer: unknown, text: () => string): void {
    this.terminal.stdout.write(this.options.json ? json(answer) : text());
  }

  /** A line for the person beside the answer. */
  note(text: string): void {
    this.terminal.stderr.write(`${text}\n`);
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

async function reserve(path: string): Promise<SecretFile> {
  const { SecretFile } = await import('./secret-file.js');
  return SecretFile.reserve(path);
}
