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
 * `keyId TAB revision TAB position TAB recordedAt TAB <state as JSON>`, gzipped, and last a line with how many there
 * are, the SHA-256 of all lines before, and the event that it ends with. Derived from the events, at any time again.
 */
export interface SnapshotEnd {
  position: bigint;
  recordedAt: Instant;
  /** Id of the event at that position: whether the snapshot is of this very log. */
  eventId: string;
}

/** A line that has not been taken apart: most keys are passed over, or kept, as they are. */
export interface SnapshotLine {
  keyId: string;
  line: string;
}

const END = '\tend\t';
const CHUNK_CHARS = 64 * 1024;

export function lineOf(keyId: string, { state, revision, position, recordedAt }: KeyAt): string {
  return `${keyId}\t${revision}\t${position}\t${recordedAt}\t${JSON.stringify(state)}`;
}

export function keyIn(line: string): KeyAt {
  const [, revision = '', position = '', recordedAt = ''] = line.split('\t', 4);
  const json = line.slice(line.indexOf('\t{') + 1);
  return {
    state: JSON.parse(json) as KeyState,
    revision: Number(revision),
    position: BigInt(position),
    recordedAt,
  };
}

/** Writes beside the place and moves it there whole. */
export async function writeSnapshot(path: string, lines: AsyncIterable<string>, end: SnapshotEnd): Promise<number> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const digest = createHash('sha256');
  let count = 0;
  async function* chunks(): AsyncGenerator<string> {
    let chunk = '';
    for await (const line of lines) {
      count += 1;
      chunk += `${line}\n`;
      if (chunk.length < CHUNK_CHARS) continue;
      digest.update(chunk);
      yield chunk;
      chunk = '';
    }
    digest.update(chunk);
    const trailer = { count, sha256: digest.digest('hex'), ...end, position: String(end.position) };
    yield `${chunk}${END}${JSON.stringify(trailer)}\n`;
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

/**
 * The lines in their order, in batches; the last batch is given only once count and digest of all are right.
 * @throws SnapshotDamaged
 */
export async function* readSnapshot(path: string): AsyncGenerator<SnapshotLine[], SnapshotEnd, undefined> {
  const digest = createHash('sha256');
  let count = 0;
  let rest = '';
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const unzipped = createGunzip({ chunkSize: 256 * 1024 });
  file.on('error', (error) => unzipped.destroy(error));
  file.pipe(unzipped).setEncoding('utf8');
  try {
    for await (const chunk of unzipped as AsyncIterable<string>) {
      const text = rest + chunk;
      const whole = text.lastIndexOf('\n') + 1;
      rest = text.slice(whole);
      const lines = text.slice(0, whole).split('\n');
      lines.pop();
      const last = lines.at(-1);
      if (last?.startsWith(END)) lines.pop();
      if (lines.length > 0) digest.update(`${lines.join('\n')}\n`);
      count += lines.length;
      if (last?.startsWith(END)) {
        const trailer = JSON.parse(last.slice(END.length)) as Record<'count' | 'sha256' | keyof SnapshotEnd, string>;
        if (Number(trailer.count) !== count || trailer.sha256 !== digest.digest('hex')) throw new SnapshotDamaged(path);
        yield lines.map(withKeyId);
        const { recordedAt, eventId } = trailer;
        return { position: BigInt(trailer.position), recordedAt, eventId };
      }
      yield lines.map(withKeyId);
    }
  } catch (error) {
    throw error instanceof SnapshotDamaged ? error : new SnapshotDamaged(path, error);
  } finally {
    file.destroy();
    unzipped.destroy();
  }
  throw new SnapshotDamaged(path);
}

const withKeyId = (line: string): SnapshotLine => ({ keyId: line.slice(0, line.indexOf('\t')), line });

/** The file is not what was written: then the events are asked. */
export class SnapshotDamaged extends Error {
  constructor(path: string, cause?: unknown) {
    super(`the snapshot ${path} is damaged`, { cause });
  }
}
