import { streams, type Instant, type RecordedEvent } from '@keyledger/contracts';
import type { AuditStateQuery, KeyView, MomentQuery } from '@keyledger/contracts/http';
import { History, plainJson, TrailReader, trailRow, type Cut, type FoundKey, type KeyAt } from '@keyledger/audit';
import { coveredByAny, stateAt } from '@keyledger/domain';
import { EventStore } from '@keyledger/event-store';
import { invalidField, reaches, systemClock, type Caller, type PersonalData } from '@keyledger/platform';
import { assertKeyId, noSuchKey } from '../access.js';
import { keyView } from '../keys/key.view.js';
import { assertPast } from './inquiry.js';

/** A moment of the past: what is known of it, and the instant at which that is judged. */
export interface Moment {
  cut: Cut;
  at: Instant;
}

/** Keys and their events as they were, for callers who may know of them. */
export class Past {
  constructor(
    private readonly store: EventStore,
    private readonly history: History,
    private readonly trail: TrailReader,
    private readonly personal: PersonalData,
  ) {}

  /** An answer with the personal data in it as it may be shown. */
  shown<T>(answer: T): Promise<T> {
    return this.personal.revealDeep(answer);
  }

  /** @throws RefusalError 400 naming the field that is wrong */
  async momentOf({ at, position, knownAt }: Pick<MomentQuery, 'at' | 'position' | 'knownAt'>): Promise<Moment> {
    assertPast('at', at);
    assertPast('knownAt', knownAt);
    if (position === undefined) {
      const instant = at ?? systemClock();
      if (knownAt === undefined) return { cut: { recordedUntil: instant }, at: instant };
      return { cut: { recordedUntil: knownAt, happenedUntil: instant }, at: instant };
    }
    if (knownAt !== undefined) throw invalidField('knownAt', 'does not go with position', 'at, or leave it out');
    const place = BigInt(position);
    if (place > (await this.store.head())) {
      throw invalidField('position', 'lies behind the end of the log', 'a position that an event had');
    }
    return { cut: { position: place }, at: at ?? (await this.instantAt(place)) };
  }

  /** All events of a key. @throws RefusalError 404 for a key that is unknown or out of reach */
  async eventsOf(caller: Caller, keyId: string): Promise<RecordedEvent[]> {
    assertKeyId(keyId);
    const events: RecordedEvent[] = [];
    for await (const batch of this.store.readStream(streams.key(keyId), { direction: 'forwards' })) {
      events.push(...batch);
    }
    const [first] = events;
    const keyspaceId = first && 'keyspaceId' in first.event.data ? first.event.data.keyspaceId : undefined;
    if (keyspaceId === undefined || !reaches(caller.reach, keyspaceId)) throw noSuchKey(keyId);
    return events;
  }

  async rowsOf(events: readonly RecordedEvent[]): Promise<ReturnType<typeof trailRow>[]> {
    const subjects = await this.trail.subjectsOf(events);
    return this.shown(events.map((recorded, index) => trailRow(recorded, subjects[index] ?? {})));
  }

  /** Every key that fits, in the order of ids. */
  async *keys(
    caller: Caller,
    query: AuditStateQuery,
    { cut, at }: Moment,
    options: { after?: string; signal?: AbortSignal } = {},
  ): AsyncGenerator<KeyView[], void, undefined> {
    const mayFit = foreseen(query);
    for await (const batch of this.history.keysAt(cut, { ...options, replay: query.replay === 'true' })) {
      const views = batch.flatMap((found): KeyView[] => {
        if (!mayFit(found)) return [];
        const key = found.key();
        return reaches(caller.reach, key.state.keyspaceId) && fits(key, query, at) ? [viewOf(key, at)] : [];
      });
      yield await this.shown(views);
    }
  }

  private async instantAt(place: bigint): Promise<Instant> {
    const { trail } = this;
    const query = { filter: { toPosition: place }, order: 'newest', reach: 'all' } as const;
    for await (const { found } of trail.read(query)) {
      const [newest] = found;
      if (newest) return newest.recorded.recordedAt;
    }
    return EPOCH;
  }
}

const EPOCH: Instant = '1970-01-01T00:00:00.000Z';

export const viewOf = ({ state, revision }: KeyAt, at: Instant): KeyView => keyView(state, revision, at);

function fits({ state: key }: KeyAt, query: AuditStateQuery, at: Instant): boolean {
  const { scope, owner, keyspaceId, environment, state } = query;
  return (
    (keyspaceId === undefined || key.keyspaceId === keyspaceId) &&
    (owner === undefined || key.owner.id === owner) &&
    (environment === undefined || key.environment === environment) &&
    (state === undefined || stateAt(key, at) === state) &&
    (scope === undefined || coveredByAny(key.scopes, scope))
  );
}

/**
 * Whether it is worth taking a line of a snapshot apart: a key that fits has these texts in its line. Says yes too
 * often, never no wrongly.
 */
function foreseen({ scope, owner, keyspaceId, environment, state }: AuditStateQuery): (found: FoundKey) => boolean {
  const needed = [
    keyspaceId === undefined ? undefined : member('keyspaceId', keyspaceId),
    environment === undefined ? undefined : member('environment', environment),
    owner === undefined ? undefined : member('id', owner),
    state === 'revoked' || state === 'suspended' ? member('status', state) : undefined,
    state === 'active' || state === 'pending' || state === 'expired' ? member('status', 'active') : undefined,
  ].filter((text) => text !== undefined);
  const anyOf = scope === undefined ? undefined : covering(scope).map(plainJson);
  return ({ line }) =>
    line === undefined ||
    (needed.every((text) => line.includes(text)) && (!anyOf || anyOf.some((text) => line.includes(text))));
}

const member = (name: string, value: string): string => `"${name}":${plainJson(value)}`;

/** A scope and all that cover it. */
function covering(scope: string): string[] {
  const parts = scope.split(':');
  return [scope, ...parts.slice(0, -1).map((_, index) => `${parts.slice(0, index + 1).join(':')}:*`)];
}
