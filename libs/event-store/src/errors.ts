/** Somebody else appended first: the stream is not at the revision that the append expected. Nothing was appended. */
export class RevisionConflict extends Error {
  override readonly name = 'RevisionConflict';
  constructor(
    readonly stream: string,
    readonly expectedRevision: number,
    /** -1: there is no such stream. */
    readonly actualRevision: number,
  ) {
    super(`${stream} is at revision ${actualRevision}, not ${expectedRevision}`);
  }
}

/**
 * The store gave no usable answer in time. `not-done`: nothing was or will be appended. `unknown`: an append may have
 * happened or may yet happen; whoever repeats it must do so with the same event ids and the same expected revision.
 */
export class EventStoreUnavailable extends Error {
  override readonly name = 'EventStoreUnavailable';
  constructor(
    message: string,
    readonly outcome: 'not-done' | 'unknown',
  ) {
    super(message);
  }
}

/** The store answered, and the answer is no; a repeat would hear the same. Nothing was appended. */
export class EventStoreRefused extends Error {
  override readonly name = 'EventStoreRefused';
  constructor(
    message: string,
    readonly reason: 'stream-deleted' | 'access-denied' | 'too-large' | 'invalid',
  ) {
    super(message);
  }
}

/**
 * One of our streams holds what this build cannot read: an unknown type or schema version, a broken shape, a hole.
 * A person must look: either a newer build wrote it, or somebody wrote past us. Carries no data of the event.
 */
export class CorruptEvent extends Error {
  override readonly name = 'CorruptEvent';
  constructor(
    readonly stream: string,
    readonly revision: number,
    readonly eventType: string,
    problem: string,
  ) {
    super(`${stream} holds at revision ${revision} a ${eventType} that cannot be read: ${problem}`);
  }
}
