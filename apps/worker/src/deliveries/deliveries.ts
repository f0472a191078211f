import { streams, type DeliveryEvent, type Instant, type KeyEvent, type RecordedEvent } from '@keyledger/contracts';
import {
  deliveryDecider,
  keyDecider,
  lengthBehind,
  type DeliveryCommand,
  type DeliveryState,
  type KeyCommand,
  type KeyState,
} from '@keyledger/domain';
import type { Decisions, EventBatch } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import type { DeadlineEntry, ReadModel } from '@keyledger/read-model';
import { DelayedError, type Job } from 'bullmq';
import type { ClockCheck } from '../clock-check.js';
import { clockContext } from '../clock-context.js';
import type { Keyspaces } from '../deadlines/keyspaces.js';
import type { Reactor } from '../reactor.js';
import { decideDelivery } from './decide.js';
import type { Appointment, Schedule } from './schedule.js';
import type { Attempt, SecretWebhook } from './secret-webhook.js';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15 * 60_000;
/** How long after its preparation a rotation is waited for that some worker is just about to decide. */
const NOT_ROTATED_PAUSE_MS = 500;
const DELIVERY_STREAM = streams.delivery('');

/** A job of a delivery, with what it has learnt. */
export interface DeliveryAppointment extends Appointment {
  attempts?: number;
  problem?: string;
}

/** Brings new secrets to their receivers, until they are there or their time is over, and sees to what failed. */
export class Deliveries implements Reactor {
  readonly name = 'deliveries';
  readonly streamPrefixes = [DELIVERY_STREAM];

  constructor(
    private readonly parts: {
      schedule: Schedule;
      keyspaces: Keyspaces;
      webhook: SecretWebhook;
      decisions: Decisions;
      readModel: ReadModel;
      clock: ClockCheck;
      logger: Logger;
    },
  ) {}

  /** @throws ClockOff, and whatever a store throws: the batch comes again */
  async react({ events }: EventBatch): Promise<void> {
    const now = this.parts.clock.now();
    const entries = new Map<string, DeadlineEntry>();
    for (const { stream, event, revision } of events as RecordedEvent<DeliveryEvent>[]) {
      const id = stream.slice(DELIVERY_STREAM.length);
      if (event.type === 'SecretDeliveryPrepared') {
        const { via, preparedAt, expiresAt } = event.data;
        entries.set(id, { id, at: Date.parse(via === 'webhook' ? preparedAt : expiresAt), revision });
      } else entries.set(id, { id, revision });
      if (event.type === 'SecretDeliveryFailed') await this.seeTo(id, now);
    }
    await this.parts.schedule.put([...entries.values()], now);
  }

  /** @throws ClockOff, and whatever a store throws: the job is tried again */
  async work(job: Job<DeliveryAppointment>, delay: (until: number) => Promise<void>): Promise<void> {
    const { clock, decisions, schedule } = this.parts;
    const { id, at } = job.data;
    const now = clock.now();
    const again = async (until: number): Promise<never> => {
      await delay(until);
      throw new DelayedError();
    };
    if (Date.parse(now) < at) await again(at);
    const { state: delivery, revision } = await decisions.load(deliveryDecider, streams.delivery(id));
    if (delivery?.status !== 'open') return schedule.put([{ id, revision: Math.max(0, revision) }], now);
    const next = delivery.via === 'pickup' ? await this.endPickup(delivery, now) : await this.send(job, delivery, now);
    if (next !== undefined) await again(next);
  }

  /** Gives when it has to be looked at again; `undefined`: it is over. */
  private async endPickup(delivery: DeliveryState, now: Instant): Promise<number | undefined> {
    if (now < delivery.expiresAt) return Date.parse(delivery.expiresAt);
    await this.fail(delivery, 0, 'nobody picked it up in time', now);
    return undefined;
  }

