import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the ranges from which systems give out ports by themselves, so that a port stays free between two starts.
const FIRST = 20_000;
const COUNT = 10_000;
const TRIES = 200;

export interface PortClaim {
  port: number;
  release(): void;
}

/**
 * A TCP port on 127.0.0.1 that no other claimant gets until it is released or this process ends. The claim is the UDP
 * port of the same number: the system keeps it exclusive between processes and frees it when its owner dies.
 */
export async function claimPort(): Promise<PortClaim> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const claim = await hold(port);
    if (!claim) continue;
    if (await accepts(port)) return claim;
    claim.release();
  }
  throw new Error(`no free port from ${FIRST} to ${FIRST + COUNT - 1} in ${TRIES} tries`);
}

async function hold(port: number): Promise<PortClaim | undefined> {
  const socket = createSocket('udp4');
  try {
    socket.bind({ port, address: '127.0.0.1', exclusive: true });
    await once(socket, 'listening');
  } catch {
    socket.close();
    return undefined;
  }
  socket.unref();
  return { port, release: () => socket.close() };
}

async function accepts(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
