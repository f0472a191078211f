import { randomBytes } from 'node:crypto';
import { startApp, startEventStore, type App, type EventStoreServer } from './apps.js';
import { temporaryFolder } from './process.js';
import { startRedis, type RedisServer } from './redis.js';

export interface System {
  readonly redis: RedisServer;
  readonly eventStore: EventStoreServer;
  readonly api: App;
  readonly verifier: App;
  readonly worker: App;
  /** The first management key; it may do everything. */
  readonly adminKey: string;
  /** Where the apps find the rest, for further apps of the same system. */
  readonly env: NodeJS.ProcessEnv;
  /** Stops everything in the order in which a person would. */
  stop(): Promise<void>;
}

/**
 * A whole Keyledger, every process ready. What was started before a failing start is stopped again.
 * @param env set for api, verifier and worker
 */
export async function startSystem(env: NodeJS.ProcessEnv = {}): Promise<System> {
  const [redis, eventStore] = await together([startRedis(), startEventStore()]);
  const adminKey = randomBytes(30).toString('base64url');
  const shared = {
    REDIS_URL: redis.url,
    EVENTSTORE_URL: eventStore.url,
    KEYLEDGER_ADMIN_KEY: adminKey,
    KEYLEDGER_SEALING_KEYS: `test:${randomBytes(32).toString('base64')}`,
    KEYLEDGER_SUBJECT_KEYS_DIR: temporaryFolder(),
    ...env,
  };
  const [api, verifier, worker] = await together([
    startApp('api', shared),
    startApp('verifier', shared),
    startApp('worker', shared),
  ]).catch(async (error: unknown) => {
    await stopAll([eventStore, redis]);
    throw error;
  });
  const stop = async () => {
    await stopAll([api, verifier, worker]);
    await stopAll([eventStore]);
    await stopAll([redis]);
  };
  return { redis, eventStore, api, verifier, worker, adminKey, env: shared, stop };
}

type Started<T extends readonly Promise<Stoppable>[]> = { [K in keyof T]: Awaited<T[K]> };
interface Stoppable {
  stop(): Promise<void>;
}

async function together<const T extends readonly Promise<Stoppable>[]>(starts: T): Promise<Started<T>> {
  const results = await Promise.allSettled(starts);
  const failed = results.find((result) => result.status === 'rejected');
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (!failed) return started as Started<T>;
  await stopAll(started);
  throw failed.reason;
}

async function stopAll(servers: readonly Stoppable[]): Promise<void> {
  const results = await Promise.allSettled(servers.map((server) => server.stop()));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
