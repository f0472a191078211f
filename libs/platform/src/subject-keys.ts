import type { SubjectKind } from '@keyledger/contracts';
import { createHmac, randomBytes } from 'node:crypto';
import { link, open, readFile, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from './folders.js';
import { idFrom, newId } from './ids.js';
import type { Sealing } from './sealing.js';

/** One data key of a subject, as it lies in its file. */
export interface SubjectKey {
  subjectId: string;
  kind: SubjectKind;
  /** From 1; the next begins with the first data after an erasure. */
  generation: number;
  createdAt?: string;
  /** Set once the key is destroyed. */
  destroyedAt?: string;
}

/** What is known of a subject: its keys, oldest first, and its name while the newest of them is there to read it. */
export interface SubjectRecord {
  subjectId: string;
  kind: SubjectKind;
  name?: string;
  keys: SubjectKey[];
}

interface KeyFile extends SubjectKey {
  v: 1;
  /** `{key, name}`, sealed under the deployment's sealing key; gone once the key is destroyed. */
  sealed?: string;
}

interface Kept {
  key: Buffer;
  untilMs: number;
}

/** An erasure in another process must take effect within seconds, whatever it can tell this one. */
const KEPT_MS = 5000;
const MOST_KEPT = 1000;
const KEY_BYTES = 32;
const INDEX_FILE = 'index.key';

/**
 * The data keys of the people and owners about whom personal fields are kept, each in a file of its own, apart from the
 * event store and Redis and wrapped under the sealing keys. Destroying a key is what erases; the file stays as a note
 * that it was destroyed, so that nobody makes another of the same generation. Several processes may share the folder:
 * a file appears whole and once (link), and is only ever changed from key to note.
 */
export class SubjectKeys {
  private readonly kept = new Map<string, Kept>();
  private readonly newest = new Map<string, { generation: number; untilMs: number }>();
  private indexKey: Promise<Buffer> | undefined;

  constructor(
    private readonly folder: string,
    private readonly sealing: Sealing,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Whether keys can be made and read at all. */
  get available(): boolean {
    return this.sealing.available;
  }

  /**
   * The id under which events know a subject. It is an HMAC, so that a name cannot be tried out against it by anyone who
   * has the events alone.
   * @throws SealingUnavailable, or what the file system throws
   */
  async idOf(kind: SubjectKind, name: string): Promise<string> {
    this.indexKey ??= this.loadIndexKey().catch((error: unknown) => {
      this.indexKey = undefined;
      throw error;
    });
    const hmac = createHmac('sha256', await this.indexKey).update(`${kind}\n${normal(kind, name)}`);
    return idFrom(hmac.digest('base64url'));
  }

  /**
   * The key for new data about a subject; made, on disk and synced, if there is none.
   * @throws SealingUnavailable, or what the file system throws
   */
  async forNew(kind: SubjectKind, name: string): Promise<{ subjectId: string; generation: number; key: Buffer }> {
    const subjectId = await this.idOf(kind, name);
    const known = this.newest.get(subjectId);
    for (let generation = known && this.nowMs() < known.untilMs ? known.generation : 1; ; generation++) {
      const key =
        (await this.find(subjectId, generation)) ??
        (await this.make({ subjectId, kind, generation }, normal(kind, name)));
      if (key === 'destroyed') continue;
      remember(this.newest, subjectId, { generation, untilMs: this.nowMs() + KEPT_MS });
      return { subjectId, generation, key };
    }
  }

  /**
   * @returns `undefined` if there is no such key here
   * @throws SealingUnavailable, or what the file system throws
   */
  async find(subjectId: string, generation: number): Promise<Buffer | 'destroyed' | undefined> {
    const name = `${subjectId}.${generation}`;
    const kept = this.kept.get(name);
    if (kept && this.nowMs() < kept.untilMs) return kept.key;
    this.kept.delete(name);
    const file = await this.read(subjectId, generation);
    if (!file) return undefined;
    if (file.sealed === undefined) return 'destroyed';
    const { key } = this.unseal(file);
    this.keep(name, key);
    return key;
  }

  /** No longer than it may be used, whether it is asked for again or not. */
  private keep(name: string, key: Buffer): void {
    if (this.kept.size === 0) setTimeout(() => this.kept.clear(), KEPT_MS).unref();
    remember(this.kept, name, { key, untilMs: this.nowMs() + KEPT_MS });
  }

  /** @throws what the file system throws */
  async show(subjectId: string): Promise<SubjectRecord | undefined> {
    const files: KeyFile[] = [];
    for (let generation = 1; ; generation++) {
      const file = await this.read(subjectId, generation);
      if (!file) break;
      files.push(file);
    }
    const newest = files.at(-1);
    if (!newest) return undefined;
    const { kind } = newest;
    const keys = files.map(({ v: _, sealed: __, ...key }) => key);
    const named = newest.sealed !== undefined && this.available ? { name: this.unseal(newest).name } : {};
    return { subjectId, kind, ...named, keys };
  }

  /**
   * Destroys every key up to a generation: its file is overwritten where it lies, synced, and stays as a note. Also leaves
   * the note for a key that is not here, so that a writer who is late, or a folder from a backup, cannot bring it back.
   * Comes to the same when done twice.
   * @returns the generations that were destroyed by this call
   * @throws what the file system throws
   */
  async destroy(subjectId: string, kind: SubjectKind, upTo: number, destroyedAt: string): Promise<number[]> {
    const destroyed: number[] = [];
    for (let generation = 1; generation <= upTo; generation++) {
      const note: KeyFile = { v: 1, subjectId, kind, generation, destroyedAt };
      this.kept.delete(`${subjectId}.${generation}`);
      if (await this.overwrite(note)) destroyed.push(generation);
      this.kept.delete(`${subjectId}.${generation}`);
    }
    this.newest.delete(subjectId);
    return destroyed;
  }

  private async overwrite(note: KeyFile): Promise<boolean> {
    if (await this.create(this.pathOf(note.subjectId, note.generation), JSON.stringify(note))) return false;
    const handle = await open(this.pathOf(note.subjectId, note.generation), 'r+');
    try {
      const before = await handle.readFile('utf8');
      if (parse(before)?.destroyedAt !== undefined) return false;
      // One write over all that was there, so that a reader sees the key or the note.
      const text = JSON.stringify(note).padEnd(Buffer.byteLength(before));
      await handle.write(text, 0, 'utf8');
      await handle.sync();
      return true;
    } finally {
      await handle.close();
    }
  }

  private async make(of: Omit<SubjectKey, 'createdAt'>, name: string): Promise<Buffer | 'destroyed'> {
    const secret = JSON.stringify({ key: randomBytes(KEY_BYTES).toString('base64'), name });
    const sealed = this.sealing.seal(placeOf(of), secret);
    const file: KeyFile = { v: 1, ...of, createdAt: new Date().toISOString(), sealed };
    await this.create(this.pathOf(of.subjectId, of.generation), JSON.stringify(file));
    // Whoever was first has made the one that counts.
    const key = await this.find(of.subjectId, of.generation);
    if (key === undefined) throw new Error('a subject key that was made is not there');
    return key;
  }

  private unseal(file: KeyFile): { key: Buffer; name: string } {
    const opened = JSON.parse(this.sealing.open(placeOf(file), file.sealed ?? '')) as { key: string; name: string };
    return { key: Buffer.from(opened.key, 'base64'), name: opened.name };
  }

  private async loadIndexKey(): Promise<Buffer> {
    const path = join(this.folder, INDEX_FILE);
    const sealed = await readIfThere(path);
    if (sealed !== undefined) return Buffer.from(this.sealing.open(INDEX_FILE, sealed.trim()), 'base64');
    await this.create(path, this.sealing.seal(INDEX_FILE, randomBytes(KEY_BYTES).toString('base64')));
    return this.loadIndexKey();
  }

  private async read(subjectId: string, generation: number): Promise<KeyFile | undefined> {
    const text = await readIfThere(this.pathOf(subjectId, generation));
    if (text === undefined) return undefined;
    const file = parse(text);
    if (!file) throw new Error(`the file of the subject key ${subjectId}.${generation} is damaged`);
    return file;
  }

  /** Whole, for its owner alone, and once: `false` if somebody else was first. */
  private async create(path: string, text: string): Promise<boolean> {
    const draft = join(this.folder, `.draft.${newId()}`);
    const handle = await this.openNew(draft);
    try {
      await handle.writeFile(text);
      await handle.sync();
      await link(draft, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      await handle.close();
      await rm(draft, { force: true });
    }
    await this.syncFolder();
    return true;
  }

  private async openNew(path: string): Promise<FileHandle> {
    try {
      return await open(path, 'wx', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      makeFolder(this.folder, 0o700);
      return open(path, 'wx', 0o600);
    }
  }

  private async syncFolder(): Promise<void> {
    const handle = await open(this.folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  private pathOf(subjectId: string, generation: number): string {
    return join(this.folder, `${subjectId}.${generation}.json`);
  }
}

const placeOf = ({ subjectId, generation }: SubjectKey): string => `subject ${subjectId} generation ${generation}`;

/** One person, however the address is spelt: case and composition aside. Ids of owners and keys are taken as they are. */
function normal(kind: SubjectKind, name: string): string {
  return kind === 'person' || kind === 'address' ? name.normalize('NFKC').trim().toLowerCase() : name;
}

function parse(text: string): KeyFile | undefined {
  try {
    return JSON.parse(text) as KeyFile;
  } catch {
    return undefined;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Keeps the newest; a map gives its entries in the order in which they came. */
function remember<V>(map: Map<string, V>, name: string, value: V): void {
  map.delete(name);
  map.set(name, value);
  const [oldest] = map.size > MOST_KEPT ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
}
