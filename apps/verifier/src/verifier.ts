import {
  bootstrapHttp,
  FailedCredentials,
  KeyDigests,
  Metrics,
  settings,
  systemClock,
  type Config,
  type Logger,
} from '@keyledger/platform';
import { connectRedis, DecoySightings, ReadModel, UsageStore } from '@keyledger/read-model';
import {
  assertCurrent,
  Credentials,
  registerVerifyRoutes,
  UsageMeter,
  Verification,
  type Witnesses,
} from '@keyledger/verification';
import { VerifierModule } from './verifier.module.js';

export const VERIFIER_SETTINGS = settings(
  'redisUrl',
  'host',
  'verifierPort',
  'trustedProxies',
  'logLevel',
  'peppers',
  'maxStalenessSeconds',
);

/**
 * Runs a verifier: Redis and the judge, no event store and no bus, so that it stays up when they are down, and as many
 * of it as the traffic needs. Resolves, once it listens, to what stops it.
 */
export async function startVerifier(
  config: Config<typeof VERIFIER_SETTINGS>,
  logger: Logger,
): Promise<() => Promise<void>> {
  const metrics = new Metrics('verifier');
  const redis = connectRedis(config.redisUrl);
  const readModel = new ReadModel(redis, { maxStalenessSeconds: config.maxStalenessSeconds });
  const digests = new KeyDigests(config.peppers);
  const decoySightings = new DecoySightings(redis);
  const meter = new UsageMeter(new UsageStore(redis), metrics, logger);
  const witnesses: Witnesses = { meter, onDecoy: (sighting) => decoySightings.note(sighting) };
  const parts = {
    verification: new Verification(readModel, digests, systemClock, metrics, witnesses),
    credentials: new Credentials(readModel, digests, systemClock, witnesses),
    failed: new FailedCredentials(logger, metrics),
  };
  const readiness = { readModel: () => assertCurrent(readModel.view()) };
  await readModel.start();
  meter.start();
  const http = await bootstrapHttp(VerifierModule.of(readiness), {
    name: 'verifier',
    host: config.host,
    port: config.verifierPort,
    trustedProxies: config.trustedProxies,
    logger,
    metrics,
    hotRoutes: (fastify) => registerVerifyRoutes(fastify, parts),
  });
  return async () => {
    await http.close();
    await decoySightings.close();
    await meter.stop();
    readModel.stop();
    redis.disconnect();
  };
}
