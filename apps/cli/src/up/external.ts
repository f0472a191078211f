import { converse, type Address } from './conversation.js';
import { UpRefused } from './refusal.js';

const DEFAULT_PORTS = { redis: 6379, sentinel: 26_379, eventstore: 2113 };

/**
 * Sees that a Redis or event store that somebody else runs is there, before anything of ours starts. Whether it lets us
 * in, and is what we need, the apps say themselves.
 * @throws UpRefused naming the variable; a password in the address is masked
 */
export async function refuseDeadAddress(variable: 'REDIS_URL' | 'EVENTSTORE_URL', url: string): Promise<void> {
  const addresses = addressesIn(url, defaultPort(variable, url));
  const plainRedis = /^redis(\+sentinel|\+cluster)?:/.test(url);
  const attempts = addresses.map((address) => (plainRedis ? speaksRedis(address) : converse(address)));
  const results = await Promise.allSettled(attempts);
  if (results.some(({ status }) => status === 'fulfilled')) return;
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []));
  throw new UpRefused(`${variable} is ${masked(url)}, but ${reasons.join(', ') || 'it names no host'}`);
}

/** The address without user and password. */
export function masked(url: string): string {
  return url.replace(/\/\/.*@/, '//***@').replace(/((?:password|pass)=)[^&]*/gi, '$1***');
}

/** Any answer of Redis will do: one that wants a password first says so in its own protocol. */
async function speaksRedis(address: Address): Promise<void> {
  const answer = await converse(address, 'PING\r\n');
  if (!/^[+-]/.test(answer)) throw new Error(`${address.host}:${address.port} does not answer as a Redis`);
}

function defaultPort(variable: string, url: string): number {
  if (variable === 'EVENTSTORE_URL') return DEFAULT_PORTS.eventstore;
  return url.includes('+sentinel') ? DEFAULT_PORTS.sentinel : DEFAULT_PORTS.redis;
}

function addressesIn(url: string, port: number): Address[] {
  const hosts = /^[^/]*\/\/(?:[^@/]*@)?([^/?]*)/.exec(url)?.[1] ?? '';
  return hosts.split(',').flatMap((text) => {
    const [, bracketed, plain, given] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text.trim()) ?? [];
    const host = bracketed ?? plain;
    return host === undefined ? [] : [{ host, port: given === undefined ? port : Number(given) }];
  });
}
