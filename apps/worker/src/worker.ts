import {
  bootstrapHttp,
  FailedCredentials,
  KeyDigests,
  OnItsWay,
  systemClock,
  type Logger,
  type Readiness,
} from '@keyledger/platform';
import { giveHeap } from '@keyledger/platform/heap';
import type { Projector } from '@keyledger/read-model';
import { Credentials } from '@keyledger/verification';
import { setMaxListeners } from 'node:events';
import { serveBoard } from './board.js';
import { assemble, type Parts } from './parts.js';
import type { WorkerConfig } from './settings.js';
import { WorkerModule } from './worker.module.js';

const HEAP_EVERY_MS = 1000;

/**
 * Runs a worker: the projector, which also rebuilds, the reactors and queues, and an HTTP server for its health, its
 * metrics and the view of its queues. It starts without event store or Redis, and begins to work when they are there.
 * Resolves, once it listens, to what stops it.
 */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<() => Promise<void>> {
  const parts = assemble(config, logger);
  const { metrics, store, redis, readModel, queues, projector, time, housekeeping } = parts;
  const gate = {
    credentials: new Credentials(readModel, new KeyDigests(config.peppers), systemClock),
    failed: new FailedCredentials(logger, metrics),
  };
  const http = await bootstrapHttp(WorkerModule.of(readinessOf(parts)), {
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
  const work = runAll(parts, end.signal);
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

/** Everything that follows the log or looks around again and again, until the signal aborts. */
function runAll(parts: Parts, signal: AbortSignal): Promise<unknown> {
  const { projector, rollUp, audit, channels, siem, notifications, news, incidents, uses } = parts;
  return Promise.all([
    projector.run(signal),
    rollUp.run(signal),
    audit.run(signal),
    channels.run(signal),
    siem.run(signal),
    notifications.watch(signal),
    parts.watchDecoys(signal),
    ...[...news, ...incidents, uses].map((loop) => loop.run(signal)),
  ]);
}

function readsInBulk(projector: Projector): boolean {
  const { vouching, rebuilding } = projector.state();
  return rebuilding || !vouching;
}

function readinessOf({ projector, rollUp, uses, time, news, incidents }: Parts): Readiness {
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
    deadlines: () => time.assertReady(),
    notifications: () => news.forEach((loop) => loop.assertFollowing('notifications')),
    leaks: () => incidents.forEach((loop) => loop.assertFollowing('leaks')),
  };
}
