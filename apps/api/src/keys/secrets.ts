import type { KeyKind, SecretRecord } from '@keyledger/contracts';
import { mintKey, PUBLISHABLE_SUFFIX } from '@keyledger/domain';
import { idFrom, randomBytes, type KeyDigests } from '@keyledger/platform';
import type { Minted } from './key.view.js';

/** A new key of our format. Its text goes into one answer, sealed until then, and nowhere else. */
export function mint(of: { prefix: string; environment: string; kind: KeyKind }): Minted {
  const prefix = of.kind === 'publishable' ? of.prefix + PUBLISHABLE_SUFFIX : of.prefix;
  return mintKey(prefix, of.environment, randomBytes);
}

/** What is kept of a minted key. */
export function secretRecord({ key, secretId, mask }: Minted, digests: KeyDigests): SecretRecord {
  return { secretId, mask, ...digests.forNew(key) };
}

/**
 * What is kept of a key made elsewhere, by its SHA-256 (base64url). Ids follow from the hash: the same key is imported
 * once, by whomever and into whatever keyspace.
 */
export function importedSecret(sha256: string): SecretRecord {
  const hex = Buffer.from(sha256, 'base64url').toString('hex');
  return { secretId: idFrom(`imported secret ${sha256}`).slice(-12), mask: `sha256:${hex.slice(0, 8)}…`, hash: sha256 };
}

export const importedKeyId = (sha256: string): string => idFrom(`imported key ${sha256}`);

/** The id of a key that is issued under a command id: a repeated command finds the stream of the first. */
export const issuedKeyId = (commandId: string): string => idFrom(`issued key ${commandId}`);
