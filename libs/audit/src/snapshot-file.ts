import type { Instant } from '@keyledger/contracts';
import type { KeyState } from '@keyledger/domain';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { KeyAt } from './replay.js';

/**
 * A snapshot: every key as it stood at one position, a line each in the order of their ids,
 * `keyId TAB revision TAB position TAB recordedAt TAB begun TAB <state as plainJson>`, gzipped. The first line says which
 * event it ends with, the last how many keys there are and the SHA-256 of all bytes before. Derived from the events, at
 * any time again.
 */
export interface SnapshotHead {
  position: bigint;
  recordedAt: Instant;
  /** Id of the event at that position: whether the snapshot is of this very log. */
  eventId: string;
}

/** Of the shape above. What another build wrote otherwise is not read. */
export const SNAPSHOT_FORMAT = 2;

/** A line that has not been taken apart: most keys are passed over, or kept, as they are. */
export interface SnapshotLine {
  keyId: string;
  line: string;
}

const HEAD = '\thead\t';
const END = '\tend\t';
/**
 * How much is read, written and made text of at once, short of a longer line. Text that is larger than 128 KB is kept by
 * V8 among its large objects, which are only freed when all of the heap is looked through.
 */
const CHUNK_BYTES = 64 * 1024;

export function lineOf(keyId: string, { state, revision, position, recordedAt, begun }: KeyAt): string {
  return `${keyId}\t${revision}\t${position}\t${recordedAt}\t${begun}\t${plainJson(state)}`;
}

/**
 * JSON in ASCII, as it stands in a line, in memory too: every mask has an ellipsis, and makes text of twice the size of
 * all. V8 keeps that size where the ellipsis is replaced, so the text is made anew from its bytes.
 */
export function plainJson(value: unknown): string {
  const json = JSON.stringify(value);
  const plain = json.replace(NOT_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return plain === json ? plain : Buffer.from(plain, 'latin1').toString('latin1');
}

const NOT_ASCII = /[\u0080-\uffff]/g;

export function keyIn(line: string): KeyAt {
  const [, revision = '', position = '', recordedAt = '', begun = ''] = line.split('\t', 5);
  const json = line.slice(line.indexOf('\t{') + 1);
  return {
    state: JSON.parse(json) as KeyState,
    revision: Number(revision),
    position: BigInt(position),
    recordedAt,
    begun: BigInt(begun),
  };
}

/** Writes beside the place and moves it there whole. @returns how many keys there are */
export async function writeSnapshot(
  path: string,
  batches: AsyncIterable<Iterable<string>>,
  head: SnapshotHead,
): Promise<number> {
  const temporary = `${path}.${randomUUID()}${TEMPORARY}`;
  const digest = createHash('sha256');
  let count = 0;
  const bytesOf = (lines: readonly string[]): Buffer => {
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    digest.update(bytes);
    return bytes;
  };
  async function* chunks(): AsyncGenerator<Buffer> {
    yield bytesOf([HEAD + JSON.stringify({ ...head, position: String(head.position) })]);
    let lines: string[] = [];
    let held = 0;
    for await (const batch of batches) {
      // A batch may be all that is new since the last snapshot.
      for (const line of batch) {
        if (held > 0 && held + line.length >= CHUNK_BYTES) {
          yield bytesOf(lines);
          lines = [];
          held = 0;
        }
        count += 1;
        lines.push(line);
        held += line.length + 1;
      }
    }
    if (lines.length > 0) yield bytesOf(lines);
    yield Buffer.from(`${END}${JSON.stringify({ count, sha256: digest.digest('hex') })}\n`);
  }
  try {
    await pipeline(Readable.from(chunks()), createGzip({ level: 1 }), createWriteStream(temporary));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return count;
}

/** How the name of a snapshot in the making ends; whoever dies over it leaves it behind. */
export const TEMPORARY = '.tmp';

/**
 * The lines in their order, in batches; the last batch is given only once count and digest of all are right.
 * @throws SnapshotDamaged
 */
export async function* readSnapshot(path: string): AsyncGenerator<SnapshotLine[], void, undefined> {
  const digest = createHash('sha256');
  let count = -1;
  for await (const chunk of wholeLines(path)) {
    const lines = chunk.toString('utf8', 0, chunk.length - 1).split('\n');
    const last = lines.at(-1);
    const end = last?.startsWith(END) ? last : undefined;
    if (end !== undefined) lines.pop();
    digest.update(end === undefined ? chunk : chunk.subarray(0, chunk.length - Buffer.byteLength(end) - 1));
    count += lines.length;
    const batch = lines.map((line): SnapshotLine => ({ keyId: line.slice(0, line.indexOf('\t')), line }));
    // The head has no id.
    if (batch[0]?.keyId === '') batch.shift();
    if (end !== undefined) {
      const trailer = jsonIn(end.slice(END.length), path);
      if (trailer['count'] !== count || trailer['sha256'] !== digest.digest('hex')) throw new SnapshotDamaged(path);
      yield batch;
      return;
    }
    yield batch;
  }
  throw new SnapshotDamaged(path);
}

/** What a snapshot says of itself at its front; whether the rest is whole is not looked at. @throws SnapshotDamaged */
export async function readSnapshotHead(path: string): Promise<SnapshotHead> {
  for await (const chunk of wholeLines(path)) {
    const line = chunk.toString('utf8', 0, chunk.indexOf('\n'));
    if (!line.startsWith(HEAD)) break;
    const { position, recordedAt, eventId } = jsonIn(line.slice(HEAD.length), path);
    if (!/^\d+$/.test(String(position))) break;
    return { position: BigInt(String(position)), recordedAt: String(recordedAt), eventId: String(eventId) };
  }
  throw new SnapshotDamaged(path);
}

async function* wholeLines(path: string): AsyncGenerator<Buffer, void, undefined> {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  const unzipped = createGunzip({ chunkSize: CHUNK_BYTES });
  file.on('error', (error) => unzipped.destroy(error));
  file.pipe(unzipped);
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of unzipped as AsyncIterable<Buffer>) {
      const whole = chunk.lastIndexOf(0x0a) + 1;
      if (whole > 0)
        yield rest.length === 0 ? chunk.subarray(0, whole) : Buffer.concat([rest, chunk.subarray(0, whole)]);
      rest = whole > 0 ? chunk.subarray(whole) : Buffer.concat([rest, chunk]);
    }
  } catch (error) {
    throw new SnapshotDamaged(path, error);
  } finally {
    file.destroy();
    unzipped.destroy();
  }
}

function jsonIn(text: string, path: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new SnapshotDamaged(path, error);
  }
}

/** The file is not what was written: then the events are asked. */
export class SnapshotDamaged extends Error {
  constructor(path: string, cause?: unknown) {
    super(`the snapshot ${path} is damaged`, { cause });
  }
}