  private async send(
    job: Job<DeliveryAppointment>,
    delivery: DeliveryState,
    now: Instant,
  ): Promise<number | undefined> {
    const { attempts = 0, problem = 'it was not tried before its time was over' } = job.data;
    if (now >= delivery.expiresAt) return this.fail(delivery, attempts, problem, now);
    const key = await this.keyOf(delivery);
    if (!key || key.status === 'revoked') return this.fail(delivery, attempts, 'the key is revoked', now);
    if (!key.secrets.some(({ secretId }) => secretId === delivery.secret.secretId)) {
      return Math.min(Date.parse(now) + NOT_ROTATED_PAUSE_MS, Date.parse(delivery.expiresAt));
    }
    const attempt = await this.parts.webhook.send(delivery, now);
    const tried = attempts + 1;
    if (attempt.outcome === 'taken') return this.confirm(delivery, tried);
    if (attempt.outcome === 'refused') return this.fail(delivery, tried, attempt.problem, this.parts.clock.now());
    await job.updateData({ ...job.data, attempts: tried, problem: attempt.problem });
    return nextTry(tried, attempt, delivery.expiresAt);
  }

  private async confirm(delivery: DeliveryState, attempts: number): Promise<undefined> {
    const now = this.parts.clock.now();
    await this.decide(delivery, { type: 'ConfirmDelivery', attempts, now }, 'the receiver took it');
  }

  private async fail(delivery: DeliveryState, attempts: number, problem: string, now: Instant): Promise<undefined> {
    const { deliveryId, keyId } = delivery;
    this.parts.logger.warn({ deliveryId, keyId, problem }, 'a new secret could not be delivered');
    await this.decide(delivery, { type: 'FailDelivery', attempts, problem, now }, problem);
    await this.seeTo(deliveryId, now);
  }

  /** After a delivery that failed the old secret works longer, if the policy says so. */
  private async seeTo(deliveryId: string, now: Instant): Promise<void> {
    const { decisions, keyspaces, readModel, logger } = this.parts;
    const { state: delivery } = await decisions.load(deliveryDecider, streams.delivery(deliveryId));
    if (!delivery) return;
    const { keyId, keyspaceId, previousSecretId, problem = '' } = delivery;
    const { policy } = await keyspaces.of(keyspaceId);
    if (lengthBehind('extend', policy.failedDelivery) === undefined) return;
    const length = policy.failedDelivery.slice('extend:'.length);
    const outcome = await decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
      keyDecider,
      streams.key(keyId),
      { type: 'ExtendGrace', secretId: previousSecretId, length, maxGrace: policy.maxGrace, now },
      clockContext(`extension ${deliveryId}`, `the new secret could not be delivered: ${problem}`, now),
    );
    if (!outcome.accepted || !outcome.state || outcome.events.length === 0) return;
    await readModel.applyKey(outcome.state, outcome.revision).catch((error: unknown) => {
      logger.warn({ err: error }, 'a change is not visible yet: Redis cannot be reached');
    });
  }

  private async keyOf({ keyId }: DeliveryState): Promise<KeyState | undefined> {
    return (await this.parts.decisions.load(keyDecider, streams.key(keyId))).state;
  }

  private async decide({ deliveryId }: DeliveryState, command: DeliveryCommand, reason: string): Promise<void> {
    const { revision } = await decideDelivery(this.parts.decisions, deliveryId, command, reason);
    await this.parts.schedule.put([{ id: deliveryId, revision }], command.now);
  }
}

/** Each pause twice the one before, half of it by chance; as the receiver asks, if it does; never past the end. */
function nextTry(tried: number, { retryAfterSeconds }: Attempt, expiresAt: Instant): number {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** (tried - 1), LONGEST_PAUSE_MS);
  const pauseMs = retryAfterSeconds === undefined ? longest * (0.5 + Math.random() / 2) : retryAfterSeconds * 1000;
  return Math.min(Date.now() + pauseMs, Date.parse(expiresAt));
}
