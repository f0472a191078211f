import { Decisions, EventStore } from '@keyledger/event-store';
import {
  bootstrapHttp,
  FailedCredentials,
  KeyDigests,
  Metrics,
  OnItsWay,
  openPersonalData,
  Sealing,
  systemClock,
  type Logger,
  type Readiness,
} from '@keyledger/platform';
import { giveHeap } from '@keyledger/platform/heap';
import {
  ChannelDirectory,
  Checkpoints,
  connectRedis,
  HandedOver,
  Projector,
  ReadModel,
  UsageStore,
} from '@keyledger/read-model';
import { Credentials } from '@keyledger/verification';
import { setMaxListeners } from 'node:events';
import { assembleAudit } from './audit/index.js';
import { serveBoard } from './board.js';
import { Housekeeping } from './housekeeping.js';
import { leakWork } from './leaks.js';
import { assembleNotifications } from './notifications/index.js';
import { Outbound } from './outbound.js';
import { Precedence } from './precedence.js';
import { measureProjector } from './projector-metrics.js';
import { measureQueues } from './queue-metrics.js';
import { Queues } from './queues.js';
import { ReactorLoop, type Progress, type Reactor } from './reactor.js';
import { SiemPush } from './siem-push.js';
import type { WorkerConfig } from './settings.js';
import { ownPorts, TargetGuard } from './target-guard.js';
import { Time } from './time.js';
import { UsageRollUp } from './usage-roll-up.js';
import { WorkerModule } from './worker.module.js';

const HEAP_EVERY_MS = 1000;

/**
 * Runs a worker: the projector, which also rebuilds, the reactors and queues, and an HTTP server for its health, its
 * metrics and the view of its queues. It starts without event store or Redis, and begins to work when they are there.
 * Resolves, once it listens, to what stops it.
 */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<() => Promise<void>> {
  const metrics = new Metrics('worker');
  const store = new EventStore({ url: config.eventStoreUrl });
  const redis = connectRedis(config.redisUrl);
  const { personal } = openPersonalData(config, logger);
  const decisions = new Decisions(store, (context) => personal.context(context));
  const readModel = new ReadModel(redis, { maxStalenessSeconds: config.maxStalenessSeconds });
  const checkpoints = new Checkpoints(redis);
  const channels = new ChannelDirectory(store, logger);
  const queues = new Queues(config.redisUrl, logger);
  const outbound = outboundOf(config);
  const usage = new UsageStore(redis);
  const { peppers, sealingKeys, maxStalenessSeconds } = config;
  const sealing = new Sealing(sealingKeys);

  const applied = metrics.counter('keyledger_projector_events_total', 'Events brought into the read model');
  const onEvents = (count: number): void => applied.inc(count);
  const handedOver = new HandedOver();
  const projector = new Projector({ redis, store, handedOver, maxStalenessSeconds, log: logger, onEvents });
  const recorded = metrics.counter('keyledger_usage_recorded_total', 'Keys whose use was put on record');
  const rollUp = new UsageRollUp({
    usage,
    decisions,
    intervalSeconds: config.usageIntervalSeconds,
    log: logger,
    onRecorded: (keys) => recorded.inc(keys),
  });
  const notifications = assembleNotifications({
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
    smtp: { url: config.smtpUrl, from: config.smtpFrom },
    retriesMs: config.notificationRetries,
  });
  const siem = new SiemPush({ store, decisions, channels, checkpoints, outbound, sealing, metrics, logger });
  const leaks = leakWork({ redis, readModel, decisions, personal, logger });
  const precedence = new Precedence(projector);
  const loopOf = (reactor: Reactor, progress: Progress) => {
    return new ReactorLoop(reactor, store, progress, logger, precedence);
  };
  const news = notifications.ways.map(({ reactor, progress }) => loopOf(reactor, progress));
  const incidents = [loopOf(leaks.list, leaks.listProgress), loopOf(leaks.finisher, checkpoints)];
  const uses = loopOf(rollUp, usage.tenure);
  const stores = { store, redis, readModel, handedOver, queues, precedence };
  const time = new Time({ ...stores, channels, outbound, usage, peppers, sealingKeys, metrics, logger });
  const audit = assembleAudit({
    store,
    decisions,
    logger,
    metrics,
    dataDir: config.dataDir,
    signingKey: config.signingKey,
    origin: config.auditOrigin,
    checkpointSeconds: config.auditCheckpointSeconds,
    places: config.auditPublish,
    checkHours: config.auditCheckHours,
    precedence,
  });
  const chores = { ...time.chores, ...audit.chores };
  const mayBegin = (): boolean => time.clock.problem() === undefined && !precedence.isTaken();
  const housekeeping = new Housekeeping(queues, chores, logger, mayBegin);
  measureProjector(projector, metrics);
  measureQueues(queues, metrics);

  const gate = {
    credentials: new Credentials(readModel, new KeyDigests(peppers), systemClock),
    failed: new FailedCredentials(logger, metrics),
  };
  const readiness = {
    ...readinessOf(projector, rollUp, uses),
    deadlines: () => time.assertReady(),
    notifications: () => news.forEach((loop) => loop.assertFollowing('notifications')),
    leaks: () => incidents.forEach((loop) => loop.assertFollowing('leaks')),
  };
  const http = await bootstrapHttp(WorkerModule.of(readiness), {
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
  // Every loop listens to it.
  setMaxListeners(0, end.signal);
  const work = Promise.all([
    projector.run(end.signal),
    rollUp.run(end.signal),
    audit.run(end.signal),
    channels.run(end.signal),
    siem.run(end.signal),
    notifications.watch(end.signal),
    leaks.watchDecoys(end.signal),
    ...[...news, ...incidents, uses].map((loop) => loop.run(end.signal)),
  ]);
  await time.start(end.signal);
  housekeeping.start();
  const heap = setInterval(() => giveHeap(readsInBulk(projector) ? 'scarce' : 'plenty'), HEAP_EVERY_MS);
  return async () => {
    clearInterval(heap);
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

function readsInBulk(projector: Projector): boolean {
  const { vouching, rebuilding } = projector.state();
  return rebuilding || !vouching;
}

function readinessOf(projector: Projector, rollUp: UsageRollUp, uses: ReactorLoop): Readiness {
  const why = (): string => {
    const { lastError } = projector.state();
    return lastError === undefined ? '' : `: ${lastError}`;
  };
  return {
    eventStore: () => {
      if (!projector.state().subscribed) throw new Error(`there is no subscription to the event store${why()}`);
    },
    readModel: () => {
      const { vouching, rebuilding, rebuildEvents, done } = projector.state();
      if (vouching) return;
      const how = rebuilding ? `is being rebuilt, ${rebuildEvents} events so far` : 'is not known to be current';
      throw new OnItsWay(`the read model ${how}${why()}`, done);
    },
    usage: () => {
      if (rollUp.isWhole()) return;
      throw new OnItsWay('what is on record of the use of keys is not in Redis yet', Number(uses.state().position));
    },
  };
}

/** The way out to addresses that customers name, kept away from our own services. */
function outboundOf(config: WorkerConfig): Outbound {
  const { apiPort, verifierPort, workerPort, eventStorePort, redisPort, redisUrl, eventStoreUrl } = config;
  const ports = [apiPort, verifierPort, workerPort, eventStorePort, redisPort];
  return new Outbound(new TargetGuard(config.allowedTargets, ownPorts({ ports, urls: [redisUrl, eventStoreUrl] })));
}
