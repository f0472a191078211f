import Table from 'cli-table3';
import { printable, type Terminal } from './print.js';

export interface Column<T> {
  head: string;
  of(item: T): string | undefined;
  /** An id that people copy: shown whole even where the table gets too wide. */
  whole?: boolean;
}

const NARROWEST_COLUMN = 8;
const BETWEEN_COLUMNS = 2;

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
