import { Command, InvalidArgumentError, Option } from 'commander';
import { EXIT } from '../exit.js';
import type { RunWith } from '../run.js';
import { UpMisconfigured, UpRefused } from './refusal.js';
import type { ServiceName } from './plan.js';

interface UpOptions {
  dataDir?: string;
  only?: ServiceName[];
}

// Written here as well as in the plan, whose file draws in what every other command can do without.
const NAMES: readonly ServiceName[] = ['redis', 'eventstore', 'api', 'verifier', 'worker'];

/**
 * `keyledger up`: Redis, the embedded event store and the apps as one system in the foreground. It starts all or
 * nothing, restarts what dies, and on SIGINT, SIGTERM or SIGHUP stops what it started. See system.ts.
 */
export function upCommand(runWith: RunWith): Command {
  return new Command('up')
    .description('run the whole system in the foreground until SIGINT (Ctrl-C) or SIGTERM')
    .addOption(
      new Option('--data-dir <folder>', 'where data and logs are kept (default: KEYLEDGER_DATA_DIR, else ./data)'),
    )
    .addOption(new Option('--only <services>', `start only these, of ${NAMES.join(', ')}`).argParser(services))
    .addHelpText('after', HELP)
    .action(
      runWith<[], UpOptions>(async ({ terminal }, _, { dataDir, only }) => {
        const stop = stopOnSignals();
        // The system runs on when whoever read its output has left.
        process.stdout.removeAllListeners('error').on('error', () => undefined);
        const env = { ...terminal.env, ...(dataDir !== undefined && { KEYLEDGER_DATA_DIR: dataDir }) };
        const { runSystem } = await import('./system.js');
        try {
          await runSystem(terminal, stop, { env, ...(only && { only }) });
          return EXIT.ok;
        } catch (error) {
          if (!(error instanceof UpRefused)) throw error;
          terminal.stderr.write(`keyledger: ${error.message}\n`);
          return error instanceof UpMisconfigured ? EXIT.misconfigured : EXIT.refused;
        }
      }),
    );
}

function services(text: string): ServiceName[] {
  const names = text.split(',').map((name) => name.trim());
  const isService = (name: string): name is ServiceName => NAMES.includes(name as ServiceName);
  if (names.every(isService)) return names;
  throw new InvalidArgumentError(`Write a list such as redis,eventstore out of ${NAMES.join(', ')}.`);
}

/** A terminal's Ctrl-C comes twice through npm; any number of signals is one wish. */
function stopOnSignals(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  return stop.signal;
}

const HELP = `
Starts redis-server (its own, with an append-only file) and the embedded event store on loopback, then api, verifier and
worker, and says "keyledger is up" with their addresses when all are ready. The first time it shows the management key,
which nothing keeps. A process that dies is started again. Logs are in <folder>/logs, warnings and errors also here.

Environment, among others:
  REDIS_URL, EVENTSTORE_URL      a Redis, an EventStoreDB or KurrentDB that you run; then none is started
  KEYLEDGER_DATA_DIR             where data and logs are kept (./data)
  KEYLEDGER_API_PORT             7400, and likewise KEYLEDGER_VERIFIER_PORT 7401, KEYLEDGER_WORKER_PORT 7402,
                                 KEYLEDGER_EVENTSTORE_PORT 7410, KEYLEDGER_REDIS_PORT 7411
  KEYLEDGER_ADMIN_KEY            the first management key, instead of one made and shown

Examples:
  $ keyledger up
  $ keyledger up --data-dir /var/lib/keyledger
  $ keyledger up --only redis,eventstore`;
