/**
 * - `unreachable`: Redis does not answer, or refuses;
 * - `missing`: there is no complete model in Redis, or a part of it is gone or unreadable;
 * - `rebuilding`: as `missing`, and a new one is being built;
 * - `stale`: no projector has vouched for the model within its bound, or not for this Redis as it is since its restart.
 */
export type UnavailableReason = 'unreachable' | 'missing' | 'rebuilding' | 'stale';

const DETAILS: Record<UnavailableReason, string> = {
  unreachable: 'Redis cannot be reached',
  missing: 'the read model is not complete',
  rebuilding: 'the read model is being rebuilt',
  stale: 'the read model is not known to be current',
};

/** The read model cannot tell. Never an answer about a key: callers say 503 and may ask again. */
export class ReadModelUnavailable extends Error {
  constructor(
    readonly reason: UnavailableReason,
    cause?: unknown,
  ) {
    const because = cause instanceof Error ? `: ${cause.message}` : '';
    super(DETAILS[reason] + because, cause === undefined ? undefined : { cause });
    this.name = 'ReadModelUnavailable';
  }
}
