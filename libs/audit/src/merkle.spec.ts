import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Frontier } from './frontier.js';
import { leavesOf, naiveRoot, NaiveStore } from './merkle.spec-support.js';
import {
  leafHash,
  nodeHash,
  proveConsistency,
  proveInclusion,
  rootAt,
  subtreesOf,
  verifyConsistency,
  verifyInclusion,
  type Hash,
  type HashStore,
} from './merkle.js';

/** Of transparency-dev/merkle: the leaves that every implementation of Certificate Transparency is tested with. */
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const LEAF_4 = 'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b';
const LEAF_6 = 'b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f';
const NODE_4_6 = '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a';
const NODE_6_8 = 'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0';

const vectors = LEAVES.map((hex) => leafHash(Buffer.from(hex, 'hex')));
const leaves = leavesOf(130);
const store = new NaiveStore(leaves);
const hex = (hashes: readonly Hash[]): string[] => hashes.map((hash) => hash.toString('hex'));

describe('the tree', () => {
  it('has the roots of the published vectors, from leaves, from nodes and leaf by leaf', async () => {
    const frontier = Frontier.empty();
    for (const [size, root] of ROOTS.entries()) {
      expect(naiveRoot(vectors.slice(0, size)).toString('hex')).toBe(root);
      expect((await rootAt(size, new NaiveStore(vectors))).toString('hex')).toBe(root);
      expect(frontier.root().toString('hex')).toBe(root);
      const next = vectors[size];
      if (next) frontier.append(next);
    }
  });

  it('has the proofs of the published vectors', async () => {
    const published = new NaiveStore(vectors);
    expect(hex(await proveInclusion(5, 7, published))).toEqual([LEAF_4, LEAF_6, ROOTS[4]]);
    expect(hex(await proveConsistency(6, 8, published))).toEqual([NODE_4_6, NODE_6_8, ROOTS[4]]);
  });

  it('proves every leaf of every size, and refuses every proof with a byte changed, left out or added', async () => {
    for (let size = 1; size <= 70; size += 1) {
      const root = naiveRoot(leaves.slice(0, size));
      for (let index = 0; index < size; index += 1) {
        const leaf = leaves[index] as Hash;
        const proof = await proveInclusion(index, size, store);
        expect(verifyInclusion(index, size, leaf, proof, root)).toBe(true);
        expect(verifyInclusion(index, size, leaves[(index + 1) % 130] as Hash, proof, root)).toBe(false);
        expect(verifyInclusion(index, size, leaf, [...proof, leaf], root)).toBe(false);
        if (proof.length > 0) expect(verifyInclusion(index, size, leaf, proof.slice(1), root)).toBe(false);
      }
    }
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 130 }),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (size, at, place, flip) => {
          const index = at % size;
          const proof = await proveInclusion(index, size, store);
          const bad = corrupt(proof, place, flip);
          expect(verifyInclusion(index, size, leaves[index] as Hash, bad, naiveRoot(leaves.slice(0, size)))).toBe(
            false,
          );
        },
      ),
    );
  });

  it('refuses a proof at another index or size', async () => {
    const root = naiveRoot(leaves.slice(0, 13));
    const proof = await proveInclusion(5, 13, store);
    for (let index = 0; index < 13; index += 1) {
      expect(verifyInclusion(index, 13, leaves[5] as Hash, proof, root)).toBe(index === 5);
    }
    for (const [index, size] of [
      [13, 13],
      [-1, 13],
      [5.5, 13],
      [5, NaN],
      [0, 0],
    ] as const) {
      expect(verifyInclusion(index, size, leaves[5] as Hash, proof, root)).toBe(false);
    }
  });

  it('proves every pair of sizes consistent, and refuses every other root and every corrupted byte', async () => {
    for (let second = 1; second <= 66; second += 1) {
      const secondRoot = naiveRoot(leaves.slice(0, second));
      for (let first = 1; first <= second; first += 1) {
        const firstRoot = naiveRoot(leaves.slice(0, first));
        const proof = await proveConsistency(first, second, store);
        expect(verifyConsistency(first, second, firstRoot, secondRoot, proof)).toBe(true);
        expect(verifyConsistency(first, second, leaves[128] as Hash, secondRoot, proof)).toBe(false);
        expect(verifyConsistency(first, second, firstRoot, leaves[129] as Hash, proof)).toBe(false);
        if (proof.length > 0) {
          const bad = corrupt(proof, first * second, 1 + (second % 255));
          expect(verifyConsistency(first, second, firstRoot, secondRoot, bad)).toBe(false);
          expect(verifyConsistency(first, second, firstRoot, secondRoot, proof.slice(0, -1))).toBe(false);
        }
        expect(verifyConsistency(first, second, firstRoot, secondRoot, [...proof, firstRoot])).toBe(false);
      }
    }
    expect(verifyConsistency(0, 5, naiveRoot([]), naiveRoot(leaves.slice(0, 5)), [])).toBe(false);
  });

  it('refuses to prove what is not there', async () => {
    await expect(proveInclusion(5, 5, store)).rejects.toThrow('a tree of 5 leaves has no leaf 5');
    await expect(proveConsistency(0, 5, store)).rejects.toThrow(RangeError);
    await expect(proveConsistency(6, 5, store)).rejects.toThrow(RangeError);
    await expect(rootAt(2 ** 53, store)).rejects.toThrow(RangeError);
  });

  it('keeps only its edge while it grows: the root is that of all leaves, and any prefix can be taken up again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 130 }), fc.nat(), (size, at) => {
        const cut = size === 0 ? 0 : at % (size + 1);
        const whole = Frontier.empty();
        for (const leaf of leaves.slice(0, cut)) whole.append(leaf);
        const again = Frontier.of(cut, whole.hashes);
        const seen: number[] = [];
        for (const leaf of leaves.slice(cut, size)) again.append(leaf, (level) => seen.push(level));
        expect(again.root()).toEqual(naiveRoot(leaves.slice(0, size)));
        expect(again.hashes).toHaveLength(subtreesOf(0, size).length);
        expect(seen.filter((level) => level === 0)).toHaveLength(size - cut);
      }),
    );
    expect(() => Frontier.of(3, leaves.slice(0, 3))).toThrow('has 2 hashes');
  });
});

