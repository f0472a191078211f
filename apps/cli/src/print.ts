import type { Problem } from '@keyledger/contracts';

/** Where a command reads from and writes to; tests hand in their own. */
export interface Terminal {
  env: Record<string, string | undefined>;
  stdin: AsyncIterable<Buffer | string> & { isTTY?: boolean };
  stdout: AnswerOutput;
  stderr: Output;
}

export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number | undefined;
}

export interface AnswerOutput extends Output {
  /** As `write`, for what cannot be had again: resolves once it is out. @throws Error if it cannot be written */
  put(text: string): Promise<void>;
}

/** The JSON of the API as it came, for programs. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Name and value, one pair a line; a pair without a value is left out. */
export function fields(pairs: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}\n`).join('');
}

/** A problem as people read it: what, why, and each field with what would be right. */
export function problemText(problem: Partial<Problem>): string {
  const { title, code, detail, errors, instance } = problem;
  const lines = [`${title ?? 'The request failed'}${code ? ` (${code})` : ''}`];
  if (detail !== undefined && detail !== title) lines.push(`  ${detail}`);
  for (const { field, message, fix } of errors ?? []) {
    lines.push(`  ${field} ${message}${fix === undefined ? '' : `: ${fix}`}`);
  }
  if (instance !== undefined) lines.push(`  ${instance}`);
  return `${lines.map(printable).join('\n')}\n`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Text from elsewhere may carry control characters, which a terminal would obey: they are shown as escapes. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
