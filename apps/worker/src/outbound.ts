import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { lookup as resolve } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import type { TargetGuard } from './target-guard.js';

/** What a receiver said. Its body is cut at `MAX_ANSWER_BYTES`. */
export interface OutboundAnswer {
  status: number;
  body: string;
  /** Seconds after which it wants to be asked again (RFC 9110 section 10.2.3). */
  retryAfterSeconds?: number;
}

/**
 * There is no whole answer. `refused`: the target may not be reached; `unreachable`: nobody is there, or TLS failed;
 * `broken`: the connection ended in the middle; `timeout`: it took too long, whether to connect or to finish.
 */
export class OutboundError extends Error {
  constructor(
    readonly reason: 'refused' | 'unreachable' | 'broken' | 'timeout',
    message: string,
  ) {
    super(message);
    this.name = 'OutboundError';
  }
}

export interface OutboundMessage {
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
}

const TIMEOUT_MS = 15_000;
/** More of an answer is not read: it is for people to look at when something went wrong. */
const MAX_ANSWER_BYTES = 16_384;
const MAX_RETRY_AFTER_SECONDS = 86_400;

/**
 * Posts to addresses that customers have named. Nothing but a direct connection to an address that the guard has looked
 * at, at the moment of connecting, so that a name that resolves to another address next time gains nothing. Redirects
 * are answers like others and never followed. Each message has a connection of its own.
 */
export class Outbound {
  constructor(
    private readonly guard: TargetGuard,
    private readonly timeoutMs = TIMEOUT_MS,
  ) {}

  /** @throws OutboundError */
  async post({ url: text, headers, body }: OutboundMessage): Promise<OutboundAnswer> {
    const url = new URL(text);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
    // A literal address is never looked up.
    if (isIP(host) !== 0) this.assertAllowed(host, port);
    const open = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = open({
      protocol: url.protocol,
      host,
      port,
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers: { ...headers, host: url.host, 'content-length': String(Buffer.byteLength(body)), connection: 'close' },
      agent: false,
      lookup: this.lookup(port),
      ...(isIP(host) === 0 && { servername: host }),
    });
    return this.exchange(request, body);
  }

  private exchange(request: ClientRequest, body: string): Promise<OutboundAnswer> {
    return new Promise((fulfil, reject) => {
      let answered = false;
      const fail = (error: unknown): void => {
        clearTimeout(timer);
        request.destroy();
        reject(error instanceof OutboundError ? error : failureOf(error as NodeJS.ErrnoException, answered));
      };
      const timer = setTimeout(() => {
        const what = answered ? 'did not finish its answer' : 'did not answer';
        fail(new OutboundError('timeout', `${what} within ${this.timeoutMs / 1000} s`));
      }, this.timeoutMs);
      request.on('error', fail);
      request.on('response', (response) => {
        answered = true;
        read(response).then((text) => {
          clearTimeout(timer);
          request.destroy();
          fulfil({ status: response.statusCode ?? 0, body: text, ...retryAfter(response) });
        }, fail);
      });
      request.end(body);
    });
  }

  /** Every address that a name has must be allowed: connecting tries one after the other. */
  private lookup(port: number): LookupFunction {
    return (hostname, options, done) => {
      resolve(hostname, { ...options, all: true }, (error, addresses) => {
        if (error) return done(error, '');
        try {
          for (const { address } of addresses) this.assertAllowed(address, port);
        } catch (refused) {
          return done(refused as Error, '');
        }
        const [first] = addresses;
        if (options.all) return done(null, addresses);
        return done(null, first?.address ?? '', first?.family);
      });
    };
  }

  private assertAllowed(address: string, port: number): void {
    const problem = this.guard.problemWith(address, port);
    if (problem !== undefined) throw new OutboundError('refused', problem);
  }
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= MAX_ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString('utf8');
}

function failureOf(error: NodeJS.ErrnoException, answered: boolean): OutboundError {
  const code = error.code ?? error.message;
  if (answered) return new OutboundError('broken', `broke the connection in the middle of its answer (${code})`);
  return new OutboundError('unreachable', `cannot be reached (${code})`);
}

function retryAfter({ headers }: IncomingMessage): { retryAfterSeconds?: number } {
  const text = headers['retry-after']?.trim();
  if (text === undefined || text === '') return {};
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - Date.now()) / 1000);
  if (!Number.isFinite(seconds)) return {};
  return { retryAfterSeconds: Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SECONDS) };
}
