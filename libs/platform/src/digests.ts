import { createCipheriv, createDecipheriv, createHmac, hash, hkdfSync, randomBytes } from 'node:crypto';

/** A secret of the deployment, held outside Redis and the event store: without it a stolen hash cannot be tried out. */
export interface Pepper {
  id: string;
  key: Buffer;
}

/**
 * How a key becomes the hash under which it is stored, and what is sealed for a caller alone.
 *
 * New keys are hashed under the first pepper, HMAC-SHA-256 (RFC 2104) of the whole text. Retired peppers and plain
 * SHA-256 are still looked up, so that turning peppers on or changing them costs nobody a key. Hashes are base64url.
 */
export class KeyDigests {
  private readonly current: Pepper | undefined;

  constructor(private readonly peppers: readonly Pepper[]) {
    this.current = peppers[0];
  }

  /** The hash for a new secret, and the pepper that made it. */
  forNew(key: string): { hash: string; pepperId?: string } {
    if (!this.current) return { hash: sha256(key) };
    return { hash: hmac(this.current, key), pepperId: this.current.id };
  }

  /** The hashes under which a presented key may be stored, the likeliest first: one if there are no peppers. */
  candidates(key: string): string[] {
    if (!this.current) return [sha256(key)];
    return [...this.peppers.map((pepper) => hmac(pepper, key)), sha256(key)];
  }

  /** Whether new keys are hashed under a pepper, so that a plain SHA-256 does not find them. */
  get peppered(): boolean {
    return this.current !== undefined;
  }

  sha256(text: string): string {
    return sha256(text);
  }

  /**
   * Encrypts a text (AES-256-GCM) under a key derived (HKDF-SHA-256) from the caller's own Idempotency-Key and the
   * current pepper. Whoever keeps the result must not keep the Idempotency-Key.
   */
  seal(idempotencyKey: string, text: string): string {
    const salt = randomBytes(16);
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', sealingKey(this.current, idempotencyKey, salt), iv);
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${this.current?.id ?? ''}.${Buffer.concat([salt, iv, cipher.getAuthTag(), sealed]).toString('base64url')}`;
  }

  /** The text that was sealed, or `undefined` if the Idempotency-Key is another or the seal is broken. */
  open(idempotencyKey: string, sealed: string): string | undefined {
    const [pepperId = '', body = ''] = sealed.split('.');
    const pepper = this.peppers.find(({ id }) => id === pepperId);
    const bytes = Buffer.from(body, 'base64url');
    if ((pepperId !== '' && !pepper) || bytes.length < 44) return undefined;
    const key = sealingKey(pepper, idempotencyKey, bytes.subarray(0, 16));
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(16, 28)).setAuthTag(bytes.subarray(28, 44));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(44)), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }
}

function sha256(text: string): string {
  // One call without a Hash object: a quarter of the cost, on the path of every verification.
  return hash('sha256', text, 'base64url');
}

function hmac(pepper: Pepper, text: string): string {
  return createHmac('sha256', pepper.key).update(text).digest('base64url');
}

function sealingKey(pepper: Pepper | undefined, idempotencyKey: string, salt: Buffer): Buffer {
  const material = Buffer.concat([pepper?.key ?? Buffer.alloc(0), Buffer.from(idempotencyKey)]);
  return Buffer.from(hkdfSync('sha256', material, salt, 'keyledger idempotent receipt', 32));
}
