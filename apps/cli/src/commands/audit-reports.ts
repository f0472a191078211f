import type { ReportList, ReportView } from '@keyledger/contracts/http';
import { Option, type Command } from 'commander';
import { extname } from 'node:path';
import { pathTo } from '../id.js';
import { examples } from '../options.js';
import { OutFile } from '../out-file.js';
import { table, type Column } from '../table.js';
import type { RunWith } from '../run.js';
import type { Session } from '../session.js';

const FORMATS = ['table', 'json', 'csv', 'html'] as const;
type Format = (typeof FORMATS)[number];

interface ReportOptions {
  at?: string;
  from?: string;
  to?: string;
  keyspace?: string;
  format?: Format;
  out?: string;
}

/** A report reads the whole log up to its instant. */
const PATIENCE_MS = 10 * 60_000;

export function reportCommands(audit: Command, runWith: RunWith): void {
  examples(audit.command('reports'), 'audit reports')
    .description('list the reports that there are')
    .action(
      runWith(async (session) => {
        const reports = await session.call<ReportList>({ method: 'GET', path: '/v1/audit/reports' });
        session.show(reports, () => table(reports.items, REPORT_COLUMNS, session.terminal));
      }),
    );

  examples(
    audit.command('report').argument('<name>', 'one of those that `audit reports` lists'),
    'audit report inventory',
    'audit report rotations --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z --format html --out rotations.html',
    'audit report scope-holders --at 2026-03-03T10:00:00Z --keyspace acme --format csv --out holders.csv',
  )
    .description('make a report as of an instant')
    .option('--at <instant>', 'as of then (default: now)')
    .option('--from <instant>', 'of a report over a period: recorded from then on')
    .option('--to <instant>', 'of a report over a period: recorded before')
    .option('--keyspace <id>', 'this keyspace only')
    .addOption(
      new Option('--format <format>', 'default: a table, or what the name of the file says').choices([...FORMATS]),
    )
    .option('--out <file>', 'write it to this file')
    .action(runWith(async (session, [name], options: ReportOptions) => report(session, name, options)));
}

async function report(session: Session, name: string, options: ReportOptions): Promise<void> {
  const { at, from, to, keyspace } = options;
  const out = options.out === undefined ? undefined : await OutFile.at(options.out, { overwrite: true });
  const format = formatOf(options, session.options.json);
  const wanted = format === 'table' ? 'json' : format;
  const text = await session.call<string>({
    method: 'GET',
    path: pathTo('/v1/audit/reports', name, 'name'),
    query: { at, from, to, keyspaceId: keyspace, format: wanted },
    as: 'text',
    timeoutMs: Math.max(PATIENCE_MS, session.options.timeout * 1000),
  });
  const shown = format === 'table' ? reportText(session, JSON.parse(text) as ReportView) : text;
  if (out === undefined) {
    session.terminal.stdout.write(shown);
    return;
  }
  await out.write(shown);
  session.note(`The report is in ${out.path}.`);
}

function formatOf({ format, out = '' }: ReportOptions, json: boolean | undefined): Format {
  if (format) return format;
  if (json) return 'json';
  const extension = extname(out).slice(1) as Format;
  return FORMATS.includes(extension) ? extension : 'table';
}

/** Columns in which no line has anything are left out, and so are the links, which JSON and CSV have. */
function reportText(session: Session, { title, at, columns, rows, count }: ReportView): string {
  const told = columns.filter(({ name }) => name !== 'events' && rows.some((row) => row[name] !== undefined));
  const shown = told.map(({ name, title: head }): Column<Record<string, unknown>> => {
    return { head: head.toUpperCase(), of: (row) => cellText(row[name]), whole: /Id$/.test(name) };
  });
  session.note(`${title} as of ${at}: ${count} ${count === 1 ? 'line' : 'lines'}`);
  return rows.length === 0 ? '' : table(rows, shown, session.terminal);
}

function cellText(cell: unknown): string | undefined {
  if (cell === undefined) return undefined;
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  if (Array.isArray(cell)) return cell.join(' ');
  return typeof cell === 'string' ? cell : JSON.stringify(cell);
}

const REPORT_COLUMNS: Column<ReportList['items'][number]>[] = [
  { head: 'REPORT', of: ({ name }) => name, whole: true },
  { head: 'ABOUT', of: ({ period }) => (period ? 'a period' : 'an instant'), whole: true },
  { head: 'SAYS', of: ({ description }) => description },
];
