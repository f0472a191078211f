/**
 * The events on disk: LMDB with four tables. `log` holds the encoded records by position (1, 2, 3 … without a gap),
 * `index` the position of each revision of each stream, `names` the number of each stream (the position of its first
 * event), `meta` what the folder is and who owns it.
 *
 * A commit is one transaction: LMDB writes the pages, syncs them, then writes its meta page through an O_DSYNC
 * descriptor, and only then is the data visible (`overlappingSync: false`) and the promise resolved.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { TOMBSTONE_REVISION } from '../wire/recorded-event.js';
import { checkMarker, DATA_FILE, FolderRefused, makeFolder, type FormatMarker } from './folder.js';
import type { Owner } from './ownership.js';

export interface LogEntry {
  readonly position: number;
  readonly streamId: number;
  /** The name, with the stream's first event only. */
  readonly newName: string | undefined;
  readonly revision: number;
  readonly record: Buffer;
}

/** Address space, not memory or disk; LMDB enlarges it when the data outgrows it. Fits a 39-bit address space. */
const MAP_SIZE_BYTES = 2 ** 37;
/**
 * Every page of the mapped file that was read counts as resident memory until it is unmapped, and so do its neighbours.
 * When the process has grown so far, the file is closed and mapped again (2 ms), but not more often than after so much
 * reading and writing; that keeps the process small however large the file is.
 */
const REMAP_ABOVE_RSS_BYTES = 128 * 1024 * 1024;
const REMAP_AFTER_BYTES = 4 * 1024 * 1024;
const LOOK_AFTER_BYTES = 1024 * 1024;
/** LMDB may leave the last pages that it reserved unwritten; a file that lacks more than that was cut. */
const UNWRITTEN_PAGES = 64;
const CAUSE_WAIT_MS = 1000;
/** What a commit may write besides its records: the tables' upper pages and LMDB's list of free ones. */
const COMMIT_BYTES = 1024 * 1024;
/** And for each stream: a page of `index`, one of `names`, those above them, and what they are split into. */
const STREAM_BYTES = 6 * 4096;
/** Room is made for so much more than the next commit needs. */
const ROOM_BYTES = 2 * 1024 * 1024;
const LMDB_MAGIC = Buffer.from('dec0efbe', 'hex');

interface Tables {
  readonly root: RootDatabase;
  readonly meta: Database<unknown, string>;
  readonly log: Database<Buffer, number>;
  readonly index: Database<Buffer, Buffer>;
  readonly names: Database<Buffer, Buffer>;
}

export class EventLog {
  #tables: Tables;
  #touchedBytes = 0;
  #lookAtBytes = REMAP_AFTER_BYTES;
  #copying: Promise<void> | undefined;
  #remapping: Promise<void> | undefined;

  private constructor(private readonly folder: string) {
    this.#tables = openTables(folder);
  }

  /** @throws FolderRefused when the files are not an intact database */
  static open(folder: string): EventLog {
    try {
      makeFolder(folder);
      checkHeader(folder);
      return new EventLog(folder);
    } catch (error) {
      if (error instanceof FolderRefused) throw error;
      throw new FolderRefused(`${folder} cannot be opened: ${(error as Error).message}`);
    }
  }

  /** Undefined in a database that is still empty. */
  format(): FormatMarker | undefined {
    const stored = this.#tables.meta.get('format') as Partial<FormatMarker> | undefined;
    return stored === undefined ? undefined : checkMarker(this.folder, stored);
  }

  owner(): Owner | undefined {
    return this.#tables.meta.get('owner') as Owner | undefined;
  }

  replaceOwner(previous: Owner | undefined, next: Owner): boolean {
    const { meta } = this.#tables;
    return meta.transactionSync(() => {
      if ((meta.get('owner') as Owner | undefined)?.socket !== previous?.socket) return false;
      meta.putSync('owner', next);
      return true;
    });
  }

