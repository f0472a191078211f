import { EventStore } from '@keyledger/event-store';
import {
  bootstrapHttp,
  Metrics,
  openPersonalData,
  SETTINGS,
  type Config,
  type Logger,
  type Readiness,
} from '@keyledger/platform';
import { Checkpoints, connectRedis, Projector, ReadModel } from '@keyledger/read-model';
import { leakWork } from './leaks.js';
import { ReactorLoop } from './reactor.js';
import { WorkerModule } from './worker.module.js';

const { eventStoreUrl, redisUrl, host, workerPort, trustedProxies, logLevel, maxStalenessSeconds } = SETTINGS;
const { dataDir, sealingKeys, personalData, subjectKeysDir } = SETTINGS;
export const WORKER_SETTINGS = {
  eventStoreUrl,
  redisUrl,
  host,
  workerPort,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
  dataDir,
  sealingKeys,
  personalData,
  subjectKeysDir,
};

/**
 * Runs a worker: the projector, which also rebuilds, and an HTTP server for its health and metrics. It starts without
 * event store or Redis, and begins to work when they are there. Resolves, once it listens, to what stops it.
 */
export async function startWorker(
  config: Config<typeof WORKER_SETTINGS>,
  logger: Logger,
): Promise<() => Promise<void>> {
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
  const { personal } = openPersonalData(config, logger);
  const leaks = leakWork({ store, redis, readModel, checkpoints, personal, logger });
  const leakList = new ReactorLoop(leaks.list, store, leaks.listProgress, logger);
  const leakFinisher = new ReactorLoop(leaks.finisher, store, checkpoints, logger);
  const http = await bootstrapHttp(WorkerModule.of(readinessOf(projector)), {
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
    leakList.run(end.signal),
    leaks.watchList(leakList, end.signal),
    leakFinisher.run(end.signal),
    leaks.watchDecoys(end.signal),
  ]);
  return async () => {
    end.abort();
    await work;
    await http.close();
    readModel.stop();
    await store.dispose();
    redis.disconnect();
  };
}

function readinessOf(projector: Projector): Readiness {
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
