/**
 * The store's own folder, `<data dir>/eventstore`: LMDB's two files, a marker that says what they are, and the socket
 * of the process that owns it. Anything that does not look like that is refused before a byte of it is touched.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export const FOLDER_NAME = 'eventstore';
/** A backup is written under this name and gets the real one when it is complete. */
export const UNFINISHED_FOLDER_NAME = 'eventstore.unfinished';
export const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';
const MARKER_FILE = 'format.json';
export const OWNER_SOCKET = /^owner-[0-9a-f]{16}\.sock$/;

const FORMAT = 'keyledger-eventstore';
const FORMAT_VERSION = 1;

export interface FormatMarker {
  readonly format: string;
  readonly version: number;
  readonly storeId: string;
}

/** The folder is not one that this program may or can serve; the message says what to do. */
export class FolderRefused extends Error {
  override name = 'FolderRefused';
}

/** Another process serves the folder. */
export class FolderInUse extends Error {
  override name = 'FolderInUse';
}

export function newMarker(storeId: string): FormatMarker {
  return { format: FORMAT, version: FORMAT_VERSION, storeId };
}

export function checkMarker(folder: string, marker: Partial<FormatMarker>): FormatMarker {
  if (marker.format !== FORMAT || typeof marker.storeId !== 'string') {
    throw new FolderRefused(`${folder} does not hold a Keyledger event store`);
  }
  if (marker.version !== FORMAT_VERSION) {
    throw new FolderRefused(
      `${folder} has format version ${String(marker.version)}; this program reads version ${FORMAT_VERSION}`,
    );
  }
  return { format: FORMAT, version: FORMAT_VERSION, storeId: marker.storeId };
}

/**
 * Looks at the files only. Undefined: the marker is missing, so the folder is new, or its first start was cut off
 * before the marker; the record within the database decides.
 */
export function inspectFolder(dataDir: string, folder: string): FormatMarker | undefined {
  if (!existsSync(folder)) {
    if (existsSync(join(dataDir, UNFINISHED_FOLDER_NAME))) {
      throw new FolderRefused(`${dataDir} holds a backup that was never finished; take another one`);
    }
    return undefined;
  }
  const foreign = readdirSync(folder).filter((name) => !isOurs(name));
  if (foreign.length > 0) {
    throw new FolderRefused(`${folder} holds files that are not an event store's (${foreign.slice(0, 3).join(', ')})`);
  }
  const markerPath = join(folder, MARKER_FILE);
  if (!existsSync(markerPath)) return undefined;
  const marker = checkMarker(folder, readMarker(folder, markerPath));
  const dataPath = join(folder, DATA_FILE);
  if (!existsSync(dataPath) || statSync(dataPath).size === 0) {
    throw new FolderRefused(
      `${folder} has lost its ${DATA_FILE}; restore a backup, or remove the folder and empty Redis to start anew`,
    );
  }
  return marker;
}

/**
 * A folder for us alone, with those above it. Level by level: Node's own way never comes back from below a folder that takes
 * none, such as /proc, and the whole process stands still.
 * @throws an error of the file system
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function isOurs(name: string): boolean {
  return [DATA_FILE, LOCK_FILE, MARKER_FILE, `${MARKER_FILE}.new`].includes(name) || OWNER_SOCKET.test(name);
}

function readMarker(folder: string, path: string): Partial<FormatMarker> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    throw new FolderRefused(`${folder} is broken: ${MARKER_FILE} cannot be read`);
  }
}

/** Comes after everything that it vouches for is on disk. */
export function writeMarker(folder: string, marker: FormatMarker): void {
  const path = join(folder, MARKER_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(marker)}\n`);
  syncPath(`${path}.new`);
  renameSync(`${path}.new`, path);
  syncPath(folder);
}

/** fsync of a file, or of a folder's entries. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
