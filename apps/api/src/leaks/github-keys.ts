import type { Logger } from '@keyledger/platform';
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';

/** How soon an unknown key id has the list fetched again, once it was fetched; and once that failed. */
const ASK_AGAIN_MS = 60_000;
const ASK_AGAIN_AFTER_FAILURE_MS = 5000;
const FETCH_TIMEOUT_MS = 5000;
const LARGEST_LIST_BYTES = 262_144;
const MOST_KEYS = 100;

/** The list of keys cannot be had, so nobody can tell whether a signature is good. */
export class KeysUnavailable extends Error {
  constructor(cause: unknown) {
    super('the public keys of GitHub cannot be fetched', { cause });
    this.name = 'KeysUnavailable';
  }
}

/**
 * The keys under which GitHub signs its reports (`ECDSA-NIST-P256V1-SHA256`). The list is fetched when a key id is asked
 * for that is not in it, conditionally, and not more often than once a minute, whatever callers send.
 */
export class GithubKeys {
  private keys = new Map<string, KeyObject>();
  private etag: string | undefined;
  private nextFetchAtMs = -Infinity;
  private running: Promise<void> | undefined;

  constructor(
    private readonly url: string,
    private readonly logger: Logger,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /**
   * Whether the bytes were signed with the key of that id; `unknown` if there is no such key.
   * @param signature base64 of the DER form
   * @throws KeysUnavailable
   */
  async check(identifier: string, signature: string, body: Uint8Array): Promise<'good' | 'bad' | 'unknown'> {
    if (!this.keys.has(identifier)) await this.renew();
    const key = this.keys.get(identifier);
    if (!key) return 'unknown';
    return verify('sha256', body, key, Buffer.from(signature, 'base64')) ? 'good' : 'bad';
  }

  private async renew(): Promise<void> {
    if (!this.running && this.nowMs() < this.nextFetchAtMs) return;
    this.running ??= this.fetched().finally(() => (this.running = undefined));
    await this.running;
  }

  private async fetched(): Promise<void> {
    try {
      const headers = {
        accept: 'application/json',
        'user-agent': 'keyledger',
        ...(this.etag && { 'if-none-match': this.etag }),
      };
      const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
      const response = await fetch(this.url, { headers, redirect: 'error', signal });
      if (response.status !== 304) {
        if (!response.ok) throw new Error(`it answers ${response.status}`);
        this.keys = keysOf(await textOf(response), this.logger);
        this.etag = response.headers.get('etag') ?? undefined;
      }
      this.nextFetchAtMs = this.nowMs() + ASK_AGAIN_MS;
    } catch (error) {
      this.nextFetchAtMs = this.nowMs() + ASK_AGAIN_AFTER_FAILURE_MS;
      this.logger.warn({ err: error }, 'the public keys of GitHub cannot be fetched');
      throw new KeysUnavailable(error);
    }
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += (chunk as Uint8Array).byteLength;
    if (size > LARGEST_LIST_BYTES) throw new Error(`its answer is larger than ${LARGEST_LIST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `{public_keys: [{key_identifier, key}]}`, where an id is the SHA-256 of the PEM text. What cannot be used is left out. */
function keysOf(text: string, logger: Logger): Map<string, KeyObject> {
  const { public_keys: listed } = JSON.parse(text) as { public_keys?: unknown };
  if (!Array.isArray(listed)) throw new Error('its answer has no list public_keys');
  const keys = new Map<string, KeyObject>();
  for (const item of listed.slice(0, MOST_KEYS) as unknown[]) {
    const { key_identifier: id, key: pem } = (item ?? {}) as { key_identifier?: unknown; key?: unknown };
    if (typeof id !== 'string' || typeof pem !== 'string') continue;
    try {
      const key = createPublicKey(pem);
      if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('it is no key of the curve P-256');
      keys.set(id, key);
    } catch (error) {
      logger.warn(
        { err: error, sha256: createHash('sha256').update(pem).digest('hex') },
        'a key of GitHub is unusable',
      );
    }
  }
  return keys;
}
