import { Decisions, EventStore } from '@keyledger/event-store';
import { bootstrapHttp, Metrics, SETTINGS, type Config, type Logger, type Readiness } from '@keyledger/platform';
import { Checkpoints, connectRedis, Projector, ReadModel, UsageStore } from '@keyledger/read-model';
import { leakWork } from './leaks.js';
import { ReactorLoop } from './reactor.js';
import { UsageRollUp } from './usage-roll-up.js';
import { WorkerModule } from './worker.module.js';

const {
  eventStoreUrl,
  redisUrl,
  host,
  workerPort,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
  usageIntervalSeconds,
} = SETTINGS;
import {
  bootstrapHttp,
  type Config,
  FailedCredentials,
  KeyDigests,
  type Logger,
  Metrics,
  type Readiness,
  Sealing,
  SETTINGS,
  systemClock,
} from '@keyledger/platform';
import { ChannelDirectory, Checkpoints, connectRedis, Projector, ReadModel } from '@keyledger/read-model';
import { Credentials } from '@keyledger/verification';
import { serveBoard } from './board.js';
import { assembleNotifications } from './notifications/index.js';
import { Outbound } from './outbound.js';
import { measureQueues } from './queue-metrics.js';
import { Queues } from './queues.js';
import { ReactorLoop } from './reactor.js';
import { ownPorts, TargetGuard } from './target-guard.js';
import { WorkerModule } from './worker.module.js';

const { eventStoreUrl, redisUrl, host, workerPort, trustedProxies, logLevel, maxStalenessSeconds } = SETTINGS;
const { apiPort, verifierPort, eventStorePort, redisPort } = SETTINGS;
const { peppers, sealingKeys, allowedTargets, smtpUrl, smtpFrom, notificationRetries } = SETTINGS;
export const WORKER_SETTINGS = {
  eventStoreUrl,
  redisUrl,
  host,
  workerPort,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
  usageIntervalSeconds,
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
};
type WorkerConfig = Config<typeof WORKER_SETTINGS>;

/**
 * Runs a worker: the projector, which also rebuilds, the reactors and queues, and an HTTP server for its health, its
 * metrics and the view of its queues. It starts without
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
  const readModel = new ReadModel(redis, { maxStalenessSeconds: config.maxStalenessSeconds });
  await readModel.start();
  const checkpoints = new Checkpoints(redis);
  const leaks = leakWork({ store, redis, readModel, checkpoints, logger });
  const leakList = new ReactorLoop(leaks.list, store, leaks.listProgress, logger);
  const leakFinisher = new ReactorLoop(leaks.finisher, store, checkpoints, logger);
  const recorded = metrics.counter('keyledger_usage_recorded_total', 'Keys whose use was put on record');
  const rollUp = new UsageRollUp({
    usage: new UsageStore(redis),
    store,
    decisions: new Decisions(store),
    intervalSeconds: config.usageIntervalSeconds,
    log: logger,
    onRecorded: (keys) => recorded.inc(keys),
  });
  const http = await bootstrapHttp(WorkerModule.of(readinessOf(projector, rollUp)), {
  const channels = new ChannelDirectory(store, logger);
  const readModel = new ReadModel(redis, { maxStalenessSeconds: config.maxStalenessSeconds });
  const decisions = new Decisions(store);
  const queues = new Queues(config.redisUrl, logger);
  const notifications = assembleNotifications({
    store,
    decisions,
    redis,
    channels,
    queues,
    outbound: outboundOf(config),
    sealing: new Sealing(config.sealingKeys),
    metrics,
    logger,
    smtp: { url: config.smtpUrl, from: config.smtpFrom },
    retriesMs: config.notificationRetries,
  });
  const checkpoints = new Checkpoints(redis);
  const loops = notifications.reactors.map((reactor) => new ReactorLoop(reactor, store, checkpoints, logger));
  measureQueues(queues, metrics);
  const digests = new KeyDigests(config.peppers);
  const gate = {
    credentials: new Credentials(readModel, digests, systemClock),
    failed: new FailedCredentials(logger, metrics),
  };
  const http = await bootstrapHttp(WorkerModule.of(readinessOf(projector)), {
    name: 'worker',
    host: config.host,
    port: config.workerPort,
    trustedProxies: config.trustedProxies,
    logger,
    metrics,
    configure: (app) => serveBoard(app.getHttpAdapter().getInstance(), queues, gate),
  });
  await readModel.start();
  const end = new AbortController();
  const work = Promise.all([
    projector.run(end.signal),
    rollUp.run(end.signal),
    leakList.run(end.signal),
    leaks.watchList(leakList, end.signal),
    leakFinisher.run(end.signal),
    leaks.watchDecoys(end.signal),
    channels.run(end.signal),
    notifications.watch(end.signal),
    ...loops.map((loop) => loop.run(end.signal)),
  ]);
  return async () => {
    end.abort();
    await work;
    await queues.close();
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
