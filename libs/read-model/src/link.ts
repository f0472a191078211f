import { Cluster, Redis, type ChainableCommander, type Command } from 'ioredis';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { RedisClient } from './connect.js';
import { ReadModelUnavailable } from './unavailable.js';
import { argsIn, bytesOf, WrittenCommand } from './wire.js';

/**
 * A Lua script that does the same to each of its keys. On the way to Redis the calls of one batch become one, on a
 * Cluster those whose keys share a hash tag and so a slot: a command costs this process far more than a key more in it.
 */
export interface Script {
  lua: string;
  sha: string;
  /** Arguments with which it does nothing but set a text where there is none, and answers 1. */
  setting?: (text: string) => readonly string[];
}

/**
 * @param body the body of a Lua function of the key and its arguments (`...`), whose result is the reply.
 * @param setting see `Script`.
 */
export function script(argsPerKey: number, body: string, setting?: Script['setting']): Script {
  const args = Array.from({ length: argsPerKey }, (_, nth) => `ARGV[(i - 1) * ${argsPerKey} + ${nth + 1}]`);
  const lua = `
local function one(...)
${body.trim()}
end
local replies = {}
for i, key in ipairs(KEYS) do replies[i] = one(${['key', ...args].join(', ')}) end
return replies`;
  return { lua, sha: createHash('sha1').update(lua).digest('hex'), ...(setting && { setting }) };
}

/**
 * One command on one key. `call` is a command's name, or a script that gets the key and the arguments. An `msetnx` sets
 * its key to the first argument and may bring further keys and their texts, where the server takes `acrossSlots`; those
 * that travel together are set all or none, and no two of a batch may name the same key.
 */
export interface KeyCommand {
  call: string | Script;
  key: string;
  args?: readonly (string | number)[];
  /**
   * In place of arguments, for a script that has `setting`: this text where there is none. Most often there is none, so
   * all of them that travel together are first tried as one MSETNX, which sets all or nothing and costs Redis a third;
   * where that says that something stands there, the script does what it would have done. No two of a batch may be of
   * one key: MSETNX would take the last of their texts and say that it took both.
   */
  fresh?: string;
}

/** What goes over the wire as one command: one or many of the same kind. */
interface Joint {
  /** The name of the command. */
  name: string;
  /** One of its keys. */
  key: string;
  bytes: Buffer;
  /** Places in the batch of the commands that went into it. */
  places: number[];
  script?: Script;
  /** Whether there is a reply for each of them in its reply. */
  many: boolean;
}

/** Commands that are ready to be sent. */
export interface Packed {
  count: number;
  nodes: readonly (readonly Joint[])[];
}

const KEYS_PER_COMMAND = 64;
const COMMANDS_PER_PIPELINE = 1000;
const ASK_AGAIN_MS = 500;
const OPEN_WITHIN_MS = 2000;

interface Server {
  runId: string | undefined;
  /** It may throw records away when it is full, and would then answer as if they had never been. */
  evicts: boolean;
}

/**
 * One client's connections as the read model sees them, the same for a single Redis, Sentinel and Cluster: batches of
 * commands that each touch one key, and which run of which server answers for a key.
 *
 * A server's `run_id` changes with each of its starts. After a restart or a failover the last writes may be gone, so an
 * answer counts only if its server's run is one that the projector has vouched for. The id is asked for at the head of
 * every connection: an answer that comes before it has none, and counts for nothing.
 */
export class RedisLink {
  private static readonly links = new WeakMap<RedisClient, RedisLink>();
  private readonly servers = new Map<Redis, Server>();
  private readonly slots = new Map<string, number>();

  /** The one link of a client. Made early it sees every connection from its beginning. */
  static of(client: RedisClient): RedisLink {
    const known = RedisLink.links.get(client);
    if (known) return known;
    const link = new RedisLink(client);
    RedisLink.links.set(client, link);
    return link;
  }

  private constructor(readonly client: RedisClient) {
    if (!(client instanceof Cluster)) {
      this.watch(client, 'ready');
      return;
    }
    client.on('+node', (node: Redis) => this.watch(node, 'at once'));
    for (const node of client.nodes('all')) this.watch(node, 'at once');
  }

  /** Resolves once there is a connection, and after an error or two seconds all the same. */
  async opened(signal: AbortSignal): Promise<void> {
    if (this.client.status === 'ready') return;
    const enough = AbortSignal.any([signal, AbortSignal.timeout(OPEN_WITHIN_MS)]);
    await once(this.client, 'ready', { signal: enough }).catch(() => undefined);
  }

