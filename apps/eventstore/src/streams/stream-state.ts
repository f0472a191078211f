/** What the server knows of a stream without reading its events: its end, and what its metadata hides. */
import { TOMBSTONE_REVISION } from '../wire/recorded-event.js';

export interface StreamState {
  /** Position of the first event; 0 while there is none. */
  readonly id: number;
  /** Revision of the last event, -1 while there is none, `TOMBSTONE_REVISION` after a tombstone. */
  readonly last: number;
  /** Whether `$$<stream>` holds anything. */
  readonly hasMetadata: boolean;
  /** `$tb`: earlier revisions are hidden from reads of the stream. int64's greatest hides the stream: a soft delete. */
  readonly truncateBefore: number;
  /** `$maxCount`: only so many of the last events are shown. */
  readonly maxCount: number;
}

export const METADATA_PREFIX = '$$';
export const METADATA_TYPE = '$metadata';
export const TOMBSTONE_TYPE = '$streamDeleted';

/** int64's greatest as JSON. JSON.stringify of the number would write another one. */
const INT64_MAX_TEXT = '9223372036854775807';

export function isMetadataStream(name: string): boolean {
  return name.startsWith(METADATA_PREFIX);
}

export function isTombstoned(state: StreamState): boolean {
  return state.last >= TOMBSTONE_REVISION;
}

export function isSoftDeleted(state: StreamState): boolean {
  return state.truncateBefore >= TOMBSTONE_REVISION;
}

/** What a read of the stream answers `stream_not_found` to: nothing there, metadata only, or deleted. */
export function isMissing(state: StreamState): boolean {
  return state.last < 0 || isSoftDeleted(state);
}

/** The first revision that a read of the stream shows. */
export function firstVisible(state: StreamState): number {
  return Math.max(state.truncateBefore, state.last - state.maxCount + 1, 0);
}

export interface StreamLimits {
  readonly truncateBefore: number;
  readonly maxCount: number;
}

/** A metadata stream shows its last event only. */
export const METADATA_LIMITS: StreamLimits = { truncateBefore: 0, maxCount: 1 };
export const NO_LIMITS: StreamLimits = { truncateBefore: 0, maxCount: Infinity };

/** The limits in a `$metadata` event. What is not valid there limits nothing, as the real server has it. */
export function parseLimits(data: Buffer): StreamLimits {
  const metadata = parseObject(data);
  return {
    truncateBefore: wholeNumber(metadata['$tb']) ?? NO_LIMITS.truncateBefore,
    maxCount: wholeNumber(metadata['$maxCount']) || NO_LIMITS.maxCount,
  };
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && Number.isInteger(value) ? value : undefined;
}

function parseObject(data: Buffer): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(data.toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** The metadata with another `$tb`; `deleted` stands for int64's greatest. */
export function withTruncateBefore(metadata: Buffer | undefined, truncateBefore: number | 'deleted'): Buffer {
  const { $tb: _, ...rest } = metadata === undefined ? {} : parseObject(metadata);
  const others = JSON.stringify(rest).slice(1, -1);
  const value = truncateBefore === 'deleted' ? INT64_MAX_TEXT : String(truncateBefore);
  return Buffer.from(`{${others === '' ? '' : `${others},`}"$tb":${value}}`, 'utf8');
}
