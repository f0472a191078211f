import { streams, type CommandContext, type Instant, type KeyEvent, type RotationPolicy } from '@keyledger/contracts';
import {
  keyDecider,
  nextDeadline,
  rotationDue,
  type KeyCommand,
  type KeyState,
  type Surroundings,
} from '@keyledger/domain';
import type { CommandOn, Decisions, Outcome } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import type { DeadlineEntry, Due, HandedOver, Projected, ReadModel } from '@keyledger/read-model';
import { DelayedError, type Job } from 'bullmq';
import type { ClockCheck } from '../clock-check.js';
import { clockContext } from '../clock-context.js';
import type { Keyspaces } from './keyspaces.js';
import { Lanes } from './lanes.js';
import type { Rotations } from './rotations.js';
import type { Round, Rounds } from './rounds.js';
import type { Standing } from './standing.js';

/** Keys of one round that are looked at together: enough to share every round trip, few enough to wait for the slowest. */
const AT_ONCE = 64;
/** Lots of keys at work at a time: enough for Redis, event store and this process to be busy, more only takes memory. */
const LOTS_AT_ONCE = 3;
/** A round that cannot deal with so many keys ends; the next one begins with the earliest again. */
const MOST_LEFT = 1000;
/** How often a decision is made anew because somebody else changed the key meanwhile. */
const MOST_TRIES = 5;

type Known = Projected<KeyState>;

/** Why something could not be done for a key. */
interface Failed {
  error: unknown;
}

interface Marked extends Known {
  changed: boolean;
  /** It changes verdicts by itself, other than time does. */
  urgent: boolean;
  around: Surroundings;
  /** By which the key has to be rotated now. */
  rotation: RotationPolicy | undefined;
}

/** What a job about a stretch of the deadline index does: of each key in it whatever is due by now, and its next deadline. */
export class KeyDeadlines {
  private readonly atHand = new Map<string, Promise<unknown>>();
  private readonly lanes = new Lanes(LOTS_AT_ONCE);

  constructor(
    private readonly parts: {
      rounds: Rounds;
      keyspaces: Keyspaces;
      standing: Standing;
      rotations: Rotations;
      decisions: Decisions;
      readModel: ReadModel;
      handedOver: HandedOver;
      clock: ClockCheck;
      logger: Logger;
      onLateness: (seconds: number) => void;
    },
  ) {}

  /**
   * Goes through a stretch until nothing is due in it. A key that fails keeps none of the others waiting, and one that is
   * still there after it was looked at is left to the next round.
   * @throws ClockOff, what a store throws, and at the end what the first of the failed keys failed with: the job is tried
   * again, and finds only those that are still due
   */
  async work({ data: round }: Job<Round>, delay: (until: number) => Promise<void>): Promise<void> {
    const { clock, rounds } = this.parts;
    // Another worker's clock may have let it go.
    if (Date.parse(clock.now()) < round.at) {
      await delay(round.at);
      throw new DelayedError();
    }
    let failed: Failed | undefined;
    const left = new Set<string>();
    let looked = new Set<string>();
    for (let more = true; more && left.size <= MOST_LEFT;) {
      await this.lanes.within(async () => {
        const found = await rounds.index.within(round, AT_ONCE + left.size);
        for (const { id } of found) if (looked.has(id) || this.atHand.has(id)) left.add(id);
        const due = found.filter(({ id }) => !left.has(id));
        looked = new Set(due.map(({ id }) => id));
        more = due.length > 0;
        if (!more) return;
        const [first] = await this.lookAt(due);
        failed ??= first;
      });
    }
    if (failed) throw failed.error;
  }

  /** Resolves when what this process has at hand about these keys has ended, well or not. */
  async settled(keyIds: readonly string[]): Promise<void> {
    const open = new Set<Promise<unknown>>();
    for (const keyId of keyIds) {
      const work = this.atHand.get(keyId);
      if (work) open.add(work);
    }
    await Promise.all(open);
  }

  /** Deals with what is due of these keys and states their next deadlines. Gives why it could not for some. */
  private async lookAt(due: readonly Due[]): Promise<Failed[]> {
    const work = this.lookAndState(due);
    const settled = work.catch(() => undefined);
    for (const { id } of due) this.atHand.set(id, settled);
    return work.finally(() => {
      for (const { id } of due) this.atHand.delete(id);
    });
  }

