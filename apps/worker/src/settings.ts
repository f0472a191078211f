import { SETTINGS, type Config } from '@keyledger/platform';

const { eventStoreUrl, redisUrl, host, workerPort, trustedProxies, logLevel, maxStalenessSeconds } = SETTINGS;
const { usageIntervalSeconds, peppers, sealingKeys, allowedTargets } = SETTINGS;
const { smtpUrl, smtpFrom, notificationRetries } = SETTINGS;
const { dataDir, personalData, subjectKeysDir } = SETTINGS;
const { signingKey, auditOrigin, auditCheckpointSeconds, auditPublish, auditCheckHours } = SETTINGS;
// Of the others only to keep messages to customers' addresses away from them.
const { apiPort, verifierPort, eventStorePort, redisPort } = SETTINGS;

export const WORKER_SETTINGS = {
  eventStoreUrl,
  redisUrl,
  host,
  workerPort,
  trustedProxies,
  logLevel,
  maxStalenessSeconds,
  usageIntervalSeconds,
  peppers,
  sealingKeys,
  allowedTargets,
  smtpUrl,
  smtpFrom,
  notificationRetries,
  dataDir,
  personalData,
  subjectKeysDir,
  signingKey,
  auditOrigin,
  auditCheckpointSeconds,
  auditPublish,
  auditCheckHours,
  apiPort,
  verifierPort,
  eventStorePort,
  redisPort,
};

export type WorkerConfig = Config<typeof WORKER_SETTINGS>;
