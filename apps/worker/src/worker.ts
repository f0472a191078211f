import { Decisions, EventStore } from '@keyledger/event-store';
import {
  bootstrapHttp,
  Metrics,
  Sealing,
  SETTINGS,
  type Config,
  type Logger,
  type Readiness,
} from '@keyledger/platform';
import { ChannelDirectory, Checkpoints, connectRedis, Projector, ReadModel, UsageStore } from '@keyledger/read-model';
import { Housekeeping } from './housekeeping.js';
import { assembleNotifications } from './notifications/index.js';
import { Outbound } from './outbound.js';
import { Queues } from './queues.js';
import { ReactorLoop } from './reactor.js';
import { ownPorts, TargetGuard } from './target-guard.js';
import { Time } from './time.js';
import { UsageRollUp } from './usage-roll-up.js';
import { WorkerModule } from './worker.module.js';

const { eventStoreUrl, redisUrl, host, workerPort, trustedProxies, logLevel, maxStalenessSeconds } = SETTINGS;
const { apiPort, verifierPort, eventStorePort, redisPort } = SETTINGS;
const { usageIntervalSeconds, peppers, sealingKeys, allowedTargets, smtpUrl, smtpFrom, notificationRetries } = SETTINGS;
export const WORKER_SETTINGS = {
  eventStoreUrl,
  redisUrl,
  host,
  workerPort,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
  apiPort,
  verifierPort,
  eventStorePort,
  redisPort,
  peppers,
  sealingKeys,
  allowedTargets,
  smtpUrl,
  smtpFrom,
  notificationRetries,
  usageIntervalSeconds,
};
type WorkerConfig = Config<typeof WORKER_SETTINGS>;

/**
 * Runs a worker: the projector, which also rebuilds, and an HTTP server for its health and metrics. It starts without
 * event store or Redis, and begins to work when they are there. Resolves, once it listens, to what stops it.
 */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<() => Promise<void>> {
  const metrics = new Metrics('worker');
  const store = new EventStore({ url: config.eventStoreUrl });
  const redis = connectRedis(config.redisUrl);
  const applied = metrics.counter('keyledger_projector_events_total', 'Events brought into the read model');
  const projector = new Projector({
    redis,
    store,
    maxStalenessSeconds: config.maxStalenessSeconds,
    log: logger,
    onEvents: (count) => applied.inc(count),
  });
  measure(projector, metrics);
  const channels = new ChannelDirectory(store, logger);
  const readModel = new ReadModel(redis, { maxStalenessSeconds: config.maxStalenessSeconds });
  const decisions = new Decisions(store);
  const queues = new Queues(config.redisUrl, logger);
  const outbound = outboundOf(config);
  const { peppers, sealingKeys } = config;
  const notifications = assembleNotifications({
    store,
    decisions,
    redis,
    channels,
    queues,
    outbound,
    sealing: new Sealing(sealingKeys),
    metrics,
    logger,
    smtp: { url: config.smtpUrl, from: config.smtpFrom },
    retriesMs: config.notificationRetries,
  });
  const checkpoints = new Checkpoints(redis);
  const loops = notifications.reactors.map((reactor) => new ReactorLoop(reactor, store, checkpoints, logger));
  const usage = new UsageStore(redis);
  const recorded = metrics.counter('keyledger_usage_recorded_total', 'Keys whose use was put on record');
  const rollUp = new UsageRollUp({
    usage,
    store,
    decisions,
    intervalSeconds: config.usageIntervalSeconds,
    log: logger,
    onRecorded: (keys) => recorded.inc(keys),
  });
  const stores = { store, redis, readModel, queues };
  const time = new Time({ ...stores, channels, outbound, usage, peppers, sealingKeys, metrics, logger });
  const housekeeping = new Housekeeping(queues, time.chores, logger);
  const readiness = { ...readinessOf(projector, rollUp), deadlines: () => time.assertReady() };
  const http = await bootstrapHttp(WorkerModule.of(readiness), {
    name: 'worker',
    host: config.host,
    port: config.workerPort,
    trustedProxies: config.trustedProxies,
    logger,
    metrics,
  });
  const end = new AbortController();
  const work = Promise.all([
    projector.run(end.signal),
    channels.run(end.signal),
    rollUp.run(end.signal),
    notifications.watch(end.signal),
    ...loops.map((loop) => loop.run(end.signal)),
  ]);
  await readModel.start();
  await time.start(end.signal);
  housekeeping.start();
  return async () => {
    housekeeping.stop();
    await queues.close();
    end.abort();
    await Promise.all([work, time.stop()]);
    await http.close();
    readModel.stop();
    await store.dispose();
    redis.disconnect();
  };
}

function readinessOf(projector: Projector, rollUp: UsageRollUp): Readiness {
  const why = (): string => {
    const { lastError } = projector.state();
    return lastError === undefined ? '' : `: ${lastError}`;
  };
  return {
    eventStore: () => {
      if (!projector.state().subscribed) throw new Error(`there is no subscription to the event store${why()}`);
    },
    readModel: () => {
      if (!projector.state().vouching) throw new Error(`the read model is not known to be current${why()}`);
    },
    usage: () => {
      if (!rollUp.isWhole()) throw new Error('what is on record of the use of keys is not in Redis yet');
    },
  };
}

function measure(projector: Projector, metrics: Metrics): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge(`keyledger_projector_${name}`, help, [], (own) => own.set(value()));
  };
  const state = () => projector.state();
  gauge('position', 'Position of the log up to which the read model has come', () => Number(state().position));
  gauge('lag_positions', 'How far the read model is behind the newest position of the log that is known', () => {
    const { head, position } = state();
    return head > position ? Number(head - position) : 0;
  });
  gauge('subscribed', '1 while the subscription to the event store is up', () => Number(state().subscribed));
  gauge('vouching', '1 while this worker says that the read model is current', () => Number(state().vouching));
  gauge('rebuilding', '1 while this worker builds a generation of the read model', () => Number(state().rebuilding));
  gauge('rebuild_events', 'Events in the generation that is being built, so far', () => state().rebuildEvents);
}

/** The way out to addresses that customers name, kept away from our own services. */
function outboundOf(config: WorkerConfig): Outbound {
  const { apiPort, verifierPort, workerPort, eventStorePort, redisPort, redisUrl, eventStoreUrl } = config;
  const ports = [apiPort, verifierPort, workerPort, eventStorePort, redisPort];
  return new Outbound(new TargetGuard(config.allowedTargets, ownPorts({ ports, urls: [redisUrl, eventStoreUrl] })));
}
