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
import type { Projected, ReadModel } from '@keyledger/read-model';
import { DelayedError, type Job } from 'bullmq';
import type { ClockCheck } from '../clock-check.js';
import { clockContext } from '../clock-context.js';
import { Gathered } from '../gathered.js';
import type { Keyspaces } from './keyspaces.js';
import type { Rotations } from './rotations.js';
import type { Appointment, Schedule } from './schedule.js';
import type { Standing } from './standing.js';

const AT_ONCE = 256;
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

/** What a job about a key does: whatever is due by now, and the next appointment. */
export class KeyDeadlines {
  private readonly records: Gathered<string, Known | undefined>;
  private readonly atHand = new Map<string, Promise<void>>();

  constructor(
    private readonly parts: {
      schedule: Schedule;
      keyspaces: Keyspaces;
      standing: Standing;
      rotations: Rotations;
      decisions: Decisions;
      readModel: ReadModel;
      clock: ClockCheck;
      logger: Logger;
      onLateness: (seconds: number) => void;
    },
  ) {
    const { readModel } = parts;
    this.records = new Gathered((keyIds) => readModel.foldedKeys(keyIds), AT_ONCE);
  }

  /** @throws ClockOff, and whatever a store throws: the job is tried again */
  async work({ data: { id, at } }: Job<Appointment>, delay: (until: number) => Promise<void>): Promise<void> {
    const { clock, onLateness } = this.parts;
    const now = clock.now();
    // Another worker's clock may have let it go.
    if (Date.parse(now) < at) {
      await delay(at);
      throw new DelayedError();
    }
    onLateness((Date.parse(now) - at) / 1000);
    const work = this.lookAndState(id, now);
    const settled = work.catch(() => undefined);
    this.atHand.set(id, settled);
    await work.finally(() => {
      if (this.atHand.get(id) === settled) this.atHand.delete(id);
    });
  }

  /** Resolves when the job about a key that this process has at hand has ended, well or not; at once if there is none. */
  async settled(keyId: string): Promise<void> {
    await this.atHand.get(keyId);
  }

  private async lookAndState(id: string, now: Instant): Promise<void> {
    const { schedule } = this.parts;
    const { next, revision } = await this.look(id, now);
    await schedule.putOne({ id, at: next === undefined ? undefined : Date.parse(next), revision }, now);
  }

  /**
   * The read model's record spares a load, and a decision on an old one is not taken by the store. That nothing is due,
   * or that the key is to be rotated, is believed of its events only. What readers judge by time themselves is
   * left to the projector, which brings it in larger lots.
   */
  private async look(keyId: string, now: Instant): Promise<{ next?: Instant | undefined; revision: number }> {
    const record = await this.records.ask(keyId);
    const marked = record && (await this.mark(record, now));
    if (marked?.changed && !marked.rotation) {
      if (marked.urgent) await this.show(marked);
      return { next: nextDeadline(marked.state, marked.around, now), revision: marked.revision };
    }
    return this.lookAtEvents(keyId, now);
  }

  private async lookAtEvents(keyId: string, now: Instant): Promise<{ next?: Instant | undefined; revision: number }> {
    const { keyspaces, rotations, decisions } = this.parts;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const { state, revision } = await decisions.load(keyDecider, streams.key(keyId));
      if (!state) return { revision: 0 };
      const marked = await this.mark({ state, revision }, now);
      if (!marked) continue;
      let key: Known = marked;
      const { rotation } = marked;
      if (rotation)
        key = (await rotations.rotate(key.state, await keyspaces.of(state.keyspaceId), rotation, now)) ?? key;
      if (rotation || marked.urgent) await this.show(key);
      return { next: nextDeadline(key.state, marked.around, now), revision: key.revision };
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
