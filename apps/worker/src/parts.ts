import { Decisions, EventStore } from '@keyledger/event-store';
import { Metrics, openPersonalData, Sealing, type Logger } from '@keyledger/platform';
import {
  ChannelDirectory,
  Checkpoints,
  connectRedis,
  HandedOver,
  Projector,
  ReadModel,
  UsageStore,
} from '@keyledger/read-model';
import { assembleAudit } from './audit/index.js';
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

/** What a worker is made of, each once a process. */
export type Parts = ReturnType<typeof assemble>;

export function assemble(config: WorkerConfig, logger: Logger) {
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
  const { watchDecoys } = leaks;
  return {
    metrics,
    store,
    redis,
    readModel,
    channels,
    queues,
    projector,
    rollUp,
    notifications,
    siem,
    watchDecoys,
    news,
    incidents,
    uses,
    time,
    audit,
    housekeeping,
  };
}

/** The way out to addresses that customers name, kept away from our own services. */
function outboundOf(config: WorkerConfig): Outbound {
  const { apiPort, verifierPort, workerPort, eventStorePort, redisPort, redisUrl, eventStoreUrl } = config;
  const ports = [apiPort, verifierPort, workerPort, eventStorePort, redisPort];
  return new Outbound(new TargetGuard(config.allowedTargets, ownPorts({ ports, urls: [redisUrl, eventStoreUrl] })));
}
