import { type NotificationEvent, type RecordedEvent } from '@keyledger/contracts';
import { dueAtMs, notificationDecider, type NotificationState } from '@keyledger/domain';
import type { Decisions, EventBatch } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import type { NotificationIndex } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Queues } from '../queues.js';
import type { Reactor } from '../reactor.js';

/** What a job of the queue `notifications` knows; everything else stands in the notification's stream. */
export interface SendJob {
  notificationId: string;
  /** Tries that are over. */
  attempts: number;
}

interface Known {
  state: NotificationState;
  revision: number;
}

/** Requests older than this are left to the sweep: while the log is read again, most of them are long delivered. */
const FRESH_MS = 60_000;
const LOOK_EVERY_MS = 5000;
const SWEEP_EVERY_MS = 60_000;
const PAGE = 500;
const REMEMBERED = 5000;

/**
 * Keeps the lists of notifications in Redis, and a job for each that waits to be sent. Both can be lost: the lists are
 * derived again from the notification streams, and then, and every minute, each pending notification gets the job that
 * it lacks, under its own id.
 */
export class Outbox implements Reactor {
  readonly name = 'outbox';
  readonly streamPrefixes = ['notification-'];
  private readonly known = new Map<string, Known>();
  private sweptAt = 0;

  constructor(
    private readonly decisions: Decisions,
    private readonly index: NotificationIndex,
    private readonly queues: Queues,
    private readonly logger: Logger,
  ) {}

  async react({ events, live }: EventBatch): Promise<void> {
    const touched = new Map<string, Known>();
    for (const event of events) {
      const known = await this.take(event as RecordedEvent<NotificationEvent>);
      touched.set(event.stream, known);
    }
    await Promise.all([...touched.values()].map(({ state, revision }) => this.index.put(state, revision)));
    for (const { state } of touched.values()) {
      if (state.state === 'pending' && (live || Date.now() - Date.parse(state.touchedAt) < FRESH_MS)) {
        await this.enqueue(state.notificationId, Math.max(0, dueAtMs(state) - Date.now()));
      }
    }
  }

  /** Jobs may have been lost together with what was derived again. */
  async caughtUp(): Promise<void> {
    this.sweptAt = 0;
  }

  /** Sweeps until the signal aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const now = Date.now();
      if (now - this.sweptAt >= SWEEP_EVERY_MS) {
        // Set before: whatever is caught up with meanwhile has it done again.
        this.sweptAt = now;
        await this.sweep().catch((error: unknown) => {
          this.sweptAt = 0;
          if (!signal.aborted)
            this.logger.warn({ err: error }, 'the notifications that wait could not be looked through');
        });
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Every pending notification has a job afterwards. */
  private async sweep(): Promise<void> {
    const queue = this.queues.queue('notifications');
    for (let after: string | undefined; ;) {
      const { ids, members } = await this.index.pending(PAGE, after);
      for (const id of ids) await this.enqueue(id, 0);
      after = members.at(-1);
      if (members.length < PAGE) break;
    }
    for (const job of await queue.getFailed(0, PAGE)) await job.retry().catch(() => undefined);
  }

  private async enqueue(notificationId: string, delay: number): Promise<void> {
    const job: SendJob = { notificationId, attempts: 0 };
    await this.queues.queue('notifications').add('send', job, { jobId: notificationId, delay });
  }

  private async take({ stream, revision, event }: RecordedEvent<NotificationEvent>): Promise<Known> {
    const before = this.known.get(stream);
    const next = revision === (before?.revision ?? -1) + 1;
    const known = next
      ? { state: notificationDecider.evolve(before?.state, event) as NotificationState, revision }
      : await this.load(stream);
    this.known.delete(stream);
    if (known.state.state === 'pending') this.known.set(stream, known);
    if (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value as string);
    return known;
  }

  private async load(stream: string): Promise<Known> {
    const { state, revision } = await this.decisions.load(notificationDecider, stream);
    if (!state) throw new RangeError(`${stream} is empty`);
    return { state, revision };
  }
}
