import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from './eventually.js';
import { claimPort } from './ports.js';
import { RealProcess, temporaryFolder } from './process.js';
import { answersPing, startRedis, type RedisServer } from './redis.js';

const run = promisify(execFile);

/** Several Redis servers behind one address. */
export interface RedisTopology {
  readonly url: string;
  readonly servers: readonly RedisServer[];
  stop(): Promise<void>;
}

const SLOTS = 16_384;
const FAILED_AFTER_MS = 1000;

/** What a server answers to one command, as `redis-cli` prints it. */
export async function redisCli(port: number, ...args: string[]): Promise<string> {
  return (await run('redis-cli', ['-p', String(port), ...args], { maxBuffer: 1e8 })).stdout.trim();
}

/** A Redis Cluster of three masters that share the slots, without replicas. */
export async function startRedisCluster(): Promise<RedisTopology> {
  const servers = await Promise.all([0, 1, 2].map(startClusterNode));
  const ports = servers.map(({ port }) => port);
  await Promise.all(
    servers.map(({ port }, index) => {
      const edge = (nth: number): string => String(Math.floor((SLOTS * nth) / servers.length));
      return redisCli(port, 'cluster', 'addslotsrange', edge(index), String(Number(edge(index + 1)) - 1));
    }),
  );
  for (const { port, busPort } of servers.slice(1)) {
    await redisCli(ports[0] as number, 'cluster', 'meet', '127.0.0.1', String(port), String(busPort));
  }
  await eventually('every node knows the whole cluster', async () => {
    for (const port of ports) {
      const info = await redisCli(port, 'cluster', 'info');
      if (!info.includes('cluster_state:ok') || !info.includes('cluster_known_nodes:3')) return false;
    }
    return true;
  });
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',');
  return { url: `redis+cluster://${hosts}`, servers, stop: () => stopAll(servers) };
}

async function startClusterNode(): Promise<RedisServer & { busPort: number }> {
  const { port: busPort } = await claimPort();
  const node = await startRedis({
    args: ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', '5000'],
  });
  return Object.assign(node, { busPort });
}

/** A master, a replica that has all of it, and one Sentinel that lets the replica take over from a master that is gone. */
export async function startRedisWithSentinel(): Promise<RedisTopology> {
  const master = await startRedis();
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(master.port)] });
  await eventually('the replica follows', async () => {
    return (await redisCli(replica.port, 'info', 'replication')).includes('master_link_status:up');
  });
  const { port } = await claimPort();
  const folder = temporaryFolder();
  const file = join(folder, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor main 127.0.0.1 ${master.port} 1`,
    `sentinel down-after-milliseconds main ${FAILED_AFTER_MS}`,
    'sentinel failover-timeout main 5000',
  ];
  writeFileSync(file, lines.join('\n'));
  const sentinel = new RealProcess({
    name: 'redis-sentinel',
    program: 'redis-server',
    args: [file, '--sentinel'],
    ready: async () =>
      (await answersPing(port)) && (await redisCli(port, 'sentinel', 'master', 'main')).includes('num-slaves\n1'),
  });
  await sentinel.start();
  const servers = [master, replica];
  return {
    url: `redis+sentinel://127.0.0.1:${port}/main`,
    servers,
    stop: () => stopAll([sentinel, ...servers]),
  };
}

async function stopAll(processes: readonly RealProcess[]): Promise<void> {
  await Promise.all(processes.map((one) => one.stop()));
}
