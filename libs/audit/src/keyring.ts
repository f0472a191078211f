import { Malformed } from './envelope.js';
import { parseSignerKey, parseVerifierKey, type SignerKey, type VerifierKey } from './note.js';

/** The keys of an installation: the one that signs, and those whose earlier notes stay trusted. */
export interface Keyring {
  signer: SignerKey | undefined;
  trusted: VerifierKey[];
}

/**
 * Reads keys that are separated by commas. The first signs, so it is a signing key; those behind it are signing keys or
 * verifier keys of before, of which only the public part is used.
 * @throws Malformed naming the entry by its place, never quoting it
 */
export function parseKeyring(text: string): Keyring {
  const entries = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const keys = entries.map((entry, index) => {
    try {
      return index === 0 || entry.startsWith('PRIVATE+KEY+') ? parseSignerKey(entry) : parseVerifierKey(entry);
    } catch (error) {
      if (error instanceof Malformed) throw new Malformed(`entry ${index + 1}: ${error.message}`);
      throw error;
    }
  });
  return {
    signer: keys[0] as SignerKey | undefined,
    trusted: keys.map(({ name, id, publicKey }) => ({ name, id, publicKey })),
  };
}
