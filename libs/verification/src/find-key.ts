import type { SecretNamespace } from '@keyledger/contracts';
import { classifyKey } from '@keyledger/domain';
import type { KeyDigests } from '@keyledger/platform';
import type { KeyRead, ReadModelView } from '@keyledger/read-model';

/** What a look-up needs of the read model. */
export interface KeyRecords {
  /** @throws ReadModelUnavailable if it cannot tell; `undefined` is certain. */
  findByHash(hash: string, namespace: SecretNamespace): Promise<KeyRead | undefined>;
  view(): ReadModelView;
}

export interface FoundKey {
  key: KeyRead;
  /** The hashes of the presented text that were looked up, for `judge`. */
  hashes: readonly string[];
}

/**
 * The key that a presented text belongs to, if there is one; text that cannot be a key is told apart without Redis.
 *
 * Keys of our format are looked up under the likeliest hash alone, then under the others at once: with peppers that is
 * still one read for every key that was made since the current pepper. A text that is none of ours may be imported, and
 * so may a key of another Keyledger.
 * @throws ReadModelUnavailable
 */
export async function findKey(
  records: KeyRecords,
  digests: KeyDigests,
  presented: string,
): Promise<FoundKey | undefined> {
  const kind = classifyKey(presented);
  if (kind === 'broken' || kind === 'junk') return undefined;
  if (kind !== 'foreign') {
    const [first = '', ...others] = digests.candidates(presented);
    const key = await records.findByHash(first, 'issued');
    if (key) return { key, hashes: [first] };
    if (others.length > 0) {
      const found = await Promise.all(others.map((hash) => records.findByHash(hash, 'issued')));
      const index = found.findIndex((one) => one !== undefined);
      const older = found[index];
      if (older) return { key: older, hashes: [others[index] as string] };
    }
  }
  // A view that does not count says nothing about imported keys; then the look-up itself tells what is wrong.
  const { fresh, holdsImported } = records.view();
  if (fresh && !holdsImported) return undefined;
  const hash = digests.sha256(presented);
  const key = await records.findByHash(hash, 'imported');
  return key && { key, hashes: [hash] };
}
