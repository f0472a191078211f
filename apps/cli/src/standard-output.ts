import type { AnswerOutput } from './print.js';

/** What standard output is written to; `process.stdout` is one. */
export interface OutputStream {
  isTTY?: boolean;
  columns?: number | undefined;
  write(text: string, done?: (error?: Error | null) => void): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * Standard output, which may be closed (a pipe to `head`) or full (a disk). What is written with `write` nobody waits
 * for, and `lost` hears that it cannot be; `put` is for what must not be lost, and whoever calls it hears it himself.
 */
export class StandardOutput implements AnswerOutput {
  private isHeard = false;

  constructor(
    private readonly stream: OutputStream,
    lost: (error: NodeJS.ErrnoException) => void,
  ) {
    stream.on('error', (error) => {
      if (!this.isHeard) lost(error);
    });
  }

  get isTTY(): boolean {
    return this.stream.isTTY === true;
  }

  get columns(): number | undefined {
    return this.stream.columns;
  }

  write(text: string): void {
    this.stream.write(text);
  }

  async put(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.stream.write(text, (error) => {
        if (!error) return resolve();
        this.isHeard = true;
        reject(new Error(cannotBeWritten(error), { cause: error }));
      });
    });
  }
}

export function cannotBeWritten(error: Error): string {
  return `standard output cannot be written: ${error.message}`;
}
