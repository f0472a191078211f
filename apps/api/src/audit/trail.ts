import type { AuditEventView, TrailFilterQuery } from '@keyledger/contracts/http';
import {
  cloudEventOf,
  csvHeader,
  csvRow,
  TRAIL_COLUMNS,
  trailRow,
  TrailReader,
  type TrailFilter,
  type TrailFind,
  type TrailQuery,
} from '@keyledger/audit';
import { invalidField, reaches, type Caller } from '@keyledger/platform';
import { noSuchKeyspace } from '../access.js';
import { VERSION } from '../version.js';
import { assertOrder } from './inquiry.js';

/** How many events one page looks at: a filter that nothing passes must not hold a server up. */
const LOOKED_PER_PAGE = 20_000;

export interface TrailPage {
  finds: TrailFind[];
  /** Where to go on; absent: that was all. */
  place?: bigint;
}

/** @throws RefusalError 404 for a keyspace out of reach, 400 for bounds the wrong way round */
export function filterOf(caller: Caller, query: TrailFilterQuery): TrailFilter {
  const { keyId, keyspaceId, ownerId, actorId, type, requestId, correlationId, from, to } = query;
  if (keyspaceId !== undefined && !reaches(caller.reach, keyspaceId)) throw noSuchKeyspace(keyspaceId);
  assertOrder(['from', from], ['to', to]);
  const [low, high] = [positionIn(query.fromPosition), positionIn(query.toPosition)];
  if (low !== undefined && high !== undefined && low > high) {
    throw invalidField('fromPosition', 'lies behind toPosition', 'a position at or before toPosition');
  }
  const members = { keyId, keyspaceId, ownerId, actorId, types: type, requestId, correlationId, from, to };
  const positions = { fromPosition: low, toPosition: high };
  const given = Object.entries({ ...members, ...positions }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

export const positionIn = (text: string | undefined): bigint | undefined =>
  text === undefined ? undefined : BigInt(text);

/** As much of the trail as one page takes. */
export async function pageOf(reader: TrailReader, query: TrailQuery, limit: number): Promise<TrailPage> {
  const finds: TrailFind[] = [];
  let looked = 0;
  for await (const batch of reader.read(query)) {
    for (const find of batch.found) {
      if (finds.length === limit) return { finds, place: placeOf(finds.at(-1) as TrailFind, query) };
      finds.push(find);
    }
    looked += batch.looked;
    if (looked >= LOOKED_PER_PAGE) return { finds, place: batch.place };
  }
  return { finds };
}

const placeOf = ({ recorded }: TrailFind, { filter }: TrailQuery): bigint =>
  filter.keyId === undefined ? recorded.position : BigInt(recorded.revision);

export const rowOf = ({ recorded, subject }: TrailFind): AuditEventView => trailRow(recorded, subject);

export const siemEventOf = ({ recorded, subject }: TrailFind): Record<string, unknown> =>
  cloudEventOf(recorded, subject, trailRow(recorded, subject).data, VERSION);

/** The trail as text, as it is read. */
export async function* textOf(
  reader: TrailReader,
  query: TrailQuery,
  format: 'ndjson' | 'csv' | 'ocsf',
  limit = Infinity,
): AsyncGenerator<string> {
  const line: (find: TrailFind) => string =
    format === 'csv'
      ? ({ recorded, subject }) => csvRow(TRAIL_COLUMNS, trailRow(recorded, subject))
      : (find) => `${JSON.stringify(format === 'ocsf' ? siemEventOf(find) : rowOf(find))}\n`;
  if (format === 'csv') yield csvHeader(TRAIL_COLUMNS);
  let left = limit;
  for await (const { found } of reader.read(query)) {
    const taken = found.slice(0, left);
    left -= taken.length;
    if (taken.length > 0) yield taken.map(line).join('');
    if (left === 0) return;
  }
}

/** An event of the trail as a server-sent event; its id is where to go on. */
export function serverSentEvent(find: TrailFind): string {
  return `id: ${find.recorded.position}\nevent: ${find.recorded.event.type}\ndata: ${JSON.stringify(rowOf(find))}\n\n`;
}
