import '@keyledger/platform/heap';
import { createLogger, loadConfig, runProcess } from '@keyledger/platform';
import { startVerifier, VERIFIER_SETTINGS } from './verifier.js';

const logger = createLogger('verifier');

await runProcess(logger, async () => {
  const config = loadConfig(VERIFIER_SETTINGS);
  logger.level = config.logLevel;
  return startVerifier(config, logger);
});
