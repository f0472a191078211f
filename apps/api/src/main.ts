import '@keyledger/platform/heap';
import { createLogger, loadConfig, runProcess } from '@keyledger/platform';
import { startApi } from './api.js';
import { API_SETTINGS } from './parts.js';

const logger = createLogger('api');

await runProcess(logger, async () => {
  const config = loadConfig(API_SETTINGS);
  logger.level = config.logLevel;
  return startApi(config, logger);
});
