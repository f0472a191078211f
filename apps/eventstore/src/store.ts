/**
 * The event store behind its protocol: opens the folder, writes durably, shows what is committed, and copies itself.
 * Readers take events by position through `log`, at most one chunk at a time, and await `ready` before each chunk.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { EventLog } from './storage/event-log.js';
import {
  DATA_FILE,
  FOLDER_NAME,
  FolderRefused,
  type FormatMarker,
  inspectFolder,
  makeFolder,
  newMarker,
  syncPath,
  UNFINISHED_FOLDER_NAME,
  writeMarker,
} from './storage/folder.js';
import { type Ownership, takeOwnership } from './storage/ownership.js';
import { Committed } from './streams/committed.js';
import { GroupPlan, serverEvent, type WriteOutcome, type WriteRequest } from './streams/group-plan.js';
import type { StreamState } from './streams/stream-state.js';
import { Writer } from './writer.js';

/** A real node's `$all` begins with system events, and position 0 must not hold any: as a start it means "before all". */
const SYSTEM_STREAM = '$keyledger-eventstore';
const CREATED_TYPE = '$EventStoreCreated';

/** The backup cannot be made at that place; the message says why. */
export class BackupRefused extends Error {
  override name = 'BackupRefused';
}

export interface BackupReport {
  /** The last position that the copy holds. */
  readonly position: number;
  readonly bytes: number;
}

export interface StoreObserver {
  commitFailed(error: Error): void;
  fatal(error: Error): void;
}

export class Store {
  readonly #committed: Committed;
  readonly #writer: Writer;
  readonly #listeners = new Set<() => void>();
  #commits = 0;
  #failedCommits = 0;
  #backup: Promise<BackupReport> | undefined;

  private constructor(
    readonly log: EventLog,
    private readonly folder: string,
    private readonly marker: FormatMarker,
    private readonly ownership: Ownership,
    observer: StoreObserver,
  ) {
    this.#committed = new Committed(log);
    this.#committed.reload();
    this.#writer = new Writer(log, this.#committed, {
      committed: () => {
        this.#commits++;
        for (const listener of this.#listeners) listener();
      },
      commitFailed: (error) => {
        this.#failedCommits++;
        observer.commitFailed(error);
      },
      fatal: (error) => observer.fatal(error),
    });
  }

  /** @throws FolderRefused, FolderInUse */
  static async open(dataDir: string, observer: StoreObserver): Promise<Store> {
    const folder = join(dataDir, FOLDER_NAME);
    const markerFile = inspectFolder(dataDir, folder);
    const log = EventLog.open(folder);
    let ownership: Ownership | undefined;
    try {
      checkFormat(log, folder, markerFile);
      ownership = await takeOwnership(folder, {
        read: () => log.owner(),
        replace: (previous, next) => log.replaceOwner(previous, next),
      });
      const marker = log.format() ?? (await createStore(log));
      if (markerFile === undefined) writeMarker(folder, marker);
      if (log.wantsRemap) await log.reopen();
      return new Store(log, folder, marker, ownership, observer);
    } catch (error) {
      await ownership?.release();
      await log.close();
      throw error;
    }
  }

  get storeId(): string {
    return this.marker.storeId;
  }

  /** The last position that readers may be shown. */
  get head(): number {
    return this.#committed.head;
  }

  /** To be awaited before reading, where it is there; no `await` may come between it and the read. */
  get ready(): Promise<void> | undefined {
    return this.log.remapping;
  }

  /** For readers, between two chunks. */
  remapIfDue(): void {
    this.#writer.remapIfDue();
  }

  state(stream: string): StreamState {
    return this.#committed.state(stream);
  }

  /** @throws StoreUnavailable */
  write(request: WriteRequest): Promise<WriteOutcome> {
    return this.#writer.write(request);
  }

  /** Calls back after each commit, until the returned function is called. */
  onCommit(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Copies the store into `target`, which is then a data directory of its own. It takes shape under another name, so a
   * backup that was cut off is never mistaken for a store.
   * @throws BackupRefused
   */
  async backup(target: string): Promise<BackupReport> {
    if (this.#backup !== undefined) throw new BackupRefused('a backup is already running');
    this.#backup = this.#copyTo(checkTarget(target, this.folder));
    try {
      return await this.#backup;
    } finally {
      this.#backup = undefined;
    }
  }

  async #copyTo(target: string): Promise<BackupReport> {
    await this.ready;
    const unfinished = join(target, UNFINISHED_FOLDER_NAME);
    try {
      makeFolder(unfinished);
      await this.log.copyTo(unfinished);
      await syncFile(join(unfinished, DATA_FILE));
      const copy = EventLog.open(unfinished);
      const position = copy.head();
      const bytes = copy.sizeBytes();
      await copy.close();
      rmSync(`${unfinished}/lock.mdb`, { force: true });
      writeMarker(unfinished, this.marker);
      renameSync(unfinished, join(target, FOLDER_NAME));
      syncPath(target);
      return { position, bytes };
    } catch (error) {
      // Where nothing could be made there is nothing to take away, and saying so is an error, too.
      if (existsSync(unfinished)) rmSync(unfinished, { recursive: true, force: true });
      throw new BackupRefused(`${target} did not take the backup: ${(error as Error).message}`);
    }
  }

  statistics(): { commits: number; failedCommits: number; bytes: number; backupRunning: boolean } {
    return {
      commits: this.#commits,
      failedCommits: this.#failedCommits,
      bytes: this.log.sizeBytes(),
      backupRunning: this.#backup !== undefined,
    };
  }

  /** Takes no more writes and answers those it took. Reads go on until `close`. */
  finishWrites(): Promise<void> {
    return this.#writer.close();
  }

  async close(): Promise<void> {
    await this.finishWrites();
    await this.#backup?.catch(() => undefined);
    await this.log.close();
    await this.ownership.release();
  }
}

