import { Decisions, type EventStore } from '@keyledger/event-store';
import { KeyDigests, Sealing, type Logger, type Metrics, type Pepper, type SealingKey } from '@keyledger/platform';
import {
  DeadlineIndex,
  type ChannelDirectory,
  type HandedOver,
  type ReadModel,
  type RedisClient,
} from '@keyledger/read-model';
import type { Job } from 'bullmq';
import { ClockCheck } from './clock-check.js';
import { KeyDeadlines } from './deadlines/key-deadlines.js';
import { Keyspaces } from './deadlines/keyspaces.js';
import { Rotations } from './deadlines/rotations.js';
import { Rounds, type Round } from './deadlines/rounds.js';
import { Standing, type UsageSource } from './deadlines/standing.js';
import { Timekeeper } from './deadlines/timekeeper.js';
import { Deliveries, type DeliveryAppointment } from './deliveries/deliveries.js';
import { Schedule } from './deliveries/schedule.js';
import { SecretWebhook } from './deliveries/secret-webhook.js';
import type { Chore } from './housekeeping.js';
import type { Outbound } from './outbound.js';
import type { Precedence } from './precedence.js';
import type { Queues } from './queues.js';
import { ReactorLoop } from './reactor.js';

/** One for each part of the index; a round looks at many keys at once. */
const ROUNDS_AT_ONCE = 8;
const DELIVERIES_AT_ONCE = 20;
const LOCK_MS = 10_000;
const SWEEP_EVERY_MS = 2500;
const LATENESS_BUCKETS_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

export interface TimeParts {
  store: EventStore;
  redis: RedisClient;
  readModel: ReadModel;
  handedOver: HandedOver;
  queues: Queues;
  channels: ChannelDirectory;
  outbound: Pick<Outbound, 'post'>;
  usage: UsageSource;
  peppers: readonly Pepper[];
  sealingKeys: readonly SealingKey[];
  metrics: Metrics;
  logger: Logger;
  precedence: Precedence;
}

/** What time brings to keys: the deadlines and the rotations and deliveries that come of them, put together. */
export class Time {
  readonly clock: ClockCheck;
  private readonly loops: ReactorLoop[];
  private readonly work: Promise<unknown>[] = [];

  /** What has to be done regularly, by any one worker. */
  readonly chores: Record<string, Chore>;

  constructor(private readonly parts: TimeParts) {
    const { store, redis, readModel, handedOver, queues, channels, logger, precedence } = parts;
    this.clock = new ClockCheck(redis, logger, (isRight) => queues.hold(isRight ? 'go on' : 'hold'));
    const { clock } = this;
    const decisions = new Decisions(store);
    const keyspaces = new Keyspaces(decisions);
    const standing = new Standing(parts.usage, channels);
    const rounds = new Rounds(new DeadlineIndex(redis, 'keys'), queues);
    const secrets = new Schedule(new DeadlineIndex(redis, 'deliveries'), queues);
    const webhook = new SecretWebhook(channels, parts.outbound, new Sealing(parts.sealingKeys));
    const deliveries = new Deliveries({ schedule: secrets, keyspaces, webhook, decisions, readModel, clock, logger });
    const rotations = new Rotations({ decisions, standing, digests: new KeyDigests(parts.peppers), logger });
    const onLateness = this.lateness();
    const all = { rounds, keyspaces, standing, rotations, decisions, readModel, clock, logger, onLateness };
    const deadlines = new KeyDeadlines({ ...all, handedOver });
    const timekeeper = new Timekeeper({ ...all, channels, settled: (keyIds) => deadlines.settled(keyIds) });
    this.loops = [
      new ReactorLoop(timekeeper, store, rounds.index, logger, precedence),
      new ReactorLoop(deliveries, store, secrets.index, logger, precedence),
    ];
    this.process(deadlines, deliveries);
    this.chores = {
      deadlines: { everyMs: SWEEP_EVERY_MS, work: () => rounds.sweep(clock.now()) },
      deliveries: { everyMs: SWEEP_EVERY_MS, work: () => secrets.sweep(clock.now()) },
    };
    parts.metrics.gauge('keyledger_deadlines', 'Keys that have a next deadline', [], async (own) => {
      own.set(await rounds.index.size().catch(() => NaN));
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.clock.start();
    this.work.push(...this.loops.map((loop) => loop.run(signal)));
  }

  async stop(): Promise<void> {
    this.clock.stop();
    await Promise.all(this.work);
  }

  /** @throws Error that says why this worker does not act in the name of time. */
  assertReady(): void {
    const problem = this.clock.problem();
    if (problem !== undefined) throw new Error(problem);
    for (const loop of this.loops) loop.assertFollowing('deadlines');
  }

  private process(keys: KeyDeadlines, deliveries: Deliveries): void {
    const { queues } = this.parts;
    const delaying = (job: Job) => (until: number) => job.moveToDelayed(until, job.token);
    queues.process('deadlines', (job: Job<Round>) => keys.work(job, delaying(job)), {
      concurrency: ROUNDS_AT_ONCE,
      lockMs: LOCK_MS,
    });
    queues.process('deliveries', (job: Job<DeliveryAppointment>) => deliveries.work(job, delaying(job)), {
      concurrency: DELIVERIES_AT_ONCE,
      lockMs: LOCK_MS,
    });
  }

  private lateness(): (seconds: number) => void {
    const histogram = this.parts.metrics.histogram(
      'keyledger_deadline_lateness_seconds',
      'How late a deadline was looked at',
      [],
      LATENESS_BUCKETS_SECONDS,
    );
    return (seconds) => histogram.observe(seconds);
  }
}
