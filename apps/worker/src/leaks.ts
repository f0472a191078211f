import { streams, type CommandContext, type LeakEvent, type RecordedEvent } from '@keyledger/contracts';
import { evolveLeak, fold, keyDecider, type LeakState } from '@keyledger/domain';
import type { Decisions, EventBatch } from '@keyledger/event-store';
import { Incidents, type Incident, type LeakReport } from '@keyledger/leaks';
import { systemClock, type Logger, type PersonalData } from '@keyledger/platform';
import {
  DecoySightings,
  IncidentIndex,
  type ReadModel,
  type RedisClient,
  type TakenSighting,
} from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reactor } from './reactor.js';

export interface LeakWorkParts {
  decisions: Decisions;
  redis: RedisClient;
  readModel: ReadModel;
  personal: PersonalData;
  logger: Logger;
}

const LEAK_STREAM = streams.leak('');
/** How long whoever recorded a report is left to go on with it himself. */
const OWN_TIME_MS = 2000;
const AT_ONCE = 8;
const SIGHTINGS_AT_ONCE = 50;
const LOOK_EVERY_MS = 250;
const LONGEST_PAUSE_MS = 5000;

/**
 * What a worker does about leaks: keeps the list of incidents, goes on with those that somebody left half done, and turns
 * decoys that were presented into incidents.
 */
export function leakWork({ redis, readModel, decisions, personal, logger }: LeakWorkParts) {
  const index = new IncidentIndex(redis);
  const incidents = new Incidents({ decisions, readModel, index, clock: systemClock });
  const sightings = new DecoySightings(redis);
  return {
    list: listKeeper(incidents, index),
    listProgress: index.tenure,
    finisher: finisher(incidents),
    watchDecoys: (signal: AbortSignal) => watchDecoys({ decisions, incidents, sightings, personal, logger }, signal),
  };
}

/** Keeps the list: the api has written most of it already. */
function listKeeper(incidents: Incidents, index: IncidentIndex): Reactor {
  return {
    name: 'leaks',
    streamPrefixes: [LEAK_STREAM],
    react: async ({ events }) => {
      await each([...byIncident(events)], async ([leakId, own]) => {
        const { state, revision } = folded(own) ?? (await loaded(incidents, leakId));
        await index.apply(state, revision);
      });
    },
  };
}

/** Goes on with what was recorded and not finished: its api was killed, or could not reach Redis. */
function finisher(incidents: Incidents): Reactor {
  return {
    name: 'leak-response',
    streamPrefixes: [LEAK_STREAM],
    react: async ({ events }: EventBatch) => {
      const open = new Set<string>();
      for (const { event, stream } of events) {
        const leakId = stream.slice(LEAK_STREAM.length);
        if (event.type === 'LeakReported' || event.type === 'LeakMatched') open.add(leakId);
        if (event.type === 'LeakActionTaken') open.delete(leakId);
      }
      const newest = events.at(-1)?.recordedAt;
      if (open.size > 0 && newest !== undefined) await sleep(ownTimeLeft(newest));
      await each([...open], async (leakId) => {
        const incident = await loaded(incidents, leakId);
        if (!incident.state.action) await incidents.proceed(incident);
      });
    },
  };
}

const ownTimeLeft = (recordedAt: string): number =>
  Math.min(OWN_TIME_MS, Math.max(0, Date.parse(recordedAt) + OWN_TIME_MS - Date.now()));

function byIncident(events: readonly RecordedEvent[]): Map<string, RecordedEvent<LeakEvent>[]> {
  const incidents = new Map<string, RecordedEvent<LeakEvent>[]>();
  for (const event of events as readonly RecordedEvent<LeakEvent>[]) {
    const leakId = event.stream.slice(LEAK_STREAM.length);
    const own = incidents.get(leakId);
    if (own) own.push(event);
    else incidents.set(leakId, [event]);
  }
  return incidents;
}

/** An incident whose events are all at hand, as when the list is made anew. */
function folded(events: readonly RecordedEvent<LeakEvent>[]): { state: LeakState; revision: number } | undefined {
  if (events[0]?.revision !== 0) return undefined;
  const state = fold<LeakState | undefined, LeakEvent>(
    evolveLeak,
    undefined,
    events.map(({ event }) => event),
  );
  return state && { state, revision: events.length - 1 };
}

async function loaded(incidents: Incidents, leakId: string): Promise<Incident> {
  const incident = await incidents.load(leakId);
  if (!incident) throw new Error(`the incident ${leakId} has no events`);
  return incident;
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) await work(items[at] as T);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane));
}

interface WatchParts {
  decisions: Decisions;
  incidents: Incidents;
  sightings: DecoySightings;
  personal: PersonalData;
  logger: Logger;
}

async function watchDecoys(parts: WatchParts, signal: AbortSignal): Promise<void> {
  const { sightings, logger } = parts;
  for (let failures = 0; !signal.aborted;) {
    try {
      const taken = await sightings.take(SIGHTINGS_AT_ONCE);
      await each(taken, (sighting) => tellOf(parts, sighting));
      await sightings.done(taken.map(({ id }) => id));
      failures = 0;
      if (taken.length === SIGHTINGS_AT_ONCE) continue;
    } catch (error) {
      if (failures++ === 0 && !signal.aborted)
        logger.warn({ err: error }, 'decoys that were presented cannot be told of');
    }
    const pauseMs = Math.min(LOOK_EVERY_MS * 2 ** failures, LONGEST_PAUSE_MS);
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}

/** One incident for a secret, an address and a day, so that a flood is one. */
async function tellOf({ decisions, incidents, personal }: WatchParts, sighting: TakenSighting): Promise<void> {
  const { keyId, secretId, seenAt, address, userAgent, service } = sighting;
  const { state: key } = await decisions.load(keyDecider, streams.key(keyId));
  const secret = [...(key?.secrets ?? []), ...(key?.retired ?? [])].find((one) => one.secretId === secretId);
  if (!secret) return;
  const mask = 'mask' in secret ? secret.mask : undefined;
  const { from, sameAs } = await personal.presentedFrom({
    ...(address !== undefined && { address }),
    ...(userAgent !== undefined && { userAgent }),
    ...(service !== undefined && { service }),
  });
  const report: LeakReport = {
    source: 'honeykey',
    token: { hash: secret.hash, otherHashes: [], ...(mask !== undefined && { mask }) },
    presentedFrom: from,
    ...(sameAs !== undefined && { sameAs }),
  };
  const context: CommandContext = {
    commandId: `decoy-${sighting.id}`,
    now: seenAt,
    actor: { type: 'system', id: 'honeykey' },
    reason: `decoy ${keyId} was presented`,
    requestId: `decoy-${sighting.id}`,
    ...(address !== undefined && { clientAddress: address }),
    ...(userAgent !== undefined && { userAgent }),
  };
  const { failure } = await incidents.handle(report, context);
  if (failure !== undefined) throw failure;
}
