import { Cluster, Redis, type ClusterOptions, type Command, type RedisOptions } from 'ioredis';

export type RedisClient = Redis | Cluster;

/** The address cannot be used. The message never holds the password. */
export class InvalidRedisUrl extends Error {
  constructor(problem: string) {
    super(`The Redis address ${problem}`);
    this.name = 'InvalidRedisUrl';
  }
}

interface Address {
  topology: 'single' | 'sentinel' | 'cluster';
  tls: boolean;
  hosts: { host: string; port: number }[];
  username?: string;
  password?: string;
  db: number;
  /** Sentinel only: the name of the master set, and what Sentinel itself wants to hear. */
  master?: string;
  sentinelPassword?: string;
}

const SCHEME = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^/?]+)(?:\/([^?]*))?(?:\?(.*))?$/;
/** How long a connection, or one command of whoever does not wait, may take before it counts as failed. */
const TIMEOUT_MS = 2000;
const SLOTS_REFRESH_MS = 2000;
const DEFAULT_PORTS = { single: 6379, cluster: 6379, sentinel: 26379 };

/**
 * A client for one Redis (`redis://[user:password@]host:port/db`), for Sentinel
 * (`redis+sentinel://[user:password@]host:26379,host2/mymaster?db=0&sentinelPassword=…`) or for a Cluster
 * (`redis+cluster://[user:password@]host:7000,host2:7001`); `rediss` for TLS.
 *
 * Single commands issued in one tick travel as one pipeline, per node on a Cluster. Nothing waits for a Redis that is
 * not there: commands fail at once while there is no connection and after two seconds when no answer comes, none is
 * sent twice, and the client reconnects by itself with backoff for ever.
 * @throws InvalidRedisUrl
 */
export function connectRedis(url: string): RedisClient {
  return connect(url, { waits: false });
}

/**
 * A client as BullMQ wants it: commands wait for a connection and are never given up, because a worker of a queue blocks
 * on them for as long as there is nothing to do. It is for queues only; whoever answers a request uses `connectRedis`.
 * @throws InvalidRedisUrl
 */
export function connectForQueues(url: string): RedisClient {
  return connect(url, { waits: true });
}

function connect(url: string, { waits }: { waits: boolean }): RedisClient {
  const client = createClient(parseRedisUrl(url), waits);
  // Failures reach callers with their commands; without a listener ioredis would also print each to the console.
  client.on('error', () => undefined);
  return client;
}

/** @param waits whether commands wait for a connection and an answer, however long that takes */
function createClient(address: Address, waits: boolean): RedisClient {
  const { topology, hosts, db, username, password } = address;
  const common: RedisOptions = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(address.tls && { tls: {} }),
    connectTimeout: TIMEOUT_MS,
    ...(waits
      ? { maxRetriesPerRequest: null }
      : {
          commandTimeout: TIMEOUT_MS,
          maxRetriesPerRequest: 0,
          autoResendUnfulfilledCommands: false,
          enableAutoPipelining: true,
        }),
  };
  if (topology === 'cluster') {
    const cluster: ClusterOptions = {
      redisOptions: common,
      enableAutoPipelining: !waits,
      enableOfflineQueue: waits,
      maxRedirections: 6,
      clusterRetryStrategy: backoffMs,
      slotsRefreshTimeout: 2000,
      // ioredis gives up a node that it loses, and hears of its return from MOVED alone: not in a pipeline, where each
      // slot has another. Without this a node that was started anew would stay lost to this process.
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      ...(address.tls && { dnsLookup: (host, done) => done(null, host) }),
    };
    return new Cluster(hosts, cluster);
  }
  const single = { ...common, db, enableOfflineQueue: waits, retryStrategy: backoffMs };
  const Client = waits ? GatheringRedis : Redis;
  if (topology === 'single') return new Client({ ...single, ...hosts[0] });
  return new Client({
    ...single,
    sentinels: hosts,
    name: address.master,
    ...(address.sentinelPassword !== undefined && { sentinelPassword: address.sentinelPassword }),
    sentinelRetryStrategy: backoffMs,
    sentinelCommandTimeout: 2000,
    ...(address.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  });
}

/**
 * Writes the commands of one turn of the event loop to its socket together. BullMQ gives each of them by itself, and with
 * many jobs at work the system calls for that would cost both ends more than the commands.
 */
class GatheringRedis extends Redis {
  private corked = false;

  override sendCommand(command: Command, stream?: Parameters<Redis['sendCommand']>[1]): unknown {
    // Absent until there is a connection.
    const socket = (this as { stream?: Redis['stream'] }).stream;
    if (socket && !this.corked) {
      this.corked = true;
      socket.cork();
      setImmediate(() => {
        this.corked = false;
        socket.uncork();
      });
    }
    return super.sendCommand(command, stream);
  }
}

function backoffMs(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 10), 1000);
}

/** The parts of a Redis address. @throws InvalidRedisUrl */
function parseRedisUrl(url: string): Address {
  const [, scheme, kind, userInfo, hostList = '', path = '', search = ''] = SCHEME.exec(url) ?? [];
  if (scheme === undefined) {
    throw new InvalidRedisUrl('must begin with redis://, rediss://, redis+sentinel:// or redis+cluster:// and a host');
  }
  const topology = kind === 'sentinel' || kind === 'cluster' ? kind : 'single';
  const query = new URLSearchParams(search);
  const hosts = hostList.split(',').map((text) => hostOf(text, DEFAULT_PORTS[topology]));
  if (topology === 'single' && hosts.length > 1) {
    throw new InvalidRedisUrl('names several hosts; use redis+sentinel:// or redis+cluster:// for them');
  }
  const master = topology === 'sentinel' ? path : undefined;
  if (master === '') throw new InvalidRedisUrl('must name the master set behind the hosts, e.g. /mymaster');
  const sentinelPassword = query.get('sentinelPassword');
  return {
    topology,
    tls: scheme === 'rediss',
    hosts,
    ...credentialsOf(userInfo),
    db: databaseOf(topology === 'single' ? path : (query.get('db') ?? ''), topology),
    ...(master !== undefined && { master }),
    ...(sentinelPassword !== null && { sentinelPassword }),
  };
}

function hostOf(text: string, defaultPort: number): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text.trim()) ?? [];
  const host = bracketed ?? plain;
  const number = port === undefined ? defaultPort : Number(port);
  if (host === undefined || number < 1 || number > 65_535) {
    throw new InvalidRedisUrl('has a host that is not of the form host or host:port');
  }
  return { host, port: number };
}

function credentialsOf(userInfo: string | undefined): { username?: string; password?: string } {
  if (userInfo === undefined || userInfo === '') return {};
  const at = userInfo.indexOf(':');
  try {
    const username = decodeURIComponent(at < 0 ? userInfo : userInfo.slice(0, at));
    return {
      ...(username !== '' && { username }),
      ...(at >= 0 && { password: decodeURIComponent(userInfo.slice(at + 1)) }),
    };
  } catch {
    throw new InvalidRedisUrl('has a user or password that is not percent-encoded as a URL needs it');
  }
}

function databaseOf(text: string, topology: Address['topology']): number {
  if (text === '') return 0;
  const db = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(db)) throw new InvalidRedisUrl('must name its database by a number, e.g. /0');
  if (db !== 0 && topology === 'cluster') throw new InvalidRedisUrl('names a database, but a Cluster has only 0');
  return db;
}
