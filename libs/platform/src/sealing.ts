import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** A key of the deployment, held outside Redis and the event store; 32 bytes. */
export interface SealingKey {
  id: string;
  key: Buffer;
}

/** No key is configured, or the one that sealed a text is not configured any more. */
export class SealingUnavailable extends Error {
  constructor(problem: string) {
    super(`${problem}; set KEYLEDGER_SEALING_KEYS`);
    this.name = 'SealingUnavailable';
  }
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts what has to be read again (the signing secrets of channels) with AES-256-GCM, so that events and Redis hold
 * nothing that is of use without the deployment's own key. A text is bound to its place: opened for another, it fails.
 */
export class Sealing {
  constructor(private readonly keys: readonly SealingKey[]) {}

  /** Whether there is a key to seal with. */
  get available(): boolean {
    return this.keys.length > 0;
  }

  /**
   * @param place what the text belongs to, e.g. `channel <id> secret <id>`
   * @returns `<key id>.<base64url>`
   * @throws SealingUnavailable
   */
  seal(place: string, text: string): string {
    const [current] = this.keys;
    if (!current) throw new SealingUnavailable('a secret cannot be kept: there is no sealing key');
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', current.key, iv).setAAD(Buffer.from(place));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${current.id}.${Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')}`;
  }

  /** @throws SealingUnavailable where the key is missing, the place another or the text damaged */
  open(place: string, sealed: string): string {
    const at = sealed.indexOf('.');
    const key = this.keys.find(({ id }) => id === sealed.slice(0, at))?.key;
    if (!key) throw new SealingUnavailable(`the sealing key "${sealed.slice(0, Math.max(at, 0))}" is not configured`);
    const bytes = Buffer.from(sealed.slice(at + 1), 'base64url');
    const head = IV_BYTES + TAG_BYTES;
    if (bytes.length < head) throw new SealingUnavailable('a sealed text is damaged');
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES))
      .setAAD(Buffer.from(place))
      .setAuthTag(bytes.subarray(IV_BYTES, head));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(head)), decipher.final()]).toString('utf8');
    } catch {
      throw new SealingUnavailable('a sealed text is damaged, or belongs to another place');
    }
  }
}
