import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  checkLog,
  FileTiles,
  Malformed,
  parseVerifierKey,
  readPublished,
  TreeDamaged,
  type VerifierKey,
} from '@keyledger/audit';
import { EventStore, EventStoreRefused, EventStoreUnavailable } from '@keyledger/event-store';
import { isFolder } from '@keyledger/platform/folders';
import { EXIT, Unreachable, UsageError, type ExitCode } from '../exit.js';
import type { Session } from '../session.js';
import { logText } from './audit-text.js';

export interface FsckOptions {
  store?: string;
  checkpoints?: string[];
  trustedKey?: string[];
  tree?: string;
}

/** Checks a live event store. */
export async function checkStore(session: Session, options: FsckOptions): Promise<ExitCode> {
  const { env } = session.terminal;
  const url = options.store ?? env.EVENTSTORE_URL;
  if (!url) throw new UsageError('Which event store? Set EVENTSTORE_URL, or name it with --store');
  const trusted = options.trustedKey?.map(keyOf);
  const folders = options.checkpoints?.map((place) => folderOf(place, '--checkpoints'));
  for (const folder of folders ?? []) await refuseEmpty(folder);
  const published = folders ?? publishedFolders(env.KEYLEDGER_AUDIT_PUBLISH);
  const tree = await treeOf(session, options.tree ?? join(env.KEYLEDGER_DATA_DIR || './data', 'audit', 'tree'));
  const store = storeAt(url, options.store === undefined ? 'EVENTSTORE_URL' : '--store');
  try {
    const report = await checkLog({
      store,
      published: readAll(published),
      ...(trusted && { trusted }),
      ...(tree && { tree }),
    });
    session.show(report, () => logText(report));
    const { recorded, published: brought } = report.checkpoints;
    if (published.length > 0 && recorded > 0 && brought === 0) {
      session.note(
        `no checkpoint is published in ${published.join(', ')}: the log was checked by what stands in it only`,
      );
    }
    return report.ok ? EXIT.ok : EXIT.mismatch;
  } catch (error) {
    if (error instanceof EventStoreUnavailable || error instanceof EventStoreRefused)
      throw new Unreachable(error.message);
    throw error;
  } finally {
    await store.dispose();
  }
}

function keyOf(text: string): VerifierKey {
  try {
    return parseVerifierKey(text);
  } catch (error) {
    if (error instanceof Malformed) throw new UsageError(`--trusted-key: ${error.message}`);
    throw error;
  }
}

function storeAt(url: string, name: string): EventStore {
  try {
    return new EventStore({ url });
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`);
  }
}

function folderOf(place: string, name: string): string {
  const path = /^(?:git\+)?file:\/\//.test(place)
    ? decodeURIComponent(new URL(place.replace(/^git\+/, '')).pathname)
    : place;
  if (!isFolder(path)) throw new UsageError(`${name}: there is no folder "${path}"`);
  return path;
}

/** A check against the checkpoints of a folder that has none would be none, and pass. @throws UsageError */
async function refuseEmpty(folder: string): Promise<void> {
  try {
    for await (const { note } of readPublished(folder)) if (note !== '') return;
  } catch (error) {
    throw new UsageError(`--checkpoints: ${folder} cannot be read: ${(error as Error).message}`);
  }
  throw new UsageError(`--checkpoints: there is no published checkpoint in "${folder}"`);
}

/** Those of the places that can be read here. */
function publishedFolders(places: string | undefined): string[] {
  const readable = (places ?? '')
    .split(',')
    .map((place) => place.trim())
    .filter((place) => /^(?:git\+)?file:\/\//.test(place));
  return readable.map((place) => folderOf(place, 'KEYLEDGER_AUDIT_PUBLISH'));
}

async function* readAll(folders: readonly string[]): AsyncGenerator<{ file: string; note: string }> {
  for (const folder of folders) yield* readPublished(folder);
}

/** Hashes that a worker keeps here. Without them the check is as strict, and names a stretch instead of an event. */
async function treeOf(session: Session, folder: string): Promise<FileTiles | undefined> {
  if (!existsSync(folder)) return undefined;
  try {
    return await FileTiles.open(folder);
  } catch (error) {
    if (!(error instanceof TreeDamaged)) throw error;
    session.note(`the kept hashes are not used: ${error.message}`);
    return undefined;
  }
}
