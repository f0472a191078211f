import { expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSystem, type System } from '../support/index.js';

export const WHOLE_KEY = /[a-z0-9]+_(live|test)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}/;
export const ISSUE = 'keys issue --keyspace acme --environment live --scopes payments:read --owner app-7'.split(' ');

export interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** `keyledger` as somebody runs it, against a system of its own with the keyspace `acme`, and a folder for its files. */
export class CommandLine {
  readonly folder = mkdtempSync(join(tmpdir(), 'keyledger-cli-'));

  private constructor(readonly system: System) {}

  static async start(): Promise<CommandLine> {
    const line = new CommandLine(await startSystem());
    expect(await line.run(['keyspaces', 'create', 'acme', '--name', 'Acme'])).toMatchObject({ code: 0 });
    return line;
  }

  async stop(): Promise<void> {
    await this.system.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** The management key of its environment may do everything. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, KEYLEDGER_URL: this.system.api.baseUrl, KEYLEDGER_KEY: this.system.adminKey };
  }

  async run(args: string[], { env = {}, stdin = '' }: { env?: object; stdin?: string } = {}): Promise<Outcome> {
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...args], { env: { ...this.env, ...env } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    child.stdin.end(stdin);
    const [code] = (await once(child, 'close')) as [number];
    return { code, out, err };
  }

  /** Issues a key of `acme`, its secret into a file. */
  async issue(name: string, ...more: string[]): Promise<{ keyId: string; file: string; outcome: Outcome }> {
    const file = this.path(`${name}.key`);
    const outcome = await this.run([...ISSUE, '--name', name, '--secret-file', file, '--json', ...more]);
    return { keyId: JSON.parse(outcome.out || '{}').keyId, file, outcome };
  }
}