  /**
   * The read model's record spares a load, and a decision on an old one is not taken by the store. That nothing is due,
   * or that the key is to be rotated, is believed of its events only. What readers judge by time themselves is
   * left to the projector, which brings it in larger lots; what it would have to read for that is handed over.
   */
  private async lookAndState(due: readonly Due[]): Promise<Failed[]> {
    const { clock, rounds, readModel, handedOver, onLateness } = this.parts;
    const now = clock.now();
    const nowMs = Date.parse(now);
    for (const { at } of due) onLateness(Math.max(0, nowMs - at) / 1000);
    const ids = due.map(({ id }) => id);
    const records = await readModel.foldedKeys(ids);
    const outcomes = await this.mark(
      records.filter((record) => record !== undefined),
      now,
    );
    const entries: DeadlineEntry[] = [];
    const failed: Failed[] = [];
    const urgent: Known[] = [];
    const unsure: string[] = [];
    let nth = 0;
    for (const [index, record] of records.entries()) {
      const marked = record && outcomes[nth++];
      if (marked instanceof Error) failed.push({ error: marked });
      else if (!record || !marked?.changed || marked.rotation) unsure.push(ids[index] as string);
      else {
        if (marked.urgent) urgent.push(marked);
        else handedOver.put({ state: marked.state, revision: marked.revision, before: record });
        entries.push(entryOf(marked, marked.around, now));
      }
    }
    const [looked] = await Promise.all([
      Promise.allSettled(unsure.map((keyId) => this.lookAtEvents(keyId, now))),
      this.show(urgent),
    ]);
    for (const one of looked) {
      if (one.status === 'fulfilled') entries.push(one.value);
      else failed.push({ error: one.reason as unknown });
    }
    await rounds.put(entries, now);
    return failed;
  }

  private async lookAtEvents(keyId: string, now: Instant): Promise<DeadlineEntry> {
    const { keyspaces, rotations, decisions } = this.parts;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const { state, revision } = await decisions.load(keyDecider, streams.key(keyId));
      if (!state) return { id: keyId, revision: 0 };
      const [marked] = await this.mark([{ state, revision }], now);
      if (marked instanceof Error) throw marked;
      if (!marked) continue;
      let key: Known = marked;
      const { rotation } = marked;
      if (rotation)
        key = (await rotations.rotate(key.state, await keyspaces.of(state.keyspaceId), rotation, now)) ?? key;
      if (rotation || marked.urgent) await this.show([key]);
      return entryOf(key, marked.around, now);
    }
    throw new Error(`other changes of the key ${keyId} came first, again and again`);
  }

  /**
   * Decides what time has brought to each, in their order; an error in the place of one with which that failed.
   * `undefined`: the key is not what it was taken for.
   */
  private async mark(keys: readonly Known[], now: Instant): Promise<(Marked | undefined | Error)[]> {
    const { decisions, keyspaces, standing } = this.parts;
    const homes = await keyspaces.ofAll(keys.map(({ state }) => state.keyspaceId));
    const arounds = await standing.ofAll(keys.map(({ state }) => ({ state, keyspace: homes.get(state.keyspaceId) })));
    const marked = new Array<Marked | undefined | Error>(keys.length);
    const commands: CommandOn<KeyCommand, KeyState | undefined, KeyEvent>[] = [];
    const places: number[] = [];
    for (const [place, { state, revision }] of keys.entries()) {
      const around = arounds[place];
      if (!around || around instanceof Error) {
        marked[place] = around;
        continue;
      }
      const { keyId } = state;
      const contextOf = (due: readonly KeyEvent[]): CommandContext => contextFor(keyId, revision, now, due);
      const command: KeyCommand = { type: 'MarkTime', now, ...around };
      places.push(place);
      commands.push({ state, revision, stream: streams.key(keyId), command, contextOf });
    }
    const outcomes = await decisions.runAllOn(keyDecider, commands);
    for (const [nth, place] of places.entries()) {
      marked[place] = markedBy(outcomes[nth], arounds[place] as Surroundings, now);
    }
    return marked;
  }

  private async show(keys: readonly Known[]): Promise<void> {
    if (keys.length === 0) return;
    await this.parts.readModel.applyKeys(keys).catch((error: unknown) => {
      this.parts.logger.warn({ err: error }, 'a change is not visible yet: Redis cannot be reached');
    });
  }
}

function markedBy(
  outcome: Outcome<KeyState | undefined, KeyEvent> | undefined | Error,
  around: Surroundings,
  now: Instant,
): Marked | undefined | Error {
  if (!outcome || outcome instanceof Error) return outcome;
  if (!outcome.accepted) return new Error(outcome.refusal.detail);
  const { state, revision, events } = outcome;
  if (!state) return undefined;
  const rotation = rotationDue(state, around, now);
  return { state, revision, changed: events.length > 0, urgent: events.some(isUrgent), around, rotation };
}

function entryOf({ state, revision }: Known, around: Surroundings, now: Instant): DeadlineEntry {
  const next = nextDeadline(state, around, now);
  return { id: state.keyId, at: next === undefined ? undefined : Date.parse(next), revision };
}

function isUrgent({ type, data }: KeyEvent): boolean {
  return type === 'KeySuspended' || (type === 'KeyGraceEnded' && data.cause === 'idle');
}

/** Two workers that decide at the same revision have one command id; which of them is first does not matter. */
function contextFor(keyId: string, revision: number, now: Instant, due: readonly KeyEvent[]): CommandContext {
  const reason = due.map(({ type }) => REASONS[type] ?? type).join(', ');
  return clockContext(`clock ${keyId} ${revision}`, reason, now);
}

const REASONS: Partial<Record<KeyEvent['type'], string>> = {
  KeyExpired: 'the key has expired',
  KeyExpiryAnnounced: 'an end is near',
  KeyRotationAnnounced: 'the secret is due for rotation',
  KeyUnusedAnnounced: 'the key is not used',
  KeySuspended: 'the key is not used, and the policy suspends such keys',
  KeyGraceEnded: 'the grace of the old secret is over',
};
