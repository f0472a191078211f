import type { Instant, RecordedEvent } from '@keyledger/contracts';
import type { KeyAt } from '../replay.js';

/** What stands in one place of a report; `undefined`: there is nothing to say. */
export type Cell = string | number | boolean | readonly string[] | undefined;

/** One line. Its members are the columns of its report, and where its events are. */
export type ReportRow = Readonly<Record<string, Cell>> & { readonly events: string };

export interface ReportColumn {
  /** Member of the row, and head of the column in CSV. */
  name: string;
  /** For people. */
  title: string;
}

export interface ReportQuestion {
  /** Nothing that was recorded later is known to the report, and what depends on time is judged at this instant. */
  at: Instant;
  /** Of a report over a period: recorded from then on. */
  from?: Instant;
  /** Of a report over a period: recorded before this. */
  to?: Instant;
  /** The keyspaces that the reader may see and asks for. */
  within: 'all' | readonly string[];
}

/**
 * A report in the making: it is told every event in log order, gives lines on the way, and the rest at the end. Beside
 * what it gives at the end it holds a bounded number of anything; what does not fit is left to another pass.
 */
export interface ReportFold {
  take?(recorded: RecordedEvent): Iterable<ReportRow> | void | Promise<Iterable<ReportRow>>;
  /** Of a report about all keys: told each as it stood at the instant, in the order of ids, behind the events. */
  key?(key: KeyAt): Iterable<ReportRow>;
  rest?(): Iterable<ReportRow>;
  /** Asked at the end: whether everything is to be told once more, for what did not fit into memory. */
  isUnfinished?(): boolean;
}

/** What reports are made from. */
export interface ReportSource {
  /** Events of the streams with these prefixes, in log order. */
  events(streams: readonly string[]): AsyncIterable<readonly RecordedEvent[]>;
  /** So many events of one stream, from its first. Read to their end: stores close on whoever breaks off too often. */
  eventsOf(stream: string, count: number): AsyncIterable<readonly RecordedEvent[]>;
  /** Every key as it was on record at the instant, in the order of ids. */
  keysAt(at: Instant): AsyncIterable<readonly KeyAt[]>;
}

export interface Report {
  name: string;
  title: string;
  description: string;
  /** Whether it is about what happened between two instants; else about what held at one. */
  period: boolean;
  /** Prefixes of the streams whose events it is made from. */
  streams: readonly string[];
  columns: readonly ReportColumn[];
  begin(question: ReportQuestion, source: Pick<ReportSource, 'eventsOf'>): ReportFold;
}

/** The lines of a report, made from what is on record until its instant, in as many passes as its memory needs. */
export async function* runReport(
  report: Report,
  question: ReportQuestion,
  source: ReportSource,
): AsyncGenerator<ReportRow[], void, undefined> {
  const fold = report.begin(question, source);
  do {
    if (fold.take) yield* rowsOfEvents(fold, question, source.events(report.streams));
    if (fold.key) {
      for await (const keys of source.keysAt(question.at)) {
        const rows = keys.flatMap((one) => [...(fold.key?.(one) ?? [])]);
        if (rows.length > 0) yield rows;
      }
    }
    yield* inBatches(fold.rest?.() ?? []);
  } while (fold.isUnfinished?.());
}

async function* rowsOfEvents(
  fold: ReportFold,
  { at }: ReportQuestion,
  events: AsyncIterable<readonly RecordedEvent[]>,
): AsyncGenerator<ReportRow[], void, undefined> {
  for await (const batch of events) {
    const rows: ReportRow[] = [];
    for (const recorded of batch) {
      if (recorded.recordedAt > at) {
        yield rows;
        return;
      }
      const said = fold.take?.(recorded) ?? [];
      rows.push(...(said instanceof Promise ? await said : said));
    }
    if (rows.length > 0) yield rows;
  }
}

function* inBatches(given: Iterable<ReportRow>): Generator<ReportRow[], void, undefined> {
  let rows: ReportRow[] = [];
  for (const row of given) {
    if (rows.push(row) < ROWS_AT_ONCE) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

const ROWS_AT_ONCE = 200;

export const isWithin = (within: 'all' | readonly string[], keyspaceId: string | undefined): boolean =>
  within === 'all' || (keyspaceId !== undefined && within.includes(keyspaceId));

export const inPeriod = ({ from, to }: ReportQuestion, recordedAt: Instant): boolean =>
  (from === undefined || recordedAt >= from) && (to === undefined || recordedAt < to);

/** Where the events behind a line are shown. */
export function eventsLink(query: Record<string, string | bigint | undefined>): string {
  const given: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) given.push(`${name}=${encodeURIComponent(String(value))}`);
  }
  return `/v1/audit/events?${given.join('&')}`;
}

const DAY_MILLIS = 86_400_000;

/** Whole days from one instant to another. */
export const daysBetween = (from: Instant, to: Instant): number =>
  Math.floor((Date.parse(to) - Date.parse(from)) / DAY_MILLIS);

/** Seconds from one instant to another, to the millisecond. */
export const secondsBetween = (from: Instant, to: Instant): number => (Date.parse(to) - Date.parse(from)) / 1000;

/** Columns from a text of `name: title` lines, the order being that of the report. */
export function columns(text: string): ReportColumn[] {
  const named = text
    .trim()
    .split('\n')
    .map((line) => line.split(': ').map((part) => part.trim()))
    .map(([name = '', title = '']) => ({ name, title }));
  return [...named, { name: 'events', title: 'Events' }];
}