  /** The run of the server that answers for a key with this hash tag, or `undefined` while it is not known. */
  runOf(tag: string): string | undefined {
    const { client } = this;
    if (!(client instanceof Cluster)) return this.servers.get(client)?.runId;
    const owner = client.slots[this.slotOf(tag)]?.[0];
    const node = owner === undefined ? undefined : this.nodeAt(client, owner);
    return node && this.servers.get(node)?.runId;
  }

  /** Whether one command may touch keys of any two names: all but a Cluster. */
  get acrossSlots(): boolean {
    return !(this.client instanceof Cluster);
  }

  /** Every server that holds keys of ours: one, or the masters of the Cluster. */
  masters(): Redis[] {
    return this.client instanceof Cluster ? this.client.nodes('master') : [this.client];
  }

  /** Whether a server may throw away records of its own accord (`maxmemory-policy allkeys-*`). */
  evicts(): boolean {
    return [...this.servers.values()].some((server) => server.evicts);
  }

  /**
   * Runs commands and gives their replies in the same order; between commands of one batch no order is promised. On a
   * Cluster one pipeline goes to each node, and no command crosses slots.
   * @throws ReadModelUnavailable if any failed; others may have been done.
   */
  batch(commands: readonly KeyCommand[]): Promise<unknown[]> {
    return this.send(this.pack(commands));
  }

  /**
   * The first half of `batch`: commands as they will travel. What they were made of can be let go: objects by the
   * thousand that live on until Redis has answered are what keeps the garbage collector busy, bytes are not.
   */
  pack(commands: readonly KeyCommand[]): Packed {
    const nodes = [...this.byNode(commands)].map((groups) => groups.map((places) => jointOf(commands, places)));
    return { count: commands.length, nodes };
  }

  /** The second half. @throws ReadModelUnavailable as `batch` does. */
  async send({ count, nodes }: Packed): Promise<unknown[]> {
    const replies = new Array<unknown>(count);
    await Promise.all(nodes.map((joints) => this.runAll(joints, replies)));
    return replies;
  }

  private async runAll(joints: readonly Joint[], replies: unknown[]): Promise<void> {
    for (let from = 0; from < joints.length; from += COMMANDS_PER_PIPELINE) {
      // Thrice at most: one MSETNX, the script by its name, the script as text.
      let undone = joints.slice(from, from + COMMANDS_PER_PIPELINE);
      while (undone.length > 0) undone = await this.runPipeline(undone, replies);
    }
  }

  /** Fills in the replies; gives what is to be sent in the place of those that could not be done as they were. */
  private async runPipeline(joints: readonly Joint[], replies: unknown[]): Promise<Joint[]> {
    // The client's types leave out what its pipelines share with it: taking commands that are made already.
    const pipeline = this.client.pipeline() as ChainableCommander & { sendCommand(command: Command): unknown };
    for (const { name, key, bytes } of joints) pipeline.sendCommand(new WrittenCommand(name, key, bytes));
    const results = await pipeline.exec().catch((error: unknown) => {
      throw new ReadModelUnavailable('unreachable', error);
    });
    const undone: Joint[] = [];
    for (const [at, joint] of joints.entries()) {
      const [error, reply] = results?.[at] ?? [new Error('no reply')];
      const { name, places } = joint;
      if (error) {
        if (name !== 'evalsha' || !error.message.startsWith('NOSCRIPT')) {
          throw new ReadModelUnavailable('unreachable', error);
        }
        undone.push(withText(joint));
      } else if (name === 'msetnx') {
        if (!joint.script) for (const place of places) replies[place] = reply;
        else if (reply === 1) for (const place of places) replies[place] = 1;
        else undone.push(byScript(joint));
      } else if (joint.many) places.forEach((place, nth) => (replies[place] = (reply as unknown[])[nth]));
      else replies[places[0] as number] = reply;
    }
    return undone;
  }

