import '@keyledger/platform/heap';
import { createLogger, loadConfig, runProcess } from '@keyledger/platform';
import { WORKER_SETTINGS } from './settings.js';
import { startWorker } from './worker.js';

const logger = createLogger('worker');

await runProcess(logger, async () => {
  const config = loadConfig(WORKER_SETTINGS);
  logger.level = config.logLevel;
  return startWorker(config, logger);
});
