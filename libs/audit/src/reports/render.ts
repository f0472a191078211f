import type { Instant } from '@keyledger/contracts';
import { csvHeader, csvRow, type CsvColumn } from '../csv.js';
import { PAGE_STYLE } from './page-style.js';
import type { Cell, Report, ReportQuestion, ReportRow } from './report.js';

export type ReportFormat = 'json' | 'csv' | 'html';

/** What stands above the lines. */
export interface ReportHead extends Pick<ReportQuestion, 'at' | 'from' | 'to'> {
  report: Report;
  /** Whose lines: the keyspaces, or all. */
  within: 'all' | readonly string[];
  generatedAt: Instant;
}

/**
 * A report as text, piece by piece, at the pace of whoever reads it. JSON and page end with the number of lines, so that
 * one that was cut off is known for it.
 */
export function renderReport(
  format: ReportFormat,
  head: ReportHead,
  rows: AsyncIterable<readonly ReportRow[]>,
): AsyncGenerator<string, void, undefined> {
  return { json: jsonReport, csv: csvReport, html: htmlReport }[format](head, rows);
}

type Pieces = AsyncGenerator<string, void, undefined>;
type Rows = AsyncIterable<readonly ReportRow[]>;

async function* jsonReport({ report, at, from, to, within, generatedAt }: ReportHead, rows: Rows): Pieces {
  const { name, title, description, columns } = report;
  const head = { report: name, title, description, at, from, to, keyspaces: within, generatedAt, columns };
  yield `${JSON.stringify(head).slice(0, -1)},"rows":[`;
  let count = 0;
  for await (const batch of rows) {
    yield (count > 0 ? ',\n' : '\n') + batch.map((row) => JSON.stringify(row)).join(',\n');
    count += batch.length;
  }
  yield `\n],"count":${count}}\n`;
}

async function* csvReport({ report }: ReportHead, rows: Rows): Pieces {
  const columns = report.columns.map(({ name }): CsvColumn<ReportRow> => [name, (row) => listText(row[name])]);
  yield csvHeader(columns);
  for await (const batch of rows) yield batch.map((row) => csvRow(columns, row)).join('');
}

async function* htmlReport(head: ReportHead, rows: Rows): Pieces {
  const { report, at, from, to, within, generatedAt } = head;
  const { title, description, columns } = report;
  const facts: [string, string | undefined][] = [
    ['As of', at],
    ['From', from],
    ['Before', to],
    ['Keyspaces', within === 'all' ? 'all' : within.join(', ')],
    ['Made', generatedAt],
  ];
  yield (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width, initial-scale=1">' +
    `<title>${html(title)} as of ${html(at)}</title><style>${PAGE_STYLE}</style></head><body>` +
    `<header><h1>${html(title)}</h1><p>${html(description)}</p><dl>` +
    facts.map(([name, value]) => (value === undefined ? '' : `<dt>${name}</dt><dd>${html(value)}</dd>`)).join('') +
    '</dl></header>\n<table><thead><tr>' +
    columns.map((column) => `<th scope="col">${html(column.title)}</th>`).join('') +
    '</tr></thead><tbody>\n'
  );
  let count = 0;
  for await (const batch of rows) {
    count += batch.length;
    yield batch.map((row) => `<tr>${columns.map(({ name }) => htmlCell(name, row)).join('')}</tr>\n`).join('');
  }
  yield `</tbody></table>\n<footer><p>${count} ${count === 1 ? 'line' : 'lines'}. End of report.</p></footer></body></html>\n`;
}

function htmlCell(name: string, row: ReportRow): string {
  const cell = row[name];
  if (name === 'events') return `<td><a href="${html(row.events)}">events</a></td>`;
  if (typeof cell === 'number') return `<td class="number">${cell}</td>`;
  return `<td>${cell === undefined ? '' : html(wordOf(cell))}</td>`;
}

/** Lists are words without spaces (scopes, environments), or hold together as they are. */
const listText = (cell: Cell) => (Array.isArray(cell) ? cell.join(' ') : cell);

function wordOf(cell: Exclude<Cell, undefined>): string {
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  return String(listText(cell));
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const html = (text: string): string => text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? char);
