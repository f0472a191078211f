import { settings, type Config } from '@keyledger/platform';

export const WORKER_SETTINGS = settings(
  'eventStoreUrl',
  'redisUrl',
  'dataDir',
  'host',
  'workerPort',
  'trustedProxies',
  'logLevel',
  'maxStalenessSeconds',
  'usageIntervalSeconds',
  'peppers',
  'sealingKeys',
  'personalData',
  'subjectKeysDir',
  'allowedTargets',
  'smtpUrl',
  'smtpFrom',
  'notificationRetries',
  'signingKey',
  'auditOrigin',
  'auditCheckpointSeconds',
  'auditPublish',
  'auditCheckHours',
  // Only to keep messages to customers' addresses away from them.
  'apiPort',
  'verifierPort',
  'eventStorePort',
  'redisPort',
);

export type WorkerConfig = Config<typeof WORKER_SETTINGS>;
