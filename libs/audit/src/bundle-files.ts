import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { Malformed } from './envelope.js';
import { HASH_BYTES, type Hash } from './merkle.js';

const CHUNK_BYTES = 256 * 1024;
/** Far above what an append holds. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/**
 * The lines of a file, in bytes, without their newlines; a last line without one is given too.
 * @throws Malformed for a line beyond `MAX_LINE_BYTES`: what has no newlines must not take the memory
 */
export function linesOf(path: string): AsyncGenerator<Buffer, void, undefined> {
  return linesFrom(createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>);
}

/** As `linesOf`, out of any stream of bytes. */
export async function* linesFrom(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const bytes of chunks) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let begin = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, begin)) {
      const rest = chunk.subarray(begin, end);
      yield pending.length > 0 ? Buffer.concat([...pending, rest]) : rest;
      pending = [];
      pendingBytes = 0;
      begin = end + 1;
    }
    if (begin === chunk.length) continue;
    pending.push(chunk.subarray(begin));
    pendingBytes += chunk.length - begin;
    if (pendingBytes > MAX_LINE_BYTES) throw new Malformed(`a line has more than ${MAX_LINE_BYTES} bytes`);
  }
  if (pendingBytes > 0) yield Buffer.concat(pending);
}

/** Hashes of a file one after the other; `undefined` behind its end. A broken last one counts as none. */
export class HashFile {
  private chunk = Buffer.alloc(0);
  private at = 0;

  private constructor(private readonly file: FileHandle) {}

  static async open(path: string): Promise<HashFile> {
    return new HashFile(await open(path, 'r'));
  }

  async next(): Promise<Hash | undefined> {
    if (this.at === this.chunk.length && !(await this.fill())) return undefined;
    return this.chunk.subarray(this.at, (this.at += HASH_BYTES));
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private async fill(): Promise<boolean> {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    let bytes = 0;
    for (let read = -1; read !== 0 && bytes < CHUNK_BYTES; bytes += read) {
      read = (await this.file.read(buffer, bytes, CHUNK_BYTES - bytes)).bytesRead;
    }
    this.chunk = buffer.subarray(0, bytes - (bytes % HASH_BYTES));
    this.at = 0;
    return this.chunk.length > 0;
  }
}