  /** The last position on disk, 0 in an empty log. */
  head(): number {
    for (const position of this.#tables.log.getKeys({ reverse: true, limit: 1 })) return position;
    return 0;
  }

  /** The encoded record. The bytes are only good until the next call: copy them, or be done with them. */
  record(position: number): Buffer | undefined {
    const bytes = this.#tables.log.getBinaryFast(position);
    if (bytes === undefined) return undefined;
    // lmdb hands out one shared buffer with an overridden length; a view is safe to pass on.
    const view = bytes.subarray(0, bytes.length);
    this.#touchedBytes += view.length;
    return view;
  }

  /** 0 for a stream that has no events. */
  streamId(name: string): number {
    return this.#tables.names.getBinaryFast(Buffer.from(name, 'utf8'))?.readUIntBE(0, 6) ?? 0;
  }

  lastRevision(streamId: number): number {
    const options = {
      start: indexKey(streamId, TOMBSTONE_REVISION),
      end: indexKey(streamId, 0),
      reverse: true,
      limit: 1,
    };
    // Going backwards LMDB's end is exclusive, so revision 0 is asked for by itself.
    for (const key of this.#tables.index.getKeys(options)) return revisionOf(key);
    return this.position(streamId, 0) === 0 ? -1 : 0;
  }

  /** 0 where the stream has no such revision. */
  position(streamId: number, revision: number): number {
    return this.#tables.index.getBinaryFast(indexKey(streamId, revision))?.readUIntBE(0, 6) ?? 0;
  }

  /**
   * All of it or nothing. Rejects when there is no room for it, and when the data could not be brought to disk; whether
   * the transaction is there is then unknown until `reopen` has looked.
   */
  async commit(entries: readonly LogEntry[], format?: FormatMarker): Promise<void> {
    const { root, meta, log, index, names } = this.#tables;
    const puts = entries.map((entry) => ({
      ...entry,
      key: indexKey(entry.streamId, entry.revision),
      at: uint48(entry.position),
      name: entry.newName === undefined ? undefined : Buffer.from(entry.newName, 'utf8'),
      id: uint48(entry.streamId),
    }));
    for (const entry of entries) this.#touchedBytes += entry.record.length;
    makeRoom(this.folder, root, entries);
    try {
      // A batch runs in LMDB's own thread, and any failed put aborts its transaction.
      await root.batch(() => {
        if (format !== undefined) void meta.put('format', format);
        for (const put of puts) {
          void log.put(put.position, put.record);
          void index.put(put.key, put.at);
          if (put.name !== undefined) void names.put(put.name, put.id);
        }
      });
    } catch (error) {
      throw await causeOf(error);
    }
  }

  /** Undefined, or what a reader has to await before it goes on reading. */
  get remapping(): Promise<void> | undefined {
    return this.#remapping;
  }

  /** True when the file should be mapped anew. Only the writer knows when no commit is in flight. */
  get wantsRemap(): boolean {
    if (this.#touchedBytes < this.#lookAtBytes || this.#copying !== undefined) return false;
    this.#lookAtBytes = this.#touchedBytes + LOOK_AFTER_BYTES;
    return process.memoryUsage.rss() >= REMAP_ABOVE_RSS_BYTES;
  }

  /** Closes and opens the files. No commit may be in flight, and readers have to wait for `remapping`. */
  reopen(): Promise<void> {
    // Set at once: the very next read has to see that it must wait.
    this.#remapping = this.#reopen().finally(() => {
      this.#remapping = undefined;
    });
    return this.#remapping;
  }

  async #reopen(): Promise<void> {
    await this.#copying?.catch(() => undefined);
    await this.#tables.root.close();
    this.#tables = openTables(this.folder);
    this.#touchedBytes = 0;
    this.#lookAtBytes = REMAP_AFTER_BYTES;
  }

  /** A consistent copy of the data file while commits go on. `folder` exists and is empty. One at a time. */
  async copyTo(folder: string): Promise<void> {
    await this.#remapping;
    this.#copying = this.#tables.root.backup(folder, false);
    try {
      await this.#copying;
    } finally {
      this.#copying = undefined;
    }
  }

  sizeBytes(): number {
    return statSync(join(this.folder, DATA_FILE)).size;
  }

  async close(): Promise<void> {
    await this.#copying?.catch(() => undefined);
    await this.#remapping;
    await this.#tables.root.close();
  }
}

function openTables(folder: string): Tables {
  const root = open({
    path: folder,
    noSubdir: false,
    maxDbs: 8,
    mapSize: MAP_SIZE_BYTES,
    overlappingSync: false,
    // With it, lmdb makes a promise per turn that nobody can see, and its rejection would end the process.
    eventTurnBatching: false,
    encoding: 'binary',
  });
  checkLength(folder, root);
  checkTables(folder, root);
  return {
    root,
    meta: root.openDB<unknown, string>({ name: 'meta', encoding: 'json' }),
    log: root.openDB<Buffer, number>({ name: 'log', encoding: 'binary' }),
    index: root.openDB<Buffer, Buffer>({ name: 'index', encoding: 'binary', keyEncoding: 'binary' }),
    names: root.openDB<Buffer, Buffer>({ name: 'names', encoding: 'binary', keyEncoding: 'binary' }),
  };
}

