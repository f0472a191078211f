import type { StoredEvent } from '@keyledger/event-store';
import { leafHash, nodeHash, EMPTY_ROOT, type Hash, type HashStore, type NodeId } from './merkle.js';

/** MTH of RFC 9162 section 2.1.1, word for word. */
export function naiveRoot(leaves: readonly Hash[]): Hash {
  const [only] = leaves;
  if (only === undefined) return EMPTY_ROOT;
  if (leaves.length === 1) return only;
  const k = 2 ** Math.ceil(Math.log2(leaves.length) - 1);
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** Computes each node from its leaves, and counts what it is asked for. */
export class NaiveStore implements HashStore {
  asked = 0;
  constructor(private readonly leaves: readonly Hash[]) {}

  async nodes(ids: readonly NodeId[]): Promise<Hash[]> {
    this.asked += ids.length;
    return ids.map(({ level, index }) => {
      const part = this.leaves.slice(index * 2 ** level, (index + 1) * 2 ** level);
      if (part.length < 2 ** level) throw new RangeError('that subtree is not complete');
      return naiveRoot(part);
    });
  }
}

export function leavesOf(count: number): Hash[] {
  return Array.from({ length: count }, (_, index) => leafHash(Buffer.from(`leaf ${index}`)));
}

/** Events as the store gives them, of a few streams. */
export function storedEvents(count: number): StoredEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `00000000-0000-8000-8000-${String(index).padStart(12, '0')}`,
    stream: `key-${index % 7}`,
    revision: Math.floor(index / 7),
    type: index % 7 === index ? 'KeyIssued' : 'KeyDetailsChanged',
    position: BigInt(index * 311 + 17),
    recordedAt: new Date(1_700_000_000_000 + index * 1000).toISOString(),
    data: { keyId: String(index % 7), changes: { name: { before: 'ä', after: `b${index}` } }, weight: index / 3 },
    metadata: { schemaVersion: 1, actor: { type: 'key', id: 'k1' }, reason: 'because "it" is' },
  }));
}
