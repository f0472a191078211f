import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '@keyledger/platform/folders';

const MAX_FILE_BYTES = 10 * 1024 * 1024;

/**
 * The log of one process: `<folder>/<name>.log`. At 10 MiB it becomes `<name>.log.1`, in place of the one before.
 * A line that cannot be written is dropped: a full disk must not stop the system that is being logged.
 */
export class LogFile {
  private readonly path: string;
  private fd: number | undefined;
  private bytes = 0;

  constructor(folder: string, name: string) {
    makeFolder(folder);
    this.path = join(folder, `${name}.log`);
    this.open();
  }

  write(line: string): void {
    const data = Buffer.from(`${line}\n`);
    try {
      if (this.bytes + data.length > MAX_FILE_BYTES) this.rotate();
      if (this.fd === undefined) this.open();
      if (this.fd !== undefined) this.bytes += writeSync(this.fd, data);
    } catch {
      this.close();
    }
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }

  private open(): void {
    this.fd = openSync(this.path, 'a', 0o600);
    this.bytes = fstatSync(this.fd).size;
  }

  private rotate(): void {
    this.close();
    if (existsSync(this.path)) renameSync(this.path, `${this.path}.1`);
    this.open();
  }
}

const LOUD = new Set(['warn', 'error', 'fatal']);

/**
 * What of a line a person at the terminal should see: warnings and errors of JSON logs, in one short line, and what
 * a process says on standard error in plain text, because that is where a crash speaks. Nothing else.
 */
export function worthShowing(line: string, fromStandardError: boolean): string | undefined {
  const entry = parsed(line);
  if (!entry) return fromStandardError && line.trim() !== '' ? line : undefined;
  return LOUD.has(String(entry.level)) ? readable(line) : undefined;
}

/** A JSON log line as a person reads it; any other line as it is. */
export function readable(line: string): string {
  const entry = parsed(line);
  if (!entry) return line;
  const cause = entry.err ?? entry.error;
  const detail = typeof cause === 'object' && cause !== null && 'message' in cause ? cause.message : cause;
  const said = typeof entry.msg === 'string' ? entry.msg : '';
  const more = typeof detail === 'string' && !said.includes(detail) ? `: ${detail.split('\n')[0]}` : '';
  return `${String(entry.level)}: ${said}${more}`;
}

function parsed(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
