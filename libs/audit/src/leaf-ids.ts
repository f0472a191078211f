import { open } from 'node:fs/promises';
import { TreeDamaged, writeDurably } from './file-tiles.js';

const ID_BYTES = 16;
const CHUNK_BYTES = 1024 * 1024;

/**
 * The ids of the leaves' events, 16 bytes each at a place that follows from the leaf's index. Looked through from end
 * to end, which takes milliseconds for a million, so that a receipt can be asked for by what everybody knows an event by.
 */
export class LeafIds {
  constructor(private readonly path: string) {}

  async write(index: number, ids: readonly string[]): Promise<void> {
    await writeDurably(this.path, index * ID_BYTES, bytesOf(ids));
  }

  /** Index of the leaf of this event among the first `size`. @throws TreeDamaged if the file is not as long */
  async indexOf(id: string, size: number): Promise<number | undefined> {
    if (size === 0 || !UUID.test(id)) return undefined;
    const wanted = bytesOf([id]);
    const file = await open(this.path, 'r').catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new TreeDamaged(`${this.path} is missing`) : error;
    });
    try {
      const end = size * ID_BYTES;
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, end));
      for (let at = 0; at < end;) {
        const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, end - at), at);
        if (bytesRead === 0) throw new TreeDamaged(`${this.path} ends before its tree`);
        const whole = bytesRead - (bytesRead % ID_BYTES);
        const found = alignedIndexOf(chunk.subarray(0, whole), wanted);
        if (found >= 0) return (at + found) / ID_BYTES;
        at += whole === 0 ? bytesRead : whole;
      }
      return undefined;
    } finally {
      await file.close();
    }
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const NO_UUID = '0'.repeat(2 * ID_BYTES);

/** Every event of an event store has a UUID; what has none cannot be found, and takes its place all the same. */
function bytesOf(ids: readonly string[]): Buffer {
  const digits = ids.map((id) => (UUID.test(id) ? id : NO_UUID)).join('');
  return Buffer.from(digits.replaceAll('-', ''), 'hex');
}

function alignedIndexOf(bytes: Buffer, wanted: Buffer): number {
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
    if (at % ID_BYTES === 0) return at;
  }
  return -1;
}
