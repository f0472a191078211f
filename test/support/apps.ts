import { http } from './http.js';
import { claimPort } from './ports.js';
import { RealProcess, temporaryFolder } from './process.js';

export type AppName = 'api' | 'verifier' | 'worker';

export type App = RealProcess & { readonly baseUrl: string; readonly port: number };

export type EventStoreServer = RealProcess & {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
};

/**
 * The embedded event store on a port and in a folder of its own.
 * @param options.folder an existing data folder, a new one if left out
 * @param options.limited whether its files may grow to 8 or 16 MB only (`ulimit -f` counts blocks of 512 bytes or of
 * 1024, by shell): writes beyond fail with EFBIG, as they fail with ENOSPC on a full disk
 */
export async function startEventStore(
  options: { folder?: string; env?: NodeJS.ProcessEnv; limited?: boolean } = {},
): Promise<EventStoreServer> {
  const { folder = temporaryFolder(), env, limited = false } = options;
  const { port } = await claimPort();
  const module = 'dist/apps/eventstore/src/main.js';
  const shell = { program: '/bin/sh', args: ['-c', 'ulimit -f 16000; exec "$0" "$1"', process.execPath, module] };
  const store = new RealProcess({
    name: 'eventstore',
    ...(limited ? shell : { module }),
    env: { NODE_ENV: 'production', KEYLEDGER_EVENTSTORE_PORT: String(port), KEYLEDGER_DATA_DIR: folder, ...env },
    ready: (self) => (limited ? self.logs().includes('"listening"') : self.message('listening') !== undefined),
  });
  await store.start();
  return Object.assign(store, { url: `kurrentdb://127.0.0.1:${port}?tls=false`, port, folder });
}

/** One of our apps, ready to serve. `env` names at least its `REDIS_URL`. */
export async function startApp(name: AppName, env: NodeJS.ProcessEnv): Promise<App> {
  const { port } = await claimPort();
  const baseUrl = `http://127.0.0.1:${port}`;
  const app = new RealProcess({
    name,
    module: `dist/apps/${name}/src/main.js`,
    env: {
      NODE_ENV: 'production',
      [`KEYLEDGER_${name.toUpperCase()}_PORT`]: String(port),
      KEYLEDGER_DATA_DIR: temporaryFolder(),
      ...env,
    },
    ready: () => isReady(baseUrl),
  });
  await app.start();
  return Object.assign(app, { baseUrl, port });
}

async function isReady(baseUrl: string): Promise<true> {
  const { status, body } = await http(baseUrl).get('/health/ready');
  if (status !== 200) throw new Error(`/health/ready answers ${status} ${JSON.stringify(body)}`);
  return true;
}
