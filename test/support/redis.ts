import { cpSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { claimPort } from './ports.js';
import { RealProcess, temporaryFolder } from './process.js';

export type RedisServer = RealProcess & {
  readonly url: string;
  readonly port: number;
  /** Where it keeps its append-only files; it is the same after a restart. */
  readonly folder: string;
};

/** A redis-server with AOF on a port and in a folder of its own. `args` are appended, e.g. `--cluster-enabled yes`. */
export async function startRedis({ args = [] }: { args?: readonly string[] } = {}): Promise<RedisServer> {
  const { port } = await claimPort();
  const folder = temporaryFolder();
  const own = { port, bind: '127.0.0.1', dir: folder, save: '', appendonly: 'yes', daemonize: 'no' };
  const redis = new RealProcess({
    name: 'redis-server',
    program: 'redis-server',
    args: [...Object.entries(own).flatMap(([name, value]) => [`--${name}`, String(value)]), ...args],
    ready: () => answersPing(port),
  });
  await redis.start();
  return Object.assign(redis, { url: `redis://127.0.0.1:${port}`, port, folder });
}

/**
 * Remembers what a Redis has on disk now. What it gives kills the server and starts it again with that: it has lost all
 * that it was told since, as after a crash of its machine or a failover to a replica that was behind.
 */
export function rememberRedis(redis: RedisServer): () => Promise<void> {
  const copy = temporaryFolder();
  cpSync(redis.folder, copy, { recursive: true });
  return async () => {
    await redis.kill();
    rmSync(redis.folder, { recursive: true });
    cpSync(copy, redis.folder, { recursive: true });
    await redis.start();
  };
}

/** PING, so that a server that still loads its data is not taken for ready. */
export function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(2000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('data', (data) => done(data.toString().startsWith('+PONG')));
  });
}
