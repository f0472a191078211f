import { durationSeconds, plusSeconds, type Instant, type KeyEvent, type RecordedEvent } from '@keyledger/contracts';
import { evolveKey, rotationRule, stateAt, type KeyState } from '@keyledger/domain';
import { KEY_COLUMNS, keyCells, keyRow, Keyspaces, linesOf, type HeldKey } from './holdings.js';
import { InPassing } from './in-passing.js';
import {
  columns,
  daysBetween,
  eventsLink,
  inPeriod,
  isWithin,
  secondsBetween,
  type Report,
  type ReportRow,
  type ReportSource,
} from './report.js';

type EventOf<T extends KeyEvent['type']> = Extract<KeyEvent, { type: T }>;

const actorCells = ({ metadata: { actor, reason } }: RecordedEvent) => ({
  actorType: actor.type,
  actorId: actor.id,
  onBehalfOf: actor.onBehalfOf,
  changeReason: reason,
});
const ACTOR_COLUMNS = `actorType: Actor
actorId: Who
onBehalfOf: For whom
changeReason: Why`;

/** The one event that a line tells of. */
const thisEvent = (keyId: string, { position }: RecordedEvent): string =>
  eventsLink({ keyId, fromPosition: position, toPosition: position });

/** Keys as they were at each place of the log; without the secrets that are over, of which no line tells. */
const keysInPassing = (source: Pick<ReportSource, 'eventsOf'>): InPassing<KeyState> =>
  new InPassing(source, (before, { event }) => ({ ...evolveKey(before, event as KeyEvent), retired: [] }));

export const rotations: Report = {
  name: 'rotations',
  title: 'Rotations on time and late',
  description:
    'Every rotation of the period: on time or late by the rule that held for the key when it was rotated, or ' +
    '"unscheduled" where none did. At the end the keys whose rotation was overdue at the instant.',
  period: true,
  streams: ['key-', 'keyspace-'],
  columns: columns(`${KEY_COLUMNS}
timing: On time or late
secretCreatedAt: Old secret since
dueAt: Due
rotatedAt: Rotated
lateDays: Days late
graceEndsAt: Old secret ends
secretId: New secret
previousSecretId: Old secret
${ACTOR_COLUMNS}`),
  begin(question, source) {
    const keyspaces = new Keyspaces();
    const keys = keysInPassing(source);
    return {
      async take(recorded) {
        const { event } = recorded;
        if (recorded.stream.startsWith('keyspace-')) keyspaces.take(recorded);
        else {
          const asked = event.type === 'KeyRotated' && inPeriod(question, recorded.recordedAt);
          const before = asked ? await keys.before(recorded) : undefined;
          keys.follow(recorded);
          if (asked && before && isWithin(question.within, before.keyspaceId)) {
            return [rotationRow(keyspaces, before, recorded, event)];
          }
        }
        return [];
      },
      key: linesOf(question, (key) => overdueRow(keyspaces, key, question.at)),
    };
  },
};

/** When the current secret has to be replaced by the rule that holds for the key now, if one does. */
function dueAtOf(keyspaces: Keyspaces, key: KeyState): Instant | undefined {
  const policy = keyspaces.get(key.keyspaceId)?.state.policy;
  const rule = policy && rotationRule(key, policy);
  const [current] = key.secrets;
  const period = rule && durationSeconds(rule.every);
  if (period === undefined || !current || current.imported) return undefined;
  const dueAt = plusSeconds(current.createdAt, period);
  return key.expiresAt !== undefined && dueAt >= key.expiresAt ? undefined : dueAt;
}

function rotationRow(
  keyspaces: Keyspaces,
  before: KeyState,
  recorded: RecordedEvent,
  { data }: EventOf<'KeyRotated'>,
): ReportRow {
  const { rotatedAt, graceEndsAt, secret, previousSecretId } = data;
  const dueAt = dueAtOf(keyspaces, before);
  const late = dueAt !== undefined && rotatedAt > dueAt;
  return {
    ...keyCells(before),
    timing: dueAt === undefined ? 'unscheduled' : late ? 'late' : 'on-time',
    secretCreatedAt: before.secrets[0]?.createdAt,
    dueAt,
    rotatedAt,
    lateDays: late ? daysBetween(dueAt, rotatedAt) : undefined,
    graceEndsAt,
    secretId: secret.secretId,
    previousSecretId,
    ...actorCells(recorded),
    events: thisEvent(before.keyId, recorded),
  };
}

