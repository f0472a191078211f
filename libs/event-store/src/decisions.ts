import {
  refusal,
  type CommandContext,
  type Instant,
  type LedgerEvent,
  type RecordedEvent,
  type Refusal,
} from '@keyledger/contracts';
import { fold, type Decider } from '@keyledger/domain';
import { setTimeout as pause } from 'node:timers/promises';
import type { Append, Appended } from './appending.js';
import { RevisionConflict } from './errors.js';
import type { EventStore } from './event-store.js';
import { newEvents } from './new-events.js';

/** What became of a command. */
export type Outcome<S, E> =
  | {
      accepted: true;
      /** What the command caused; none if everything was already so. */
      events: E[];
      /** State right after those events; of a replayed command the state as it is now, like `revision` and `position`. */
      state: S;
      /** Of the stream; -1: there is none. */
      revision: number;
      /** Of the stream's newest event in the log; `undefined`: there is none. */
      position: bigint | undefined;
      /** The command had run before: `events` are those that it caused then. */
      replayed: boolean;
      /** What it left behind, also of a replayed command: whatever came after its events is not in it. */
      left: Left<S>;
    }
  | { accepted: false; refusal: Refusal; state: S; revision: number };

/** A stream right after a command. */
export interface Left<S> {
  state: S;
  revision: number;
  /** When it was recorded; only of a command that had run before. */
  recordedAt?: Instant;
}

/** A stream folded. */
export interface Loaded<S> {
  state: S;
  revision: number;
  position: bigint | undefined;
  events: RecordedEvent[];
}

/** A stream whose state is known. */
export interface Known<S> {
  state: S;
  revision: number;
  position?: bigint | undefined;
}

/** A command on a state that is known. */
export interface CommandOn<C, S, E> extends Known<S> {
  stream: string;
  command: C;
  /** Asked only where there are events, so that its reason may follow from them. */
  contextOf: (events: readonly E[]) => CommandContext;
}

const CONFLICT_RETRIES = 5;
const FIRST_PAUSE_MS = 5;

/**
 * Runs commands on streams: load, fold, decide, append behind what was read. A command is known by `commandId`, which
 * stands in every event that it causes: repeated in any process, at any time and also many times at once, it has its
 * events once. A command that caused none leaves no trace in the log, and is decided anew: who must not have that has to
 * remember it himself.
 */
export class Decisions {
  /** @param keepable turns a context into what may be recorded of it; asked for each attempt that has events, if there */
  constructor(
    private readonly store: EventStore,
    private readonly keepable?: (context: CommandContext) => Promise<CommandContext>,
  ) {}

  /** @throws as `EventStore.load` */
  async load<C, S, E extends LedgerEvent>(decider: Decider<C, S, E>, stream: string): Promise<Loaded<S>> {
    const { events, revision } = await this.store.load(stream);
    const state = foldWith(decider, decider.initialState, events.map(eventOf<E>));
    return { state, revision, position: events.at(-1)?.position, events };
  }

  /**
   * Decides on the stream's state as it is and appends. Another append in between means a new decision on the new
   * state, five times at most; then the refusal is CONFLICT. With `expectedRevision`, a stream at another one is
   * refused with PRECONDITION_FAILED.
   * @param command the command, or what makes it from the state on which it will be decided
   * @param context likewise, where its reason or its id follow from the state and its revision
   * @throws as `EventStore.load` and `EventStore.append`, but no RevisionConflict
   */
  async run<C, S, E extends LedgerEvent>(
    decider: Decider<C, S, E>,
    stream: string,
    command: C | ((state: S) => C),
    contextOf: CommandContext | ((state: S, revision: number) => CommandContext),
    { expectedRevision }: { expectedRevision?: number } = {},
  ): Promise<Outcome<S, E>> {
    for (let retries = 0; ; retries += 1) {
      const loaded = await this.load(decider, stream);
      const { state, revision, position } = loaded;
      const context = typeof contextOf === 'function' ? contextOf(state, revision) : contextOf;
      const before = this.recall(decider, loaded, context);
      if (before) return before;
      if (expectedRevision !== undefined && expectedRevision !== revision) {
        return { accepted: false, refusal: changed(stream, expectedRevision, revision), state, revision };
      }
      const known = { state, revision, position };
      const outcome = await this.runOn(known, decider, stream, isMaker(command) ? command(state) : command, context);
      if (outcome) return outcome;
      if (retries === CONFLICT_RETRIES) return { accepted: false, refusal: overtaken(stream), state, revision };
      await pause(Math.random() * FIRST_PAUSE_MS * 2 ** retries);
    }
  }

