import type { Instant } from '@keyledger/contracts';
import type { DeadlineEntry, DeadlineIndex } from '@keyledger/read-model';
import type { Queues } from '../queues.js';

/** What a job is about: whom to look at, and when that was to be. */
export interface Appointment {
  id: string;
  at: number;
}

/** What comes within this time is a job; everything later is only in the index. */
const HORIZON_MS = 30_000;
/** What is overdue for longer is left to the sweep, so that a week's worth of it comes bit by bit. */
const OVERDUE_MS = 5000;
const SWEPT_AT_ONCE = 10_000;
/** A queue that is this long already gets no more for now: what is in it is done first. */
const LONGEST_QUEUE = 5000;

/**
 * When which delivery has to be looked at next: all of it in its deadline index, the near part as delayed jobs, whose ids
 * follow from id and instant, so that the same appointment is in the queue once.
 */
export class Schedule {
  constructor(
    readonly index: DeadlineIndex,
    private readonly queues: Queues,
  ) {}

  /** @throws ReadModelUnavailable; an error of Redis. Doing it again is always right. */
  async put(entries: readonly DeadlineEntry[], now: Instant): Promise<void> {
    if (entries.length === 0) return;
    await this.index.put(entries);
    const nowMs = Date.parse(now);
    const isNear = (at: number): boolean => at <= nowMs + HORIZON_MS && at >= nowMs - OVERDUE_MS;
    await this.add(
      entries.flatMap(({ id, at }) => (at !== undefined && isNear(at) ? [{ id, at }] : [])),
      nowMs,
    );
  }

  /** Puts in what is due soon and has no job: lost ones, failed ones, those that have come near. Gives how many it saw. */
  async sweep(now: Instant): Promise<number> {
    const nowMs = Date.parse(now);
    if ((await this.queues.queue('deliveries').getWaitingCount()) > LONGEST_QUEUE) return 0;
    const due = await this.index.due(nowMs + HORIZON_MS, SWEPT_AT_ONCE);
    await this.add(due, nowMs);
    return due.length;
  }

  private add(appointments: readonly Appointment[], nowMs: number): Promise<void> {
    const jobs = appointments.map(({ id, at }) => ({ id: jobIdOf(id, at, nowMs), at, data: { id, at } }));
    return this.queues.addTimed('deliveries', 'look', jobs, nowMs);
  }
}

/**
 * The same for the same appointment; of one that is long overdue another each minute, so that the remains of a job that
 * was lost by halves do not stand in its way for ever. Twice is as good as once.
 */
function jobIdOf(id: string, at: number, nowMs: number): string {
  const minutes = Math.floor((nowMs - at) / 60_000);
  return minutes < 1 ? `${id}-${at}` : `${id}-${at}-${minutes}`;
}
