import { setTimeout as delay } from 'node:timers/promises';
import { HEADERS, type Problem } from '@keyledger/contracts';
import { Interrupted, Refused, Unreachable, UsageError } from './exit.js';
import { wasNeverSent, whyNoAnswer } from './no-answer.js';

const ATTEMPTS = 3;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

export interface ClientOptions {
  url: string;
  /** The management key; absent only for calls that need none. */
  credential?: string | undefined;
  timeoutMs: number;
  userAgent: string;
}

export interface Call {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  headers?: Record<string, string | undefined>;
  /** For a change: why, and for whom. */
  reason?: string | undefined;
  onBehalfOf?: string | undefined;
  /**
   * For a POST that changes something: names the intent. With it the call may be repeated; without it a POST or PATCH
   * is sent once.
   */
  idempotencyKey?: string | undefined;
  /** For a call that takes longer than the others may. */
  timeoutMs?: number | undefined;
  /** Gives the body of a good answer as it is, in place of the JSON in it. */
  as?: 'text';
  /** A POST that changes nothing (verify): may be repeated as it is. */
  readOnly?: boolean;
  /** A GET that takes away what it gives: sent once. */
  once?: boolean;
  /** Ends the wait for an answer; its reason is the signal that came (`interruptible`). */
  stop?: AbortSignal | undefined;
}

/**
 * Calls the HTTP API. Every try has a timeout; a call that can be repeated without harm (GET, read-only, or with an
 * Idempotency-Key) is tried at most three times when the network fails, when a part of the server is away, or when the
 * first try of the same Idempotency-Key still runs. Redirects are not followed, so that the credential goes nowhere else.
 *
 * @throws Refused for an answer that says no, Unreachable for none or a 502, 503, 504, Interrupted (one of these) where
 * `stop` came first, UsageError for an unusable URL.
 */
export class HttpClient {
  private readonly base: URL;

  constructor(private readonly options: ClientOptions) {
    this.base = baseUrl(options.url);
  }

