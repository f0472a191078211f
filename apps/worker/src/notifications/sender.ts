import { instantOf, streams } from '@keyledger/contracts';
import {
  dueAtMs,
  notificationDecider,
  type ChannelState,
  type NotificationCommand,
  type NotificationState,
} from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { idFrom, systemClock, type Logger, type Metrics } from '@keyledger/platform';
import type { ChannelDirectory, NotificationIndex } from '@keyledger/read-model';
import { DelayedError, type Job } from 'bullmq';
import { disableChannel } from '../disable-channel.js';
import type { Courier, Try } from './courier.js';
import type { SendJob } from './outbox.js';

const PER_CHANNEL = 4;
const TURN_MS = 250;
/** Chance lengthens a pause by up to a fifth, so that what failed together does not come back together. */
const JITTER = 0.2;

/** A job while its outcome is not on record: a repetition of the job records it, and sends nothing. */
interface SentJob extends SendJob {
  ended?: Extract<NotificationCommand, { type: 'RecordDelivery' | 'RecordFailure' }>;
  /** Revision of the notification that was sent. */
  revision?: number;
}

/** Works on the queue `notifications`: one job is one notification, from its first try to its outcome. */
export class Sender {
  private readonly inFlight = new Map<string, number>();
  private readonly outcomes;

  constructor(
    private readonly decisions: Decisions,
    private readonly channels: ChannelDirectory,
    private readonly index: NotificationIndex,
    private readonly courier: Courier,
    private readonly retriesMs: readonly number[],
    private readonly logger: Logger,
    metrics: Metrics,
  ) {
    const help = 'Notifications by the type of their channel and what became of them';
    this.outcomes = metrics.counter('keyledger_notifications_total', help, ['type', 'outcome'] as const);
  }

  /** @throws DelayedError when the job has been put off, as BullMQ wants it */
  async work(job: Job<SentJob>): Promise<void> {
    const { notificationId, ended } = job.data;
    const stream = streams.notification(notificationId);
    const { state, revision } = await this.decisions.load(notificationDecider, stream);
    if (state?.state !== 'pending') return;
    if (ended) return this.record(state, ended, job.data.revision ?? revision);
    if (dueAtMs(state) > Date.now()) return putOff(job, dueAtMs(state) - Date.now() + 20);
    if (!(await this.channels.at(0n))) throw new Error('the channels are not known yet');
    const channel = this.channels.byId(state.channelId)?.channel;
    const hindrance = hindranceOf(channel, state);
    if (!channel || hindrance !== undefined) {
      return this.end(job, state, revision, failure(job.data.attempts, hindrance ?? ''));
    }
    if ((this.inFlight.get(channel.channelId) ?? 0) >= PER_CHANNEL) return putOff(job, TURN_MS * (1 + Math.random()));
    const tried = await this.attempt(channel, state);
    await this.settle(job, { state, revision }, channel, tried);
  }

  private async attempt(channel: ChannelState, state: NotificationState): Promise<Try> {
    const { channelId } = channel;
    this.inFlight.set(channelId, (this.inFlight.get(channelId) ?? 0) + 1);
    try {
      return await this.courier.deliver(channel, state);
    } finally {
      const left = (this.inFlight.get(channelId) ?? 1) - 1;
      if (left === 0) this.inFlight.delete(channelId);
      else this.inFlight.set(channelId, left);
    }
  }

  private async settle(
    job: Job<SentJob>,
    { state, revision }: { state: NotificationState; revision: number },
    channel: ChannelState,
    tried: Try,
  ): Promise<void> {
    const attempts = job.data.attempts + 1;
    if (tried.result === 'delivered') {
      this.outcomes.inc({ type: channel.type, outcome: 'delivered' });
      const delivery = { type: 'RecordDelivery', attempts, answer: tried.answer, now: systemClock() } as const;
      return this.end(job, state, revision, delivery);
    }
    const pauseMs = this.retriesMs[attempts - 1];
    const over = tried.result !== 'failed' || pauseMs === undefined || state.kind === 'channel.test';
    this.outcomes.inc({ type: channel.type, outcome: over ? 'failed' : 'retried' });
    if (over) {
      if (tried.result === 'gone') await disableChannel(this.decisions, this.logger, channel.channelId, tried.problem);
      return this.end(job, state, revision, failure(attempts, tried.problem));
    }
    const waitMs = Math.max(pauseMs * (1 + JITTER * Math.random()), (tried.retryAfterSeconds ?? 0) * 1000);
    const nextAttemptAt = instantOf(Date.now() + waitMs);
    const { notificationId, channelId } = state;
    this.logger.info(
      { notificationId, channelId, attempts, problem: tried.problem, nextAttemptAt },
      'a message failed',
    );
    await this.index
      .noteTries(notificationId, { attempts, problem: tried.problem, nextAttemptAt })
      .catch(() => undefined);
    await job.updateData({ ...job.data, attempts });
    return putOff(job, waitMs);
  }

  /** Remembers in the job what became of it before it is on record, so that nothing is sent again if that fails. */
  private async end(
    job: Job<SentJob>,
    state: NotificationState,
    revision: number,
    ended: NonNullable<SentJob['ended']>,
  ): Promise<void> {
    await job.updateData({ ...job.data, ended, revision });
    await this.record(state, ended, revision);
  }

  /** News that joined the message while it was on its way would be lost under the outcome, and is asked for anew. */
  private async record(
    { notificationId, kind }: NotificationState,
    ended: NonNullable<SentJob['ended']>,
    sentRevision: number,
  ): Promise<void> {
    const stream = streams.notification(notificationId);
    const loaded = await this.decisions.load(notificationDecider, stream);
    const late = loaded.events.filter(({ revision }) => revision > sentRevision).map(({ event }) => event);
    const items = late.flatMap((event) => (event.type === 'NotificationRequested' ? [event.data] : []));
    if (items.length > 0) await this.moveOn(notificationId, items);
    const commandId = idFrom(`outcome ${notificationId} ${loaded.revision}`);
    const expected = { expectedRevision: loaded.revision };
    const outcome = await this.decisions.run(notificationDecider, stream, ended, context(commandId, kind), expected);
    if (!outcome.accepted) throw new Error(outcome.refusal.detail);
  }

  private async moveOn(from: string, late: NotificationState['items']): Promise<void> {
    const notificationId = idFrom(`behind ${from} ${late[0]?.eventId}`);
    const items = late.map((item) => ({ ...item, notificationId, requestedAt: systemClock() }));
    const command = { type: 'RequestNotification', items, digest: true, now: systemClock() } as const;
    const kind = late[0]?.kind ?? '';
    const stream = streams.notification(notificationId);
    await this.decisions.run(notificationDecider, stream, command, context(`request ${notificationId}`, kind));
  }
}

function hindranceOf(channel: ChannelState | undefined, { kind }: NotificationState): string | undefined {
  if (!channel) return 'the channel was removed';
  if (channel.disabled !== undefined && kind !== 'channel.test') return `the channel is disabled: ${channel.disabled}`;
  return channel.type === 'receiver' ? 'a receiver gets secrets, not news' : undefined;
}

const failure = (attempts: number, problem: string) =>
  ({ type: 'RecordFailure', attempts, problem, now: systemClock() }) as const;

const context = (commandId: string, reason: string) => ({
  commandId,
  now: systemClock(),
  actor: { type: 'system', id: 'worker' } as const,
  reason,
  requestId: commandId,
});

async function putOff(job: Job, ms: number): Promise<never> {
  await job.moveToDelayed(Date.now() + ms, job.token);
  throw new DelayedError();
}
