import type { TrailRow } from './trail.js';

/** One column of a table: its name, and what stands in it. */
export type CsvColumn<T> = readonly [name: string, of: (item: T) => unknown];

export const TRAIL_COLUMNS: readonly CsvColumn<TrailRow>[] = [
  ['position', ({ position }) => position],
  ['recordedAt', ({ recordedAt }) => recordedAt],
  ['type', ({ type }) => type],
  ['keyId', ({ keyId }) => keyId],
  ['keyspaceId', ({ keyspaceId }) => keyspaceId],
  ['ownerId', ({ ownerId }) => ownerId],
  ['actorType', ({ actor }) => actor.type],
  ['actorId', ({ actor }) => actor.id],
  ['onBehalfOf', ({ actor }) => actor.onBehalfOf],
  ['clientAddress', ({ clientAddress }) => clientAddress],
  ['userAgent', ({ userAgent }) => userAgent],
  ['reason', ({ reason }) => reason],
  ['changes', ({ changes }) => changes],
  ['requestId', ({ requestId }) => requestId],
  ['correlationId', ({ correlationId }) => correlationId],
  ['causationId', ({ causationId }) => causationId],
  ['id', ({ id }) => id],
  ['stream', ({ stream }) => stream],
  ['revision', ({ revision }) => revision],
  ['data', ({ data }) => data],
];

/** A line as RFC 4180 has it: fields between commas, quoted where they must be, ended by CRLF. */
function csvLine(values: readonly unknown[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

export const csvHeader = (columns: readonly CsvColumn<never>[]): string => csvLine(columns.map(([name]) => name));

export const csvRow = <T>(columns: readonly CsvColumn<T>[], item: T): string =>
  csvLine(columns.map(([, of]) => of(item)));

/**
 * A text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection): names, reasons
 * and user agents are whatever a caller wrote.
 */
function cell(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const safe = /^[\s\u0000]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe.trim() !== safe ? `"${safe.replaceAll('"', '""')}"` : safe;
}
