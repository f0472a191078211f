import type { Decisions, EventStore } from '@keyledger/event-store';
import type { Logger, Metrics, Sealing } from '@keyledger/platform';
import { NotificationIndex, type ChannelDirectory, type RedisClient } from '@keyledger/read-model';
import type { Outbound } from '../outbound.js';
import type { Queues } from '../queues.js';
import type { Progress, Reactor } from '../reactor.js';
import { Courier } from './courier.js';
import { Mailer } from './mailer.js';
import { Notifier } from './notifier.js';
import { Outbox } from './outbox.js';
import { Sender } from './sender.js';

export interface NotificationParts {
  store: EventStore;
  decisions: Decisions;
  redis: RedisClient;
  checkpoints: Progress;
  channels: ChannelDirectory;
  queues: Queues;
  outbound: Outbound;
  sealing: Sealing;
  metrics: Metrics;
  logger: Logger;
  smtp: { url: string | undefined; from: string };
  retriesMs: readonly number[];
}

const SENT_AT_ONCE = 16;
/** A worker that lives renews its lock; of one that died the jobs are taken over after this. */
const LOCK_MS = 10_000;

/**
 * From what happened to what a channel was told: the notifier asks for notifications, the outbox lists them and gives
 * each a job, the sender works on the jobs.
 * @returns the reactors to run, each with where its way is remembered, and what runs beside them until a signal aborts
 */
export function assembleNotifications(parts: NotificationParts): {
  ways: { reactor: Reactor; progress: Progress }[];
  watch(signal: AbortSignal): Promise<void>;
} {
  const {
    store,
    decisions,
    redis,
    checkpoints,
    channels,
    queues,
    outbound,
    sealing,
    metrics,
    logger,
    smtp,
    retriesMs,
  } = parts;
  const index = new NotificationIndex(redis);
  const outbox = new Outbox(decisions, index, queues, logger);
  const courier = new Courier(sealing, outbound, new Mailer(smtp.url, smtp.from));
  const sender = new Sender(decisions, channels, index, courier, retriesMs, logger, metrics);
  queues.process('notifications', (job) => sender.work(job as Parameters<Sender['work']>[0]), {
    concurrency: SENT_AT_ONCE,
    lockMs: LOCK_MS,
  });
  const ways = [
    { reactor: new Notifier(store, decisions, channels), progress: checkpoints },
    { reactor: outbox, progress: index.tenure },
  ];
  return { ways, watch: (signal) => outbox.watch(signal) };
}
