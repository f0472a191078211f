import { ConfigError, EXIT_CONFIG, unknownVariables } from './config.js';
import type { Logger } from './logger.js';
import { stopWithParent } from './parent.js';
import { redact } from './redact.js';
import { SETTINGS } from './settings.js';

/** How long a process may take to finish its work when it is asked to stop. */
const STOP_TIMEOUT_MS = 10_000;

/**
 * Runs a process from start to stop: `start` gives back how to stop. SIGTERM, SIGINT and the loss of the process that
 * started it stop it once; what takes longer than ten seconds is cut off with exit code 1. A configuration that cannot
 * be used ends it with exit code 78, a failed start or an error that nobody caught with 1.
 */
export async function runProcess(logger: Logger, start: () => Promise<() => Promise<void>>): Promise<void> {
  const die = (error: unknown, what: string): never => {
    logger.fatal({ err: error }, what);
    process.exit(1);
  };
  process.on('uncaughtException', (error) => die(error, 'an error that nobody caught'));
  process.on('unhandledRejection', (error) => die(error, 'a rejection that nobody handled'));

  const unknown = unknownVariables(SETTINGS);
  if (unknown.length > 0) logger.warn(`nothing reads ${unknown.join(', ')}; is it misspelt?`);

  let stop: () => Promise<void>;
  try {
    stop = await start();
  } catch (error) {
    if (!(error instanceof ConfigError)) return die(error, 'the start failed');
    process.stderr.write(`${redact(error.message)}\n`);
    process.exit(EXIT_CONFIG);
  }

  let stopping = false;
  const onSignal = (cause: string) => {
    if (stopping) return;
    stopping = true;
    logger.info({ cause }, 'stopping');
    setTimeout(
      () => die(new Error(`${STOP_TIMEOUT_MS} ms were not enough`), 'the stop was cut off'),
      STOP_TIMEOUT_MS,
    ).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => die(error, 'the stop failed'),
    );
  };
  process.on('SIGTERM', () => onSignal('SIGTERM'));
  process.on('SIGINT', () => onSignal('SIGINT'));
  stopWithParent(() => onSignal('parent gone'));
}
