import type { Instant } from '@keyledger/contracts';
import type { DeadlineEntry, DeadlineIndex, Stretch } from '@keyledger/read-model';
import type { Queues } from '../queues.js';

/** What a job knows: which stretch of the index to go through. What is due there it reads when it runs. */
export interface Round extends Stretch {
  /** When it was to begin, in milliseconds. */
  at: number;
}

/** What is due within the same so many milliseconds shares a round, which begins at their end. */
const WIDTH_MS = 50;
/** What comes within this time has its round; everything later is only in the index. */
const HORIZON_MS = 10_000;
/** What is overdue for longer shares one round in each part of the index, however much it is: a week's worth, say. */
const OVERDUE_MS = 5000;

/**
 * When which keys have to be looked at: all of it in the deadline index, and for the near part and what is overdue jobs
 * that go through a stretch of the index each. The id of a job follows from its stretch, so that the same stretch is in
 * the queue once, whoever puts it there, and however many deadlines it holds.
 */
export class Rounds {
  constructor(
    readonly index: DeadlineIndex,
    private readonly queues: Queues,
  ) {}

  /** @throws ReadModelUnavailable; an error of Redis. Doing it again is always right. */
  async put(entries: readonly DeadlineEntry[], now: Instant): Promise<void> {
    if (entries.length === 0) return;
    await this.index.put(entries);
    const nowMs = Date.parse(now);
    const near = new Map<string, Round>();
    for (const { id, at } of entries) {
      if (at === undefined || at > nowMs + HORIZON_MS || at < nowMs - OVERDUE_MS) continue;
      const round = roundOf(this.index.partOf(id), at);
      near.set(idOf(round), round);
    }
    await this.add([...near.values()], nowMs);
  }

  /** Puts in every round that is near or overdue and not there: lost ones, failed ones, those that have come near. */
  async sweep(now: Instant): Promise<void> {
    const nowMs = Date.parse(now);
    const since = nowMs - OVERDUE_MS;
    const near = await this.index.steps(since, nowMs + HORIZON_MS, WIDTH_MS);
    const overdue = (await this.index.partsDueBefore(since)).map((part) => ({ part, until: since, at: nowMs }));
    await this.clearRemains(overdue);
    await this.add([...overdue, ...near.map(({ part, at }) => roundOf(part, at))], nowMs);
  }

  private add(rounds: readonly Round[], nowMs: number): Promise<void> {
    const jobs = rounds.map((round) => ({ id: idOf(round), at: round.at, data: round }));
    return this.queues.addTimed('deadlines', 'round', jobs, nowMs);
  }

  /**
   * A Redis that lost its newest writes may hold a job and no list that names it; nobody would ever take it, and another
   * of its id would be ignored. What that job was to do is overdue by then, so only those jobs are looked at.
   */
  private async clearRemains(rounds: readonly Round[]): Promise<void> {
    for (const round of rounds) {
      const job = await this.queues.queue('deadlines').getJob(idOf(round));
      if (job && (await job.getState()) === 'unknown') await job.remove();
    }
  }
}

function roundOf(part: string, at: number): Round {
  const from = Math.floor(at / WIDTH_MS) * WIDTH_MS;
  return { part, from, until: from + WIDTH_MS, at: from + WIDTH_MS };
}

function idOf({ part, from }: Round): string {
  return `${part}-${from ?? 'overdue'}`;
}
