import {
  streams,
  type CommandContext,
  type KeyEvent,
  type KeyLeakReported,
  type LedgerEvent,
  type LeakEvent,
  type Refusal,
} from '@keyledger/contracts';
import {
  keyDecider,
  keyspaceDecider,
  leakDecider,
  leakResponse,
  type KeyCommand,
  type KeyState,
  type LeakCommand,
  type LeakState,
} from '@keyledger/domain';
import type { Decisions, Outcome } from '@keyledger/event-store';
import type { Clock } from '@keyledger/platform';
import type { IncidentIndex, ReadModel } from '@keyledger/read-model';
import { leakIdOf, type LeakReport } from './report.js';
import type { FoundToken } from './token.js';

/** An incident as it stands. */
export interface Incident {
  state: LeakState;
  revision: number;
  /** All that it asks for is done, and everybody sees it. If not, a worker finishes it. */
  effective: boolean;
  /** What kept it from being gone on with here. */
  failure?: Error;
}

export interface IncidentParts {
  decisions: Decisions;
  readModel: Pick<ReadModel, 'findByHash' | 'applyKey'>;
  index: IncidentIndex;
  clock: Clock;
}

/** A step was overtaken again and again; whoever asks again goes on from it. */
export class LeakUnfinished extends Error {
  constructor(
    leakId: string,
    readonly refusal: Refusal,
  ) {
    super(`the incident ${leakId} could not be gone on with: ${refusal.detail}`);
    this.name = 'LeakUnfinished';
  }
}

interface FoundKey {
  key: KeyState;
  secretId: string;
}

/**
 * Reported, matched, acted on: each step is an event, each is decided on the events before it, and each can be asked for
 * by many at once and again after a crash without happening twice.
 */
export class Incidents {
  constructor(private readonly parts: IncidentParts) {}

  /**
   * Records a report and goes on with it as far as that is possible now; what is left a worker does.
   * @throws as `record`: then nothing happened
   */
  async handle(report: LeakReport, context: CommandContext): Promise<Incident> {
    const recorded = await this.record(report, context);
    return this.proceed(recorded).catch(async (failure: unknown) => {
      // The failed step may have had another before it that was done.
      const reached = (await this.load(recorded.state.report.leakId).catch(() => undefined)) ?? recorded;
      return { ...reached, failure: failure instanceof Error ? failure : new Error(String(failure)) };
    });
  }

  /** Whether a text that was found is a key of ours, current or over. @throws ReadModelUnavailable */
  async isKnown({ hash, otherHashes }: FoundToken): Promise<boolean> {
    return (await this.find({ tokenHash: hash, otherHashes: [...otherHashes] })) !== undefined;
  }

  /**
   * Records a report, durably, before anything else is done about it.
   * @throws as `Decisions.run`
   */
  async record(report: LeakReport, context: CommandContext): Promise<Incident> {
    const { source, token, tokenType, url, location, comment, presentedFrom, within } = report;
    const { now } = context;
    const leakId = leakIdOf(report, now);
    const command: LeakCommand = {
      type: 'RecordLeak',
      leakId,
      source,
      tokenHash: token.hash,
      ...(token.otherHashes.length > 0 && { otherHashes: [...token.otherHashes] }),
      ...(token.mask !== undefined && { mask: token.mask }),
      ...(tokenType !== undefined && { tokenType }),
      ...(url !== undefined && { url }),
      ...(location !== undefined && { location }),
      ...(comment !== undefined && { comment }),
      ...(presentedFrom && { presentedFrom }),
      ...(within && { within: [...within] }),
      now,
    };
    const { fingerprint: _, ...rest } = context;
    return this.step(leakId, command, { ...rest, commandId: `report-${leakId}`, correlationId: leakId });
  }

  /**
   * Goes on with an incident from where it stands until nothing is left to do: looks for the key, acts on it as its
   * keyspace says, writes down what was done. An incident that is about no key of ours is done with the look.
   * @throws ReadModelUnavailable if nobody can tell whether it is one; as `Decisions.run`; LeakUnfinished
   */
  async proceed(incident: Incident): Promise<Incident> {
    let current = incident;
    if (!current.state.match) {
      const found = await this.find(current.state.report);
      if (!found) return { ...current, effective: await this.seen(current) };
      current = await this.match(current, found);
    }
    let applied = true;
    if (!current.state.action) {
      const { command, visible } = await this.act(current.state);
      applied = visible;
      current = await this.follow(current, command, 'action');
    }
    return { ...current, effective: (await this.seen(current)) && applied };
  }

  /** @returns `undefined` if there is none. @throws as `Decisions.load` */
  async load(leakId: string): Promise<Incident | undefined> {
    const { state, revision } = await this.parts.decisions.load(leakDecider, streams.leak(leakId));
    return state && { state, revision, effective: false };
  }

  /** Shows an incident in the list. `false` if Redis cannot be reached; then a worker does it. */
  async seen({ state, revision }: Pick<Incident, 'state' | 'revision'>): Promise<boolean> {
    return this.parts.index.apply(state, revision).then(
      () => true,
      () => false,
    );
  }