  /** Which commands travel as one, grouped as a Cluster accepts them in one pipeline: by the nodes that hold their slots. */
  private byNode(commands: readonly KeyCommand[]): Iterable<number[][]> {
    const { client } = this;
    const groups = new Map<string, number[][]>();
    const open = { fresh: new Map<unknown, Map<string, number[]>>(), other: new Map<unknown, Map<string, number[]>>() };
    for (const [index, { call, key, fresh }] of commands.entries()) {
      const tag = client instanceof Cluster ? tagIn(key) : '';
      const kinds = fresh === undefined ? open.other : open.fresh;
      const joined = canJoin(call) ? (kinds.get(call) ?? new Map<string, number[]>()) : undefined;
      const mates = joined?.get(tag);
      if (mates && mates.length < KEYS_PER_COMMAND) {
        mates.push(index);
        continue;
      }
      const alone = [index];
      if (joined) kinds.set(call, joined.set(tag, alone));
      const nodes = client instanceof Cluster ? (client.slots[this.slotOf(tag)]?.join(',') ?? '') : '';
      const group = groups.get(nodes);
      if (group) group.push(alone);
      else groups.set(nodes, [alone]);
    }
    return groups.values();
  }

  private watch(node: Redis, from: 'ready' | 'at once'): void {
    const ask = (): void => {
      node.info().then(
        (text) => this.servers.set(node, serverOf(text)),
        () => {
          this.servers.delete(node);
          if (node.status === 'ready') setTimeout(ask, ASK_AGAIN_MS).unref();
        },
      );
    };
    node.on('close', () => this.servers.delete(node));
    node.on('end', () => this.servers.delete(node));
    if (from === 'ready') node.on('ready', ask);
    if (from === 'at once' || node.status === 'ready') ask();
  }

  private nodeAt(cluster: Cluster, address: string): Redis | undefined {
    return cluster.nodes('all').find(({ options }) => `${options.host}:${options.port}` === address);
  }

  private slotOf(tag: string): number {
    let slot = this.slots.get(tag);
    if (slot === undefined) {
      slot = crc16(tag) % 16_384;
      this.slots.set(tag, slot);
    }
    return slot;
  }
}

function canJoin(call: KeyCommand['call']): boolean {
  return call === 'get' || call === 'msetnx' || typeof call !== 'string';
}

function jointOf(commands: readonly KeyCommand[], places: number[]): Joint {
  const { call, key, args = [], fresh } = commands[places[0] as number] as KeyCommand;
  if (typeof call === 'string' && !canJoin(call)) {
    return { name: call, key, bytes: bytesOf([call, key, ...args]), places, many: false };
  }
  const mates = places.map((place) => commands[place] as KeyCommand);
  if (typeof call !== 'string' && fresh === undefined) return scriptJoint(call, mates, places);
  const name = call === 'get' ? 'mget' : 'msetnx';
  const wire: (string | number)[] = [name];
  for (const mate of mates) {
    wire.push(mate.key);
    if (mate.fresh !== undefined) wire.push(mate.fresh);
    else if (mate.args) wire.push(...mate.args);
  }
  return { name, key, bytes: bytesOf(wire), places, ...(typeof call !== 'string' && { script: call }), many: true };
}

function scriptJoint(script: Script, mates: readonly KeyCommand[], places: number[]): Joint {
  const wire: (string | number)[] = ['evalsha', script.sha, mates.length];
  for (const { key } of mates) wire.push(key);
  for (const { args = [] } of mates) for (const arg of args) wire.push(arg);
  return { name: 'evalsha', key: (mates[0] as KeyCommand).key, bytes: bytesOf(wire), places, script, many: true };
}

/** For a server that does not know the script (any more). */
function withText(joint: Joint): Joint {
  const [, , ...rest] = argsIn(joint.bytes);
  return { ...joint, name: 'eval', bytes: bytesOf(['eval', (joint.script as Script).lua, ...rest]) };
}

/** Where something stands already: each of them by the script itself. */
function byScript({ bytes, places, script }: Joint): Joint {
  const { setting } = script as Required<Script>;
  const [, ...parts] = argsIn(bytes);
  const mates = places.map((_, nth): KeyCommand => {
    const [key, text] = parts.slice(2 * nth) as [string, string];
    return { call: script as Script, key, args: setting(text) };
  });
  return scriptJoint(script as Script, mates, places);
}

function tagIn(key: string): string {
  const start = key.indexOf('{');
  return key.slice(start + 1, key.indexOf('}', start));
}

function serverOf(info: string): Server {
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  const evicts = field('maxmemory') !== '0' && (field('maxmemory_policy') ?? '').startsWith('allkeys');
  return { runId: field('run_id'), evicts };
}

/** CRC-16/XMODEM, which the Cluster specification names for hash slots. */
function crc16(text: string): number {
  let crc = 0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}
