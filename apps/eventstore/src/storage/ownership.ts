/**
 * One process per folder. A pid file would mistake a recycled pid (in a container always 1) for a living owner, so the
 * owner keeps a socket open beside its data: the kernel closes it with the process, however that ends. Which socket
 * counts is a record in the database, replaced in one transaction only where it still names the dead owner that was
 * looked at; two processes that start at once cannot both replace it.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { platform } from 'node:process';
import { join } from 'node:path';
import { FolderInUse, FolderRefused, OWNER_SOCKET } from './folder.js';

export interface Owner {
  readonly socket: string;
  readonly pid: number;
}

export interface OwnerRecord {
  read(): Owner | undefined;
  /** Writes `next` if the record still is `previous`; says whether it did. */
  replace(previous: Owner | undefined, next: Owner): boolean;
}

export interface Ownership {
  release(): Promise<void>;
}

/** sun_path takes 104 (BSD) to 108 (Linux) bytes, and a longer one is cut without a word. */
const MAX_SOCKET_PATH_BYTES = 100;
const PROBE_TIMEOUT_MS = 2000;
/** Nobody listens, or the file went with a copy of the folder. Any other error leaves an owner possible. */
const DEAD = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTSOCK']);

/** @throws FolderInUse */
export async function takeOwnership(folder: string, record: OwnerRecord): Promise<Ownership> {
  const own: Owner = { socket: `owner-${randomBytes(8).toString('hex')}.sock`, pid: process.pid };
  const address = socketAddress(folder);
  const server = await listen(address.of(own.socket), folder);
  const release = async (): Promise<void> => {
    await new Promise((resolve) => server.close(resolve));
    address.done();
  };
  try {
    const previous = record.read();
    if (previous !== undefined && (await isAlive(address.of(previous.socket)))) throw inUse(folder, previous);
    if (!record.replace(previous, own)) throw inUse(folder, record.read());
  } catch (error) {
    await release();
    throw error;
  }
  removeDeadSockets(folder, own.socket);
  return { release };
}

function inUse(folder: string, owner: Owner | undefined): FolderInUse {
  return new FolderInUse(`${folder} is served by another process (pid ${owner?.pid ?? 'unknown'})`);
}

/** Long paths are reached through the folder's descriptor where the system offers that. */
function socketAddress(folder: string): { of: (name: string) => string; done: () => void } {
  const longest = join(folder, `owner-${'0'.repeat(16)}.sock`);
  if (Buffer.byteLength(longest) <= MAX_SOCKET_PATH_BYTES) {
    return { of: (name) => join(folder, name), done: () => undefined };
  }
  if (platform !== 'linux') throw new FolderRefused(`${folder} is too long a path for the owner's socket`);
  const descriptor = openSync(folder, 'r');
  return { of: (name) => `/proc/self/fd/${descriptor}/${name}`, done: () => closeSync(descriptor) };
}

function listen(path: string, folder: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) =>
      reject(new FolderRefused(`${folder} does not take the owner's socket: ${error.message}`)),
    );
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    // An owner that is too busy to accept is still an owner.
    socket.setTimeout(PROBE_TIMEOUT_MS, () => settle(true));
    socket.once('connect', () => settle(true));
    socket.once('error', (error: NodeJS.ErrnoException) => settle(!DEAD.has(error.code ?? '')));
  });
}

function removeDeadSockets(folder: string, own: string): void {
  for (const name of readdirSync(folder)) {
    if (OWNER_SOCKET.test(name) && name !== own) rmSync(join(folder, name), { force: true });
  }
}