/** LMDB crashes on a file that is not its own, so its two meta pages are looked at first. */
function checkHeader(folder: string): void {
  const path = join(folder, DATA_FILE);
  if (!existsSync(path)) return;
  const header = Buffer.alloc(64);
  const descriptor = openSync(path, 'r');
  try {
    const length = readSync(descriptor, header, 0, header.length, 0);
    // An empty file is what a first start leaves that was cut off at once.
    if (length === 0) return;
  } finally {
    closeSync(descriptor);
  }
  if (!header.includes(LMDB_MAGIC)) throw new FolderRefused(`${folder} is broken: ${DATA_FILE} is not a database`);
}

interface EnvironmentInfo {
  info(): { lastPageNumber: number };
  stat(): { pageSize: number; entryCount: number };
}

/** lmdb's own figures without a walk through its free list, which its public `getStats` makes. */
function environment(root: RootDatabase): EnvironmentInfo {
  return (root as unknown as { env: EnvironmentInfo }).env;
}

/** Opening a table creates it, so another program's database is told apart first. */
function checkTables(folder: string, root: RootDatabase): void {
  if (environment(root).stat().entryCount === 0) return;
  // With `create: false`, which lmdb's types do not know, it is undefined where there is no such table.
  const options = { name: 'meta', encoding: 'json', create: false } as const;
  const meta = root.openDB(options) as Database | undefined;
  if (meta === undefined) throw new FolderRefused(`${folder} holds another program's database`);
}

/** Reading a page behind the end of the file would kill the process. */
function checkLength(folder: string, root: RootDatabase): void {
  const path = join(folder, DATA_FILE);
  const { pageSize } = environment(root).stat();
  const expected = (environment(root).info().lastPageNumber + 1) * pageSize;
  const { size } = statSync(path);
  if (size >= expected) return;
  if (size < expected - UNWRITTEN_PAGES * pageSize) {
    throw new FolderRefused(
      `${folder} is broken: ${DATA_FILE} has ${size} bytes instead of ${expected}; restore a backup`,
    );
  }
  truncateSync(path, expected);
}

/**
 * Sees to it that the file has blocks on the disk for all that a commit may write. LMDB must not meet a full disk: where
 * a write of it fails, it prints more into a message than it has room for, and sooner or later the process dies of it.
 * Pages behind the last are none of LMDB's until it takes them.
 * @throws Error of the file system: ENOSPC, EFBIG, EDQUOT; nothing was written
 */
function makeRoom(folder: string, root: RootDatabase, entries: readonly LogEntry[]): void {
  const streams = new Set(entries.map(({ streamId }) => streamId)).size;
  const records = entries.reduce((bytes, { record }) => bytes + record.length, 0);
  // Of a record, at most as much again is lost in the page that it ends in.
  const needed = COMMIT_BYTES + streams * STREAM_BYTES + 2 * records;
  const { pageSize } = environment(root).stat();
  const used = (environment(root).info().lastPageNumber + 1) * pageSize;
  const path = join(folder, DATA_FILE);
  const { size } = statSync(path);
  if (size >= used + needed) return;
  const descriptor = openSync(path, 'r+');
  try {
    const zeros = Buffer.alloc(64 * 1024);
    const end = used + needed + ROOM_BYTES;
    for (let at = size; at < end;) at += writeSync(descriptor, zeros, 0, Math.min(zeros.length, end - at), at);
  } catch (error) {
    if (fstatSync(descriptor).size < used + needed) throw error;
  } finally {
    closeSync(descriptor);
  }
}

function uint48(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
}

/** Stream number and revision, big-endian, so that a stream's revisions lie side by side in order. */
function indexKey(streamId: number, revision: number): Buffer {
  const key = Buffer.allocUnsafe(14);
  key.writeUIntBE(streamId, 0, 6);
  const tombstone = revision >= TOMBSTONE_REVISION;
  key.writeUInt32BE(tombstone ? 0x7fffffff : Math.floor(revision / 2 ** 32), 6);
  key.writeUInt32BE(tombstone ? 0xffffffff : revision % 2 ** 32, 10);
  return key;
}

function revisionOf(key: Buffer): number {
  const high = key.readUInt32BE(6);
  return high === 0x7fffffff ? TOMBSTONE_REVISION : high * 2 ** 32 + key.readUInt32BE(10);
}

/** lmdb rejects with "see commitError": a promise that is rejected with the system's error. */
async function causeOf(error: unknown): Promise<Error> {
  const { commitError } = error as { commitError?: Promise<never> };
  if (commitError === undefined) return error as Error;
  const cause = commitError.then(
    () => error as Error,
    (reason: unknown) => reason as Error,
  );
  const unexplained = new Promise<Error>((resolve) => setTimeout(resolve, CAUSE_WAIT_MS, error as Error).unref());
  return Promise.race([cause, unexplained]);
}
