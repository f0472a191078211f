import { classifyKey, maskOf } from '@keyledger/domain';
import type { KeyDigests } from '@keyledger/platform';

/** What is kept of a text that was found: under which hashes it may be a key, and what of it may be shown. */
export interface FoundToken {
  hash: string;
  otherHashes: readonly string[];
  mask?: string;
}

/** The text is hashed here and goes no further. */
export function foundText(text: string, digests: KeyDigests): FoundToken {
  const [hash = '', ...otherHashes] = digests.candidates(text);
  const kind = classifyKey(text);
  return { hash, otherHashes, ...(typeof kind === 'object' && { mask: maskOf(text) }) };
}

/** A SHA-256 (base64url) of a whole key: it finds imported keys, and issued ones that have no pepper. */
export function foundHash(sha256: string): FoundToken {
  return { hash: sha256, otherHashes: [] };
}
