import { Decisions, EventStore } from '@keyledger/event-store';
import { bootstrapHttp, Metrics, SETTINGS, type Config, type Logger, type Readiness } from '@keyledger/platform';
import { connectRedis, Projector, UsageStore } from '@keyledger/read-model';
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
export const WORKER_SETTINGS = {
  eventStoreUrl,
  redisUrl,
  host,
  workerPort,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
  usageIntervalSeconds,
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
    name: 'worker',
    host: config.host,
    port: config.workerPort,
    trustedProxies: config.trustedProxies,
    logger,
    metrics,
  });
  const end = new AbortController();
  const work = Promise.all([projector.run(end.signal), rollUp.run(end.signal)]);
  return async () => {
    end.abort();
    await work;
    await http.close();
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