function overdueRow(keyspaces: Keyspaces, key: HeldKey, at: Instant): ReportRow | undefined {
  const dueAt = dueAtOf(keyspaces, key.state);
  if (dueAt === undefined || dueAt >= at || stateAt(key.state, at) !== 'active') return undefined;
  const secretCreatedAt = key.state.secrets[0]?.createdAt;
  return keyRow(key, { timing: 'overdue', secretCreatedAt, dueAt, lateDays: daysBetween(dueAt, at) });
}

export const revocations: Report = {
  name: 'revocations',
  title: 'Revocations',
  description:
    'Every revocation of the period with the time from the request until it was on record. From then on it holds: it is ' +
    'shown to verifiers before the request is answered, or, where that was not possible, by the projector a moment later.',
  period: true,
  streams: ['key-'],
  columns: columns(`${KEY_COLUMNS}
reason: Reason
comment: Comment
requestedAt: Requested
revokedAt: Decided
recordedAt: On record
secondsToEffect: Seconds from request to record
${ACTOR_COLUMNS}`),
  begin(question, source) {
    const keys = keysInPassing(source);
    return {
      async take(recorded) {
        const { event, recordedAt } = recorded;
        const asked = event.type === 'KeyRevoked' && inPeriod(question, recordedAt);
        const key = asked ? await keys.before(recorded) : undefined;
        keys.follow(recorded);
        if (!asked || !key || !isWithin(question.within, key.keyspaceId)) return [];
        const { keyId, reason, comment, requestedAt, revokedAt } = event.data;
        const row = {
          ...keyCells(key),
          reason,
          comment,
          requestedAt,
          revokedAt,
          recordedAt,
          secondsToEffect: secondsBetween(requestedAt, recordedAt),
          ...actorCells(recorded),
          events: thisEvent(keyId, recorded),
        };
        return [row];
      },
    };
  },
};

interface Counted {
  actorType: string;
  actorId: string;
  onBehalfOf: string | undefined;
  type: string;
  keyspaceId: string | undefined;
  count: number;
  firstAt: Instant;
  lastAt: Instant;
  first: bigint;
  last: bigint;
}

export const changesByActor: Report = {
  name: 'changes-by-actor',
  title: 'Changes by actor',
  description:
    'Who has changed what how often in the period: one line for each actor, for whom it acted, kind of change and ' +
    'keyspace. Changes that belong to no keyspace are shown to readers of all keyspaces only.',
  period: true,
  streams: ['key-', 'keyspace-', 'leak-', 'channel-', 'review-'],
  columns: columns(`actorType: Actor
actorId: Who
onBehalfOf: For whom
type: Change
keyspaceId: Keyspace
count: How often
firstAt: First
lastAt: Last`),
  begin(question, source) {
    const places = new InPassing(source, placeBehind);
    const lines = new Map<string, Counted>();
    return {
      async take(recorded) {
        if (inPeriod(question, recorded.recordedAt)) {
          const keyspaceId = placeBehind(await places.before(recorded), recorded);
          if (isWithin(question.within, keyspaceId)) count(lines, recorded, keyspaceId);
        }
        places.follow(recorded);
        return [];
      },
      rest: () => countedRows(lines),
    };
  },
};

/** The keyspace that an event belongs to; of most events of a stream only its first says so. */
function placeBehind(before: string | undefined, { event }: RecordedEvent): string | undefined {
  const data = event.data as { keyspaceId?: string; audience?: unknown };
  const { keyspaceId } = event.type === 'ChannelRegistered' ? (data.audience as { keyspaceId?: string }) : data;
  return keyspaceId ?? before;
}

function count(lines: Map<string, Counted>, recorded: RecordedEvent, keyspaceId: string | undefined): void {
  const { metadata, event, recordedAt, position } = recorded;
  const { type: actorType, id: actorId, onBehalfOf } = metadata.actor;
  const name = JSON.stringify([actorType, actorId, onBehalfOf, event.type, keyspaceId]);
  const line = lines.get(name);
  if (line) {
    Object.assign(line, { count: line.count + 1, lastAt: recordedAt, last: position });
    return;
  }
  const place = { firstAt: recordedAt, lastAt: recordedAt, first: position, last: position };
  lines.set(name, { actorType, actorId, onBehalfOf, type: event.type, keyspaceId, count: 1, ...place });
}

function* countedRows(lines: Map<string, Counted>): Generator<ReportRow> {
  for (const { first, last, ...line } of lines.values()) {
    const { actorId, type, keyspaceId } = line;
    yield { ...line, events: eventsLink({ actorId, type, keyspaceId, fromPosition: first, toPosition: last }) };
  }
}
