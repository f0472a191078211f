import { converse, type Address } from './conversation.js';
import { UpMisconfigured, UpRefused } from './refusal.js';

const DEFAULT_PORTS = { redis: 6379, sentinel: 26_379, eventstore: 2113 };

/** What a client of HTTP/2 begins with: the preface, and SETTINGS that change nothing (RFC 9113, 3.4). */
const HTTP2_HELLO = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
/** Length (3 bytes), type, flags, stream: the server's first frame is SETTINGS on stream 0 as well, and no acknowledgement. */
const SETTINGS_FRAME = /^[^]{3}\x04\0\0\0\0\0/;
const FRAME_HEADER_BYTES = 9;

/**
 * Sees that a Redis or event store that somebody else runs is there, before anything of ours starts, and where no TLS
 * hides it that it is not a server of quite another kind. Whether it lets us in, and is what we need, the apps say
 * themselves.
 * @throws UpRefused naming the variable; a password in the address is masked
 */
export async function refuseDeadAddress(variable: 'REDIS_URL' | 'EVENTSTORE_URL', url: string): Promise<void> {
  const addresses = addressesIn(url, defaultPort(variable, url));
  if (addresses.length === 0) throw new UpMisconfigured(`${variable} is ${masked(url)}, but it names no host`);
  const greet = greetingFor(url);
  const results = await Promise.allSettled(addresses.map((address) => greet(address)));
  if (results.some(({ status }) => status === 'fulfilled')) return;
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []));
  throw new UpRefused(`${variable} is ${masked(url)}, but ${reasons.join(', ')}`);
}

/** The address without user and password. */
export function masked(url: string): string {
  return url.replace(/\/\/.*@/, '//***@').replace(/((?:password|pass)=)[^&]*/gi, '$1***');
}

function greetingFor(url: string): (address: Address) => Promise<unknown> {
  if (/^redis(\+sentinel|\+cluster)?:/.test(url)) return speaksRedis;
  // The name in a discovery address may stand for the nodes and answer nothing itself.
  if (/^(kurrentdb|kdb|esdb):/.test(url) && isPlaintext(url)) return speaksHttp2;
  return (address) => converse(address);
}

const isPlaintext = (url: string): boolean => /[?&]\s*tls\s*=false(&|$)/i.test(url);

/** All that an event store says before it is asked anything. */
async function speaksHttp2(address: Address): Promise<void> {
  const answer = await converse(address, HTTP2_HELLO, FRAME_HEADER_BYTES);
  if (!SETTINGS_FRAME.test(answer)) {
    throw new Error(`${address.host}:${address.port} does not answer as an event store`);
  }
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
