import { opendir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The newest checkpoint of a folder to which they are published. */
export const LATEST_FILE = 'latest.txt';

/** Name of a published checkpoint's file: its size, so that they sort. */
export const publishedFile = (size: number): string => `${String(size).padStart(16, '0')}.txt`;

const NOTE_FILE = /^(?:\d{1,16}(?:-\d+)?|latest)\.txt$/;
/** No note is longer; what is was written by nobody of ours. */
const MAX_NOTE_BYTES = 65_536;

/** The checkpoints in a folder, one after the other and in no order. @throws the file system's errors */
export async function* readPublished(folder: string): AsyncGenerator<{ file: string; note: string }> {
  for await (const entry of await opendir(folder)) {
    if (!entry.isFile() || !NOTE_FILE.test(entry.name)) continue;
    const path = join(folder, entry.name);
    const bytes = await readFile(path);
    yield { file: path, note: bytes.toString('utf8', 0, MAX_NOTE_BYTES) };
  }
}