describe('a tree of more leaves than 32 bits count', () => {
  // A log whose leaves are all the same: its complete subtrees are known without having them.
  const levels: Hash[] = [leafHash(Buffer.from('same'))];
  for (let level = 1; level < 53; level += 1)
    levels.push(nodeHash(levels[level - 1] as Hash, levels[level - 1] as Hash));
  let asked = 0;
  const same: HashStore = {
    nodes: async (ids) => {
      asked += ids.length;
      return ids.map(({ level }) => levels[level] as Hash);
    },
  };

  it.each([2 ** 31 + 1, 2 ** 32 - 1, 2 ** 40 + 12345, 2 ** 53 - 1])(
    'of %d leaves has proofs that verify',
    async (size) => {
      const root = await rootAt(size, same);
      for (const index of [0, 1, 2 ** 31 - 1, 2 ** 31, size - 2, size - 1]) {
        asked = 0;
        const proof = await proveInclusion(index, size, same);
        expect(asked).toBeLessThanOrEqual(2 * 53);
        expect(verifyInclusion(index, size, levels[0] as Hash, proof, root)).toBe(true);
        expect(verifyInclusion(index, size, levels[1] as Hash, proof, root)).toBe(false);
      }
      for (const first of [1, 2 ** 31, 2 ** 31 + 1, size - 1, size]) {
        const proof = await proveConsistency(first, size, same);
        expect(verifyConsistency(first, size, await rootAt(first, same), root, proof)).toBe(true);
      }
      const frontier = await Frontier.at(size - 1, same);
      frontier.append(levels[0] as Hash);
      expect(frontier.root()).toEqual(root);
    },
  );

  it('reads some dozens of hashes for a proof over ten million leaves', async () => {
    asked = 0;
    await proveInclusion(7_654_321, 10_000_000, same);
    await proveConsistency(7_654_321, 10_000_000, same);
    expect(asked).toBeLessThan(80);
  });
});

function corrupt(proof: readonly Hash[], place: number, flip: number): Hash[] {
  const bytes = Buffer.concat(proof);
  const at = place % bytes.length;
  bytes.writeUInt8(bytes.readUInt8(at) ^ flip, at);
  return proof.map((_, index) => bytes.subarray(index * 32, (index + 1) * 32));
}
