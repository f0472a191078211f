import { type NotificationEvent, type RecordedEvent } from '@keyledger/contracts';
import { dueAtMs, notificationDecider, type NotificationState } from '@keyledger/domain';
import type { Decisions, EventBatch, EventStore } from '@keyledger/event-store';
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
 * Keeps the lists of notifications in Redis, and a job for each that waits to be sent. Both can be lost: lists that are
 * not complete are derived again from the notification streams, and every minute each pending notification gets the job
 * that it lacks, under its own id.
 */
export class Outbox implements Reactor {
  readonly name = 'outbox';
  readonly streamPrefixes = ['notification-'];
  private readonly known = new Map<string, Known>();

  constructor(
    private readonly store: Pick<EventStore, 'subscribe'>,
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
    for (const { state, revision } of touched.values()) {
      await this.index.put(state, revision);
      if (state.state === 'pending' && (live || Date.now() - Date.parse(state.touchedAt) < FRESH_MS)) {
        await this.enqueue(state.notificationId, Math.max(0, dueAtMs(state) - Date.now()));
      }
    }
  }

  /** Until the signal aborts: looks whether the lists are complete, and sweeps. */
  async watch(signal: AbortSignal): Promise<void> {
    for (let sweptAt = 0; !signal.aborted;) {
      try {
        if (!(await this.index.isComplete())) {
          await this.derive(signal);
          sweptAt = 0;
        }
        if (Date.now() - sweptAt >= SWEEP_EVERY_MS) {
          await this.sweep();
          sweptAt = Date.now();
        }
      } catch (error) {
        if (!signal.aborted)
          this.logger.warn({ err: error }, 'the notifications that wait could not be looked through');
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Every pending notification has a job afterwards. */
  async sweep(): Promise<void> {
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

  /** The lists from the first notification on. Sends nothing: that is for the sweep behind it. */
  private async derive(signal: AbortSignal): Promise<void> {
    const end = new AbortController();
    const states = new Map<string, Known>();
    const batches = this.store.subscribe({
      after: 'start',
      streamPrefixes: this.streamPrefixes,
      signal: AbortSignal.any([signal, end.signal]),
    });
    for await (const { events, live } of batches) {
      for (const recorded of events as RecordedEvent<NotificationEvent>[]) {
        const state = notificationDecider.evolve(states.get(recorded.stream)?.state, recorded.event);
        if (state) states.set(recorded.stream, { state, revision: recorded.revision });
      }
      for (const stream of new Set(events.map((event) => event.stream))) {
        const known = states.get(stream);
        if (!known) continue;
        await this.index.put(known.state, known.revision);
        if (known.state.state === 'delivered') states.delete(stream);
      }
      if (!live) continue;
      await this.index.markComplete();
      break;
    }
    end.abort();
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