  private async find({
    tokenHash,
    otherHashes = [],
    within,
  }: Pick<LeakState['report'], 'tokenHash' | 'otherHashes' | 'within'>): Promise<FoundKey | undefined> {
    const places = [tokenHash, ...otherHashes].flatMap((hash) =>
      (['issued', 'imported'] as const).map((namespace) => ({ hash, namespace })),
    );
    const found = await Promise.all(
      places.map(({ hash, namespace }) => this.parts.readModel.findByHash(hash, namespace)),
    );
    for (const [at, projected] of found.entries()) {
      const key = projected?.state;
      if (!key || (within && !within.includes(key.keyspaceId))) continue;
      const secret = [...key.secrets, ...key.retired].find(({ hash }) => hash === places[at]?.hash);
      if (secret) return { key, secretId: secret.secretId };
    }
    return undefined;
  }

  private async match(incident: Incident, { key, secretId }: FoundKey): Promise<Incident> {
    const { keyId, keyspaceId, environment, kind, owner } = key;
    const { state: keyspace } = await this.parts.decisions.load(keyspaceDecider, streams.keyspace(keyspaceId));
    if (!keyspace) throw new RangeError(`the key ${keyId} is of the keyspace ${keyspaceId}, which has no events`);
    const response = leakResponse(keyspace.policy, key);
    const facts = { keyId, secretId, keyspaceId, environment, kind, owner, response };
    return this.follow(incident, { type: 'MatchLeak', ...facts, now: this.parts.clock() }, 'match');
  }

  /** The report and the response in one append on the key; its command id is the incident's, so it happens once. */
  private async act({ report, match }: LeakState): Promise<{ command: LeakCommand; visible: boolean }> {
    const { leakId, source, url } = report;
    if (!match) throw new RangeError(`the incident ${leakId} is about no key yet`);
    const { keyId, secretId, response } = match;
    const { decisions, readModel, clock } = this.parts;
    const now = clock();
    const command = { type: 'ReportLeak', leakId, secretId, source, ...(url !== undefined && { url }), response, now };
    const stream = streams.key(keyId);
    const outcome = done(
      leakId,
      await decisions.run(keyDecider, stream, command as KeyCommand, responding(leakId, `leak-${leakId}`, now)),
    );
    const { state, revision, events, replayed } = outcome;
    const first =
      replayed || events.length === 0 ? await this.revisionOf(stream, leakId) : revision - events.length + 1;
    const visible = !!state && (await readModel.applyKey(state, revision).then(yes, no));
    const { action, because } = reportIn(events) ?? reportIn(await this.eventsOf(stream), leakId) ?? missing(leakId);
    return {
      command: {
        type: 'NoteLeakAction',
        action,
        ...(because !== undefined && { because }),
        keyRevision: first,
        now: clock(),
      },
      visible,
    };
  }

  private async eventsOf(stream: string): Promise<KeyEvent[]> {
    const { events } = await this.parts.decisions.load(keyDecider, stream);
    return events.map(({ event }) => event as KeyEvent);
  }

  /** A key's stream has no gaps, so the place of an event is its revision. */
  private async revisionOf(stream: string, leakId: string): Promise<number> {
    const events = await this.eventsOf(stream);
    return events.findIndex((event) => event.type === 'KeyLeakReported' && event.data.leakId === leakId);
  }

  /** Where the incident is as it was left, which is nearly always, without reading it again. */
  private async follow(
    { state, revision }: Incident,
    command: LeakCommand,
    step: 'match' | 'action',
  ): Promise<Incident> {
    const { leakId } = state.report;
    const context = responding(leakId, `leak-${leakId}-${step}`, command.now);
    const outcome = await this.parts.decisions.runOn<LeakCommand, LeakState | undefined, LeakEvent>(
      { state, revision },
      leakDecider,
      streams.leak(leakId),
      command,
      context,
    );
    return outcome?.accepted ? incidentOf(leakId, outcome) : this.step(leakId, command, context);
  }

  private async step(leakId: string, command: LeakCommand, context: CommandContext): Promise<Incident> {
    const run = this.parts.decisions.run<LeakCommand, LeakState | undefined, LeakEvent>(
      leakDecider,
      streams.leak(leakId),
      command,
      context,
    );
    return incidentOf(leakId, done(leakId, await run));
  }
}

function incidentOf(leakId: string, { state, revision }: { state: LeakState | undefined; revision: number }): Incident {
  if (!state) throw new RangeError(`the incident ${leakId} was not recorded as it was decided`);
  return { state, revision, effective: false };
}

const yes = (): boolean => true;
const no = (): boolean => false;

function done<S, E extends LedgerEvent>(
  leakId: string,
  outcome: Outcome<S, E>,
): Extract<Outcome<S, E>, { accepted: true }> {
  if (!outcome.accepted) throw new LeakUnfinished(leakId, outcome.refusal);
  return outcome;
}

function reportIn(events: readonly KeyEvent[], leakId?: string): KeyLeakReported['data'] | undefined {
  for (const { type, data } of events) {
    if (type === 'KeyLeakReported' && (leakId === undefined || data.leakId === leakId)) return data;
  }
  return undefined;
}

function missing(leakId: string): never {
  throw new RangeError(`the key of the incident ${leakId} does not know of it`);
}

/** Whoever finishes an incident, api or worker, says the same of it. */
function responding(leakId: string, commandId: string, now: string): CommandContext {
  return {
    commandId,
    now,
    actor: { type: 'system', id: 'leak-response' },
    reason: `leak ${leakId}`,
    requestId: `leak-${leakId}`,
    correlationId: leakId,
    causationId: `report-${leakId}`,
  };
}
