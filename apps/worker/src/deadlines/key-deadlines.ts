import { streams, type CommandContext, type Instant, type KeyEvent } from '@keyledger/contracts';
import {
  DEFAULT_POLICY,
  eventsDue,
  keyDecider,
  nextDeadline,
  rotationDue,
  type KeyCommand,
  type KeyState,
  type KeyUsage,
  type Surroundings,
} from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import type { Projected, ReadModel } from '@keyledger/read-model';
import { DelayedError, type Job } from 'bullmq';
import type { ClockCheck } from '../clock-check.js';
import { clockContext } from '../clock-context.js';
import type { Keyspaces } from './keyspaces.js';
import type { Rotations } from './rotations.js';
import type { Appointment, Schedule } from './schedule.js';
import type { Standing } from './standing.js';

/** Of a key that is not there. */
const NOTHING_KNOWN: Surroundings = { policy: DEFAULT_POLICY, usage: [], receiver: false };

/** Its policy must be read before anything is decided. */
class UnknownKeyspace extends Error {
  constructor(readonly keyspaceId: string) {
    super(`the keyspace ${keyspaceId} was not read yet`);
  }
}

/** What a job about a key does: whatever is due by now, and the next appointment. */
export class KeyDeadlines {
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
  ) {}

  /** @throws ClockOff, and whatever a store throws: the job is tried again */
  async work({ data: { id, at } }: Job<Appointment>, delay: (until: number) => Promise<void>): Promise<void> {
    const { clock, schedule, onLateness } = this.parts;
    const now = clock.now();
    // Another worker's clock may have let it go.
    if (Date.parse(now) < at) {
      await delay(at);
      throw new DelayedError();
    }
    onLateness((Date.parse(now) - at) / 1000);
    const { next, revision } = await this.look(id, now);
    await schedule.put([{ id, at: next === undefined ? undefined : Date.parse(next), revision }], now);
  }

  private async look(keyId: string, now: Instant): Promise<{ next?: Instant | undefined; revision: number }> {
    const { standing, keyspaces, rotations, readModel } = this.parts;
    const usage = await standing.usageOf(keyId);
    const marked = await this.mark(keyId, usage, now).catch(async (error: unknown) => {
      if (!(error instanceof UnknownKeyspace)) throw error;
      await keyspaces.of(error.keyspaceId);
      return this.mark(keyId, usage, now);
    });
    if (!marked) return { revision: 0 };
    let key: Projected<KeyState> = marked;
    const keyspace = await keyspaces.of(key.state.keyspaceId);
    const around = standing.of(key.state, keyspace, usage);
    const rule = rotationDue(key.state, around, now);
    if (rule) key = (await rotations.rotate(key.state, keyspace, rule, now)) ?? key;
    if (rule || marked.changed) await this.show(readModel, key);
    return { next: nextDeadline(key.state, around, now), revision: key.revision };
  }

  /** Decides what time has brought. `undefined`: there is no such key. */
  private async mark(
    keyId: string,
    usage: KeyUsage,
    now: Instant,
  ): Promise<(Projected<KeyState> & { changed: boolean }) | undefined> {
    const { decisions, keyspaces, standing } = this.parts;
    const around = (key: KeyState | undefined): Surroundings => {
      if (!key) return NOTHING_KNOWN;
      const keyspace = keyspaces.peek(key.keyspaceId);
      if (!keyspace) throw new UnknownKeyspace(key.keyspaceId);
      return standing.of(key, keyspace, usage);
    };
    const outcome = await decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
      keyDecider,
      streams.key(keyId),
      (key) => ({ type: 'MarkTime', now, ...around(key) }),
      (key, revision) => contextFor(keyId, revision, now, key ? eventsDue(key, around(key), now) : []),
    );
    if (!outcome.accepted && outcome.refusal.code !== 'NOT_FOUND') throw new Error(outcome.refusal.detail);
    if (!outcome.state || !outcome.accepted) return undefined;
    return { state: outcome.state, revision: outcome.revision, changed: outcome.events.length > 0 };
  }

  private async show(readModel: ReadModel, { state, revision }: Projected<KeyState>): Promise<void> {
    await readModel.applyKey(state, revision).catch((error: unknown) => {
      this.parts.logger.warn({ err: error }, 'a change is not visible yet: Redis cannot be reached');
    });
  }
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