/** The marker file and the record in the database have to tell the same story. */
function checkFormat(log: EventLog, folder: string, markerFile: FormatMarker | undefined): void {
  const recorded = log.format();
  if (markerFile !== undefined && recorded?.storeId !== markerFile.storeId) {
    throw new FolderRefused(`${folder} is broken: its database is not the one that its marker names`);
  }
  if (recorded === undefined && log.head() !== 0) throw new FolderRefused(`${folder} holds another program's database`);
}

async function createStore(log: EventLog): Promise<FormatMarker> {
  const marker = newMarker(randomUUID());
  const plan = new GroupPlan(log, new Committed(log), Date.now());
  const created = serverEvent(CREATED_TYPE, Buffer.from(JSON.stringify({ storeId: marker.storeId })));
  plan.add({
    kind: 'append',
    stream: SYSTEM_STREAM,
    expected: 'no-stream',
    events: [created],
    sizeBytes: 0,
    deadlineMs: undefined,
  });
  await log.commit(plan.entries, marker);
  return marker;
}

/** A whole copy may have to go to disk, which must not hold up the event loop. */
async function syncFile(path: string): Promise<void> {
  const file = await openFile(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function checkTarget(target: string, ownFolder: string): string {
  if (!isAbsolute(target)) throw new BackupRefused(`the backup folder must be an absolute path, not "${target}"`);
  const folder = resolve(target);
  const within = relative(ownFolder, folder);
  if (within === '' || !(within.startsWith('..') || isAbsolute(within))) {
    throw new BackupRefused(`the backup folder ${folder} lies within the store's own`);
  }
  if (!existsSync(folder)) return folder;
  if (!statSync(folder).isDirectory()) throw new BackupRefused(`${folder} is no folder`);
  if (readdirSync(folder).length > 0) throw new BackupRefused(`${folder} is not empty`);
  return folder;
}
