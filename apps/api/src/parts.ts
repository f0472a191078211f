import { streams } from '@keyledger/contracts';
import { keyDecider } from '@keyledger/domain';
import { Decisions, EventStore } from '@keyledger/event-store';
import {
  FailedCredentials,
  KeyDigests,
  Metrics,
  SETTINGS,
  systemClock,
  tellParent,
  type Config,
  type Logger,
  type Readiness,
} from '@keyledger/platform';
import { connectRedis, IdempotencyStash, ReadModel, UsageStore } from '@keyledger/read-model';
import { Credentials, UsageMeter, Verification } from '@keyledger/verification';
import { Visibility } from './outcome.js';
import { Receipts } from './receipts.js';
import { EmbeddedStore } from './system/embedded-store.js';
import { FirstStart } from './system/first-start.js';

const { eventStoreUrl, redisUrl, host, apiPort, adminKey, peppers, trustedProxies, logLevel, maxStalenessSeconds } =
  SETTINGS;
export const API_SETTINGS = {
  eventStoreUrl,
  redisUrl,
  host,
  apiPort,
  adminKey,
  peppers,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
};
export type ApiConfig = Config<typeof API_SETTINGS>;

/** What the routes are made of, each once a process. */
export type Parts = ReturnType<typeof assemble>;

export function assemble(config: ApiConfig, logger: Logger) {
  const metrics = new Metrics('api');
  const eventStore = new EventStore({ url: config.eventStoreUrl });
  const decisions = new Decisions(eventStore);
  const redis = connectRedis(config.redisUrl);
  const { maxStalenessSeconds } = config;
  const readModel = new ReadModel(redis, { maxStalenessSeconds });
  const digests = new KeyDigests(config.peppers);
  const usage = new UsageStore(redis);
  const meter = new UsageMeter(usage, metrics, logger);
  const verification = new Verification(readModel, digests, systemClock, metrics, meter);
  const keyFromEvents = async (keyId: string) => (await decisions.load(keyDecider, streams.key(keyId))).state;
  const credentials = new Credentials(readModel, digests, systemClock, meter, keyFromEvents);
  const failed = new FailedCredentials(logger, metrics);
  const visibility = new Visibility(readModel, logger);
  const receipts = new Receipts(new IdempotencyStash(redis), digests, logger);
  const embedded = new EmbeddedStore(config.eventStoreUrl);
  const firstStart = new FirstStart({
    decisions,
    digests,
    visibility,
    logger,
    given: config.adminKey,
    show: showAdminKey,
  });
  const readiness: Readiness = {
    eventStore: () => eventStore.ping(),
    redis: async () => void (await redis.ping()),
    readModel: () => {
      const { fresh, reason } = readModel.view();
      if (!fresh) throw new Error(`the read model is ${reason ?? 'not known to be current'}`);
    },
    firstStart: () => firstStart.assertDone(),
  };
  return {
    metrics,
    eventStore,
    decisions,
    redis,
    readModel,
    digests,
    usage,
    meter,
    verification,
    credentials,
    failed,
    visibility,
    receipts,
    embedded,
    firstStart,
    readiness,
  };
}

/** To the parent that started us, else to whoever reads our standard output; never through the log. */
function showAdminKey(key: string): void {
  if (!tellParent({ type: 'admin-key', key })) process.stdout.write(`The admin key, shown this once: ${key}\n`);
}
