/**
 * The embedded event store as a process. It says on standard output, in JSON lines, when it listens; to a parent with
 * an IPC channel it also sends `{type: 'listening', port}`, and when that parent goes away it stops as on SIGTERM.
 */
import { type EventStoreConfig, InvalidConfig, readConfig } from './config.js';
import { EventStoreServer, HOST } from './server.js';
import { FolderInUse, FolderRefused } from './storage/folder.js';
import { Store } from './store.js';

/** As in sysexits.h. */
const EXIT = { ok: 0, failed: 1, diskFailed: 74, inUse: 75, misconfigured: 78 } as const;
/** A stop that takes longer than this is given up; what was acknowledged is on disk either way. */
const STOP_WITHIN_MS = 10_000;

type Level = 'info' | 'warn' | 'error' | 'fatal';

function log(level: Level, msg: string, fields: object = {}): void {
  process.stdout.write(
    `${JSON.stringify({ level, time: new Date().toISOString(), app: 'eventstore', msg, ...fields })}\n`,
  );
}

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const store = await Store.open(config.dataDir, {
    commitFailed: (error) => log('error', 'commit failed', { error: error.message }),
    fatal: (error) => {
      log('fatal', 'the data can no longer be written', { error: error.message });
      process.exit(EXIT.diskFailed);
    },
  });
  const server = new EventStoreServer(store, (error) =>
    log('error', 'a read failed', { error: (error as Error).stack }),
  );
  stopOnSignals(server, store);
  await listen(server, store, config);
  log('info', 'listening', {
    host: HOST,
    port: server.port,
    dataDir: config.dataDir,
    storeId: store.storeId,
    position: store.head,
    pid: process.pid,
  });
  process.send?.({ type: 'listening', port: server.port });
}

async function listen(server: EventStoreServer, store: Store, config: EventStoreConfig): Promise<void> {
  try {
    await server.listen(config.port);
  } catch (error) {
    await store.close();
    throw new FolderInUse(`${HOST}:${config.port} cannot be listened on: ${(error as Error).message}`);
  }
}

function stopOnSignals(server: EventStoreServer, store: Store): void {
  let stopping = false;
  const stop = (reason: string): void => {
    if (stopping) return;
    stopping = true;
    log('info', 'stopping', { reason });
    setTimeout(() => {
      log('error', 'the stop took too long and was cut off', { afterMs: STOP_WITHIN_MS });
      process.exit(EXIT.failed);
    }, STOP_WITHIN_MS).unref();
    server
      .stop()
      .then(() => store.close())
      .then(
        () => {
          log('info', 'stopped', { position: store.head });
          process.exit(EXIT.ok);
        },
        (error: unknown) => {
          log('error', 'the stop failed', { error: (error as Error).message });
          process.exit(EXIT.failed);
        },
      );
  };
  process.once('SIGTERM', () => stop('SIGTERM'));
  process.once('SIGINT', () => stop('SIGINT'));
  process.once('disconnect', () => stop('the parent process went away'));
}

function exitCodeOf(error: unknown): number {
  if (error instanceof InvalidConfig || error instanceof FolderRefused) return EXIT.misconfigured;
  if (error instanceof FolderInUse) return EXIT.inUse;
  return EXIT.failed;
}

main().catch((error: unknown) => {
  log('fatal', (error as Error).message);
  process.exitCode = exitCodeOf(error);
  process.exit();
});