  async call<T>(call: Call): Promise<T> {
    const isChange = call.once || (call.method !== 'GET' && !call.readOnly);
    const attempts = isChange && (call.once || call.idempotencyKey === undefined) ? 1 : ATTEMPTS;
    const request = this.requestOf(call);
    let mayBeDone = false;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.attempt(call, request);
      if (!('failure' in outcome)) return outcome.body as T;
      const { failure, again, isOpen, pauseMs = FIRST_PAUSE_MS * 4 ** (attempt - 1) } = outcome;
      mayBeDone ||= isOpen;
      const open = { mayBeDone: isChange && mayBeDone, idempotencyKey: call.idempotencyKey };
      if (!again || attempt >= attempts) throw failure instanceof Unreachable ? Object.assign(failure, open) : failure;
      if (!(await paused(pauseMs, call.stop))) throw Object.assign(interrupted(call.stop), open);
    }
  }

  /**
   * The text of an answer of any length as it comes, asked once. Only the beginning of it has a timeout, and every
   * silence of `silenceMs`.
   * @throws as `call`; Unreachable too when it breaks off
   */
  async *stream(call: Call, { silenceMs }: { silenceMs: number }): AsyncGenerator<string, void, undefined> {
    const { url, init } = this.requestOf(call);
    const leaving = new AbortController();
    let timer = setTimeout(() => leaving.abort(), call.timeoutMs ?? this.options.timeoutMs);
    try {
      const response = await fetch(url, { ...init, signal: leaving.signal });
      if (!response.ok || !response.body) throw await this.failureOf(response, url);
      const decoder = new TextDecoder();
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        clearTimeout(timer);
        timer = setTimeout(() => leaving.abort(), silenceMs);
        yield decoder.decode(chunk, { stream: true });
      }
    } catch (error) {
      if (error instanceof Refused || error instanceof Unreachable) throw error;
      throw new Unreachable(`${this.base.origin} broke off: ${whyNoAnswer(error, silenceMs)}`);
    } finally {
      clearTimeout(timer);
      leaving.abort();
    }
  }

  private async failureOf(response: Response, url: URL): Promise<Error> {
    const problem = problemOf(response.status, parseJson(await response.text()), url);
    const away = [502, 503, 504].includes(response.status);
    return away ? new Unreachable(problem.title, problem) : new Refused(problem);
  }

  /**
   * A GET whose answer is no JSON, as it comes: the body streams. The timeout holds until its headers are there.
   */
  async open(call: Omit<Call, 'method'>): Promise<Response> {
    const { url, init } = this.requestOf({ method: 'GET', ...call });
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.openOnce(url, init, call.timeoutMs ?? this.options.timeoutMs);
      if (outcome instanceof Response) return outcome;
      if (!(outcome instanceof Unreachable) || attempt >= ATTEMPTS) throw outcome;
      await delay(FIRST_PAUSE_MS * 4 ** (attempt - 1));
    }
  }

  private async openOnce(url: URL, init: RequestInit, timeoutMs: number): Promise<Response | Error> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new DOMException('it took too long', 'TimeoutError')), timeoutMs);
    try {
      const response = await fetch(url, { ...init, signal: late.signal });
      if (response.ok) return response;
      return await this.failureOf(response, url);
    } catch (error) {
      return new Unreachable(`${this.base.origin} ${whyNoAnswer(error, timeoutMs)}`);
    } finally {
      clearTimeout(timer);
    }
  }

  private requestOf(call: Call): { url: URL; init: RequestInit } {
    const url = new URL(this.base);
    const pathname = url.pathname.replace(/\/$/, '') + call.path;
    url.pathname = pathname;
    // A part like ".." would have been resolved, and the request would go elsewhere.
    if (url.pathname !== pathname) throw new UsageError(`"${call.path}" is no path of the api`);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const { credential, userAgent } = this.options;
    const headers = new Headers({ accept: 'application/json', 'user-agent': userAgent });
    if (credential !== undefined) headers.set('authorization', `Bearer ${credential}`);
    const own = {
      [HEADERS.idempotencyKey]: call.idempotencyKey,
      [HEADERS.reason]: call.reason,
      [HEADERS.onBehalfOf]: call.onBehalfOf,
      ...call.headers,
    };
    for (const [name, value] of Object.entries(own)) {
      if (value !== undefined) setHeader(headers, name, value);
    }
    const init: RequestInit = { method: call.method, headers, redirect: 'error' };
    if (call.body === undefined) return { url, init };
    headers.set('content-type', 'application/json');
    return { url, init: { ...init, body: JSON.stringify(call.body) } };
  }

  private async attempt(call: Call, { url, init }: { url: URL; init: RequestInit }): Promise<Outcome> {
    const timeoutMs = call.timeoutMs ?? this.options.timeoutMs;
    const ends = [AbortSignal.timeout(timeoutMs), ...(call.stop ? [call.stop] : [])];
    let status: number, text: string, retryAfter: string | null;
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.any(ends) });
      ({ status } = response);
      retryAfter = response.headers.get('retry-after');
      text = await response.text();
    } catch (error) {
      if (call.stop?.aborted) return { failure: interrupted(call.stop), again: false, isOpen: true };
      const message = `${this.base.origin} ${whyNoAnswer(error, timeoutMs)}`;
      return { failure: new Unreachable(message), again: true, isOpen: !wasNeverSent(error) };
    }
    const body = status === 204 ? null : call.as === 'text' && status < 300 ? text : parseJson(text);
    if (status >= 200 && status < 300 && body !== undefined) return { body };
    const problem = problemOf(status, body, url);
    const pauseMs = pauseOf(retryAfter);
    if ([502, 503, 504].includes(status)) {
      // What Keyledger itself answers says what became of the change; a gateway before it does not know.
      return { failure: new Unreachable(problem.title, problem), again: true, isOpen: !problem.code, pauseMs };
    }
    const isRunning = problem.code === 'IN_PROGRESS';
    return { failure: new Refused(problem), again: isRunning, isOpen: isRunning, pauseMs };
  }
}

/** What came of one try. `isOpen`: a change may have been carried out. */
type Outcome = { body: unknown } | { failure: Error; again: boolean; isOpen: boolean; pauseMs?: number | undefined };

/** Whether the pause came to its end. */
async function paused(ms: number, stop: AbortSignal | undefined): Promise<boolean> {
  await delay(ms, undefined, stop && { signal: stop }).catch(() => undefined);
  return !stop?.aborted;
}

const interrupted = (stop: AbortSignal | undefined): Interrupted =>
  new Interrupted(stop?.reason as Interrupted['signal']);

function baseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError(`"${text}" is no URL of a Keyledger api: write it like http://127.0.0.1:7400`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '') {
    throw new UsageError('The URL must carry neither credentials nor a query; the key comes from KEYLEDGER_KEY');
  }
  return url;
}

/** A header carries bytes: words of people go as UTF-8, one byte per character of the string that `fetch` wants. */
function setHeader(headers: Headers, name: string, value: string): void {
  if (/\p{Cc}/u.test(value)) throw new UsageError(`The value for the header ${name} must be one line of text`);
  headers.set(name, Buffer.from(value, 'utf8').toString('latin1'));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function problemOf(status: number, body: unknown, url: URL): Partial<Problem> & { status: number; title: string } {
  if (typeof body === 'object' && body !== null && 'title' in body) return { ...(body as Problem), status };
  const detail = `It answered ${status} with something that is not Keyledger's: is the URL right?`;
  return { status, title: `${url.origin} gave an unexpected answer`, detail };
}

/** Seconds of a Retry-After header as milliseconds; its date form is not worth a wait. */
function pauseOf(retryAfter: string | null): number | undefined {
  if (retryAfter === null || !/^\d+$/.test(retryAfter)) return undefined;
  return Math.min(Number(retryAfter) * 1000, LONGEST_PAUSE_MS);
}
