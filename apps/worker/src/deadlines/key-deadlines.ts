import { streams, type CommandContext, type Instant, type KeyEvent, type RotationPolicy } from '@keyledger/contracts';
import {
  eventsDue,
  keyDecider,
  nextDeadline,
  rotationDue,
  type KeyCommand,
  type KeyState,
  type Surroundings,
} from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import type { DeadlineEntry, Due, Projected, ReadModel } from '@keyledger/read-model';
import { DelayedError, type Job } from 'bullmq';
import type { ClockCheck } from '../clock-check.js';
import { clockContext } from '../clock-context.js';
import type { Keyspaces } from './keyspaces.js';
import type { Rotations } from './rotations.js';
import type { Round, Rounds } from './rounds.js';
import type { Standing } from './standing.js';

/** Keys of one round that are looked at together: enough to share every round trip, few enough to wait for the slowest. */
const AT_ONCE = 128;
/** A round that cannot deal with so many keys ends; the next one begins with the earliest again. */
const MOST_LEFT = 1000;
/** How often a decision is made anew because somebody else changed the key meanwhile. */
const MOST_TRIES = 5;

type Known = Projected<KeyState>;

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

  constructor(
    private readonly parts: {
      rounds: Rounds;
      keyspaces: Keyspaces;
      standing: Standing;
      rotations: Rotations;
      decisions: Decisions;
      readModel: ReadModel;
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
    let failed: { error: unknown } | undefined;
    const left = new Set<string>();
    let looked = new Set<string>();
    while (left.size <= MOST_LEFT) {
      const found = await rounds.index.within(round, AT_ONCE + left.size);
      for (const { id } of found) if (looked.has(id) || this.atHand.has(id)) left.add(id);
      const due = found.filter(({ id }) => !left.has(id));
      if (due.length === 0) break;
      const [first] = await this.lookAt(due);
      failed ??= first;
      looked = new Set(due.map(({ id }) => id));
    }
    if (failed) throw failed.error;
  }

  /** Resolves when what this process has at hand about a key has ended, well or not; at once if there is nothing. */
  async settled(keyId: string): Promise<void> {
    await this.atHand.get(keyId);
  }

  /** Deals with what is due of these keys and states their next deadlines. Gives why it could not for some. */
  private async lookAt(due: readonly Due[]): Promise<{ error: unknown }[]> {
    const work = this.lookAndState(due);
    const settled = work.catch(() => undefined);
    for (const { id } of due) this.atHand.set(id, settled);
    return work.finally(() => {
      for (const { id } of due) this.atHand.delete(id);
    });
  }

  private async lookAndState(due: readonly Due[]): Promise<{ error: unknown }[]> {
    const { clock, rounds, readModel, onLateness } = this.parts;
    const now = clock.now();
    for (const { at } of due) onLateness(Math.max(0, Date.parse(now) - at) / 1000);
    const records = await readModel.foldedKeys(due.map(({ id }) => id));
    const outcomes = await Promise.allSettled(due.map(({ id }, index) => this.look(id, records[index], now)));
    const entries = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    await rounds.put(entries, now);
    return outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [{ error: outcome.reason as unknown }] : []));
  }

  /**
   * The read model's record spares a load, and a decision on an old one is not taken by the store. That nothing is due,
   * or that the key is to be rotated, is believed of its events only. What readers judge by time themselves is
   * left to the projector, which brings it in larger lots.
   */
  private async look(keyId: string, record: Known | undefined, now: Instant): Promise<DeadlineEntry> {
    const marked = record && (await this.mark(record, now));
    if (!marked?.changed || marked.rotation) return this.lookAtEvents(keyId, now);
    if (marked.urgent) await this.show(marked);
    return entryOf(marked, marked.around, now);
  }

  private async lookAtEvents(keyId: string, now: Instant): Promise<DeadlineEntry> {
    const { keyspaces, rotations, decisions } = this.parts;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const { state, revision } = await decisions.load(keyDecider, streams.key(keyId));
      if (!state) return { id: keyId, revision: 0 };
      const marked = await this.mark({ state, revision }, now);
      if (!marked) continue;
      let key: Known = marked;
      const { rotation } = marked;
      if (rotation)
        key = (await rotations.rotate(key.state, await keyspaces.of(state.keyspaceId), rotation, now)) ?? key;
      if (rotation || marked.urgent) await this.show(key);
      return entryOf(key, marked.around, now);
    }
    throw new Error(`other changes of the key ${keyId} came first, again and again`);
  }

  /** Decides what time has brought. `undefined`: the key is not what it was taken for. */
  private async mark({ state, revision }: Known, now: Instant): Promise<Marked | undefined> {
    const { decisions, keyspaces, standing } = this.parts;
    const around = await standing.of(state, await keyspaces.of(state.keyspaceId));
    const outcome = await decisions.runOn<KeyCommand, KeyState | undefined, KeyEvent>(
      { state, revision },
      keyDecider,
      streams.key(state.keyId),
      { type: 'MarkTime', now, ...around },
      contextFor(state.keyId, revision, now, eventsDue(state, around, now)),
    );
    if (!outcome) return undefined;
    if (!outcome.accepted) throw new Error(outcome.refusal.detail);
    if (!outcome.state) return undefined;
    const rotation = rotationDue(outcome.state, around, now);
    return {
      state: outcome.state,
      revision: outcome.revision,
      changed: outcome.events.length > 0,
      urgent: outcome.events.some(isUrgent),
      around,
      rotation,
    };
  }

  private async show({ state, revision }: Known): Promise<void> {
    await this.parts.readModel.applyKey(state, revision).catch((error: unknown) => {
      this.parts.logger.warn({ err: error }, 'a change is not visible yet: Redis cannot be reached');
    });
  }
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
  const reason = due.map(({ type }) => REASONS[type] ?? type).join(', ') || 'nothing is due';
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
