import Table from 'cli-table3';
import type { Problem } from '@keyledger/contracts';

/** Where a command reads from and writes to; tests hand in their own. */
export interface Terminal {
  env: Record<string, string | undefined>;
  stdin: AsyncIterable<Buffer | string> & { isTTY?: boolean };
  stdout: Output;
  stderr: Output;
}

export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface Column<T> {
  head: string;
  of(item: T): string | undefined;
  /** An id that people copy: shown whole even where the table gets too wide. */
  whole?: boolean;
}

const NARROWEST_COLUMN = 8;
const BETWEEN_COLUMNS = 2;

/** The JSON of the API as it came, for programs. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A table without frames, one line per item. Columns shrink to fit a terminal; a pipe gets everything. */
export function table<T>(items: readonly T[], columns: readonly Column<T>[], terminal: Terminal): string {
  const output = terminal.stdout;
  const rows = items.map((item) => columns.map((column) => printable(column.of(item) ?? '')));
  const widths = columns.map((column, index) =>
    Math.max(column.head.length, ...rows.map((row) => [...(row[index] ?? '')].length)),
  );
  if (output.isTTY) shrink(widths, columns, output.columns ?? 80);
  const drawn = new Table({
    head: columns.map(({ head }) => head),
    colWidths: widths.map((width) => width + BETWEEN_COLUMNS),
    style: { head: output.isTTY && !terminal.env.NO_COLOR ? ['bold'] : [], border: [], 'padding-left': 0 },
    chars: FRAMELESS,
  });
  drawn.push(...rows);
  return `${trimmedLines(drawn.toString())}\n`;
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

/** Text from elsewhere may carry control characters, which a terminal would obey: they are shown as escapes. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Takes from the widest column that may shrink until the line fits or none may. */
function shrink<T>(widths: number[], columns: readonly Column<T>[], available: number): void {
  const total = (): number => widths.reduce((sum, width) => sum + width + BETWEEN_COLUMNS, 0);
  while (total() > available) {
    let widest = -1;
    for (const [index, width] of widths.entries()) {
      if (columns[index]?.whole || width <= NARROWEST_COLUMN) continue;
      if (widest < 0 || width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function trimmedLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const FRAMELESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};
