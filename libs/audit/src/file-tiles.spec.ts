import { afterAll, describe, expect, it } from '@jest/globals';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileTiles, TreeDamaged, type NewLeaf } from './file-tiles.js';
import { leavesOf, naiveRoot } from './merkle.spec-support.js';
import { proveConsistency, proveInclusion, verifyConsistency, verifyInclusion, type Hash } from './merkle.js';

// Enough for a second tile level and two nodes on it.
const COUNT = 700;
const leaves = leavesOf(COUNT);
const newLeaves: NewLeaf[] = leaves.map((hash, index) => ({ hash, position: BigInt(10 + 7 * index) }));
const folders: string[] = [];

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe('the tree in a folder', () => {
  it('is the tree of its leaves, in batches of any size, and after it was opened again in between', async () => {
    const folder = newFolder();
    let appended = 0;
    for (const size of [1, 255, 1, 3, 300, 0, 140]) {
      const tiles = await FileTiles.open(folder);
      await tiles.append(newLeaves.slice(appended, (appended += size)));
      const root = naiveRoot(leaves.slice(0, appended));
      expect(tiles.head).toEqual({ size: appended, root, position: newLeaves[appended - 1]?.position });
      expect((await FileTiles.open(folder)).head).toEqual(tiles.head);
    }
    expect(appended).toBe(COUNT);
  });

  it('proves every leaf and every size', async () => {
    const tiles = await filled();
    const root = naiveRoot(leaves);
    for (let index = 0; index < COUNT; index += 1) {
      const proof = await proveInclusion(index, COUNT, tiles);
      expect(verifyInclusion(index, COUNT, leaves[index] as Hash, proof, root)).toBe(true);
    }
    for (const first of [1, 2, 255, 256, 257, 511, 512, 513, 699, 700]) {
      const proof = await proveConsistency(first, COUNT, tiles);
      expect(verifyConsistency(first, COUNT, naiveRoot(leaves.slice(0, first)), root, proof)).toBe(true);
    }
  });

  it('gives the tiles of C2SP tlog-tiles: 256 hashes, fewer at the right edge, each level over the one below', async () => {
    const tiles = await filled();
    expect(await tiles.tile(0, 1)).toEqual(Buffer.concat(leaves.slice(256, 512)));
    expect(await tiles.tile(0, 2)).toEqual(Buffer.concat(leaves.slice(512)));
    expect(await tiles.tile(1, 0)).toEqual(
      Buffer.concat([naiveRoot(leaves.slice(0, 256)), naiveRoot(leaves.slice(256, 512))]),
    );
    expect(await tiles.tile(0, 3)).toHaveLength(0);
    expect(await tiles.tile(2, 0)).toHaveLength(0);
  });

  it('knows where the event of a leaf is, and which leaf stands at a position', async () => {
    const tiles = await filled();
    for (const index of [0, 1, 350, COUNT - 1]) {
      expect(await tiles.positionOf(index)).toBe(newLeaves[index]?.position);
      expect(await tiles.indexOf(newLeaves[index]?.position ?? 0n)).toBe(index);
    }
    expect([await tiles.indexOf(11n), await tiles.indexOf(0n), await tiles.indexOf(10_000n)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(await tiles.leavesBefore(18n)).toBe(2);
    await expect(tiles.positionOf(COUNT)).rejects.toThrow(RangeError);
  });

  it('shows a reader what its head covers, and no more while another process appends', async () => {
    const folder = newFolder();
    const writer = await FileTiles.open(folder);
    const reader = await FileTiles.open(folder);
    expect(reader.head).toMatchObject({ size: 0, position: 'start' });
    await writer.append(newLeaves.slice(0, 300));
    await expect(reader.nodes([{ level: 0, index: 0 }])).rejects.toThrow('the tree has no complete subtree');
    expect(await reader.refresh()).toEqual(writer.head);
    await writer.append(newLeaves.slice(300));
    expect(await reader.nodes([{ level: 0, index: 299 }])).toEqual([leaves[299]]);
    await expect(reader.nodes([{ level: 0, index: 300 }])).rejects.toThrow(RangeError);
  });

  it('goes on from its head when a crash left torn hashes, positions or a torn next head behind', async () => {
    const folder = newFolder();
    await (await FileTiles.open(folder)).append(newLeaves.slice(0, 400));
    for (const name of ['tiles-0', 'tiles-1', 'positions'])
      appendFileSync(join(folder, name), Buffer.alloc(1001, 0xee));
    writeFileSync(join(folder, 'head.json.1'), '{"size":5');
    const again = await FileTiles.open(folder);
    expect(again.head.size).toBe(400);
    await again.append(newLeaves.slice(400));
    expect(again.head.root).toEqual(naiveRoot(leaves));
    const proof = await proveInclusion(512, COUNT, await FileTiles.open(folder));
    expect(verifyInclusion(512, COUNT, leaves[512] as Hash, proof, again.head.root)).toBe(true);
  });

  it('is the same when two processes append the same leaves at once', async () => {
    const folder = newFolder();
    const [one, two] = [await FileTiles.open(folder), await FileTiles.open(folder)];
    await Promise.all([one.append(newLeaves.slice(0, 300)), two.append(newLeaves.slice(0, 500))]);
    await one.append(newLeaves.slice(300));
    expect((await FileTiles.open(folder)).head.root).toEqual(naiveRoot(leaves));
  });

  it.each<[string, (folder: string) => void]>([
    ['are cut', (folder) => truncateSync(join(folder, 'tiles-0'), statSync(join(folder, 'tiles-0')).size - 32)],
    ['are gone', (folder) => rmSync(join(folder, 'tiles-1'))],
    ['were changed at the edge', (folder) => flip(join(folder, 'tiles-1'), 33)],
    ['have a head that is none', (folder) => writeFileSync(join(folder, 'head.json'), '{')],
    ['have another root in their head', (folder) => flip(join(folder, 'head.json'), 25)],
  ])('is refused when its files %s, and can be begun again', async (_, damage) => {
    const folder = newFolder();
    await (await FileTiles.open(folder)).append(newLeaves);
    damage(folder);
    await expect(FileTiles.open(folder)).rejects.toBeInstanceOf(TreeDamaged);
    const fresh = await FileTiles.reset(folder);
    await fresh.append(newLeaves);
    expect(fresh.head.root).toEqual(naiveRoot(leaves));
  });

  it('refuses a leaf twice, and one out of order', async () => {
    const tiles = await filled();
    await expect(tiles.append(newLeaves.slice(-1))).rejects.toThrow('position 4903 does not lie behind 4903');
    expect(tiles.head.size).toBe(COUNT);
  });
});

async function filled(): Promise<FileTiles> {
  const tiles = await FileTiles.open(newFolder());
  await tiles.append(newLeaves);
  return tiles;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-tiles-'));
  folders.push(folder);
  return folder;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(path, bytes);
}