  /**
   * What became of a command that ran on this stream before: refused if it was another one under the same id, and
   * `undefined` if it did not run or changed nothing. For whoever has to look at other things before he may decide.
   */
  recall<C, S, E extends LedgerEvent>(
    decider: Decider<C, S, E>,
    { state, revision, position, events }: Loaded<S>,
    { commandId, fingerprint }: CommandContext,
  ): Outcome<S, E> | undefined {
    const caused = events.filter(({ metadata }) => metadata.commandId === commandId);
    const last = caused.at(-1);
    if (!last) return undefined;
    const recorded = last.metadata.fingerprint;
    if (fingerprint !== undefined && recorded !== undefined && fingerprint !== recorded) {
      const reused = refusal('IDEMPOTENCY_KEY_REUSED', 'The same command id came with another request before.');
      return { accepted: false, refusal: reused, state, revision };
    }
    const until = events.slice(0, events.indexOf(last) + 1).map(eventOf<E>);
    const left = {
      state: foldWith(decider, decider.initialState, until),
      revision: last.revision,
      recordedAt: last.recordedAt,
    };
    return { accepted: true, events: caused.map(eventOf<E>), state, revision, position, replayed: true, left };
  }

  /**
   * Decides on a state that is known, and appends right behind its revision: one attempt. Whether the command has run
   * before is not looked into, so its id should follow from the revision, if it may come twice.
   * @returns `undefined` if the stream is not at that revision (any more); nothing was appended
   * @throws as `EventStore.append`, but no RevisionConflict
   */
  async runOn<C, S, E extends LedgerEvent>(
    known: Known<S>,
    decider: Decider<C, S, E>,
    stream: string,
    command: C,
    context: CommandContext,
  ): Promise<Outcome<S, E> | undefined> {
    const [outcome] = await this.runAllOn(decider, [{ ...known, stream, command, contextOf: () => context }]);
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }

  /**
   * Likewise commands on as many streams, whose appends travel together. What became of each comes in their order: as
   * `runOn` gives it, or what it would have thrown.
   */
  async runAllOn<C, S, E extends LedgerEvent>(
    decider: Decider<C, S, E>,
    all: readonly CommandOn<C, S, E>[],
  ): Promise<(Outcome<S, E> | undefined | Error)[]> {
    const outcomes = new Array<Outcome<S, E> | undefined | Error>(all.length);
    const begun: { place: number; events: E[] }[] = [];
    const appends: Append[] = [];
    for (const [place, { stream, state, revision, position, command, contextOf }] of all.entries()) {
      try {
        const decision = decider.decide(command, state);
        if (!decision.accepted) {
          outcomes[place] = { accepted: false, refusal: decision.refusal, state, revision };
        } else if (decision.events.length === 0) {
          const left = { state, revision };
          outcomes[place] = { accepted: true, events: [], state, revision, position, replayed: false, left };
        } else {
          const { events } = decision;
          const context = contextOf(events);
          const kept = this.keepable ? await this.keepable(context) : context;
          appends.push({ stream, expectedRevision: revision, events: newEvents(stream, events, kept) });
          begun.push({ place, events });
        }
      } catch (error) {
        outcomes[place] = error as Error;
      }
    }
    const appended = appends.length === 0 ? [] : await this.store.appendAll(appends);
    for (const [nth, { place, events }] of begun.entries()) {
      const result = appended[nth] as Appended | Error;
      if (result instanceof RevisionConflict) continue;
      if (result instanceof Error) outcomes[place] = result;
      else {
        const state = foldWith(decider, (all[place] as Known<S>).state, events);
        const left = { state, revision: result.revision };
        outcomes[place] = { accepted: true, events, state, ...result, replayed: false, left };
      }
    }
    return outcomes;
  }
}

function foldWith<C, S, E>(decider: Decider<C, S, E>, state: S, events: readonly E[]): S {
  return fold((before, event: E) => decider.evolve(before, event), state, events);
}

const eventOf = <E>(recorded: RecordedEvent): E => recorded.event as E;

function isMaker<C, S>(command: C | ((state: S) => C)): command is (state: S) => C {
  return typeof command === 'function';
}

function changed(stream: string, expectedRevision: number, revision: number): Refusal {
  return refusal('PRECONDITION_FAILED', `${stream} is at revision ${revision}, not ${expectedRevision}.`);
}

function overtaken(stream: string): Refusal {
  return refusal('CONFLICT', `Other changes of ${stream} came first, again and again; try again.`);
}
