import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { type AppendStreamState, type KurrentDBClient, NO_STREAM } from '@kurrent/kurrentdb-client';
import {
  collect,
  connect,
  disconnectAll,
  event,
  landed,
  readBack,
  refusalOf,
  storeStatus,
  type TestEvent,
} from '../contract/eventstore.client.js';
import { eventually, type EventStoreServer, startEventStore, temporaryFolder } from '../support/index.js';

const FILLER = 'x'.repeat(200_000);
const mounted: string[] = [];

afterAll(async () => {
  await disconnectAll();
  for (const folder of mounted) {
    execFileSync('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true });
  }
});

/** A file system of a few megabytes. Only root can make one; without, the limit on file sizes below has to do. */
function smallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'keyledger-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  mounted.push(folder);
  return folder;
}

const disk = smallDisk();

interface Attempt {
  stream: string;
  event: TestEvent;
  streamState: AppendStreamState;
}

/** Appends to three streams in turn until one append is refused. */
async function fillUp(
  client: KurrentDBClient,
): Promise<{ acknowledged: Attempt[]; refused: Attempt; refusal: unknown }> {
  const acknowledged: Attempt[] = [];
  for (let n = 0; ; n++) {
    const streamState = n < 3 ? NO_STREAM : BigInt(Math.floor(n / 3) - 1);
    const attempt: Attempt = { stream: `full-${n % 3}`, event: event(n, { filler: FILLER }), streamState };
    try {
      await client.appendToStream(attempt.stream, attempt.event, { streamState });
      acknowledged.push(attempt);
    } catch (refusal) {
      return { acknowledged, refused: attempt, refusal };
    }
  }
}

async function expectStored(client: KurrentDBClient, attempts: Attempt[]): Promise<void> {
  for (const stream of ['full-0', 'full-1', 'full-2']) {
    const expected = attempts.filter((attempt) => attempt.stream === stream).map((attempt) => attempt.event.id);
    expect((await readBack(client, stream)).map(({ id }) => id)).toEqual(expected);
  }
  const positions = (await collect(client.readAll())).map(({ position }) => position);
  expect(positions).toEqual(positions.map((_, index) => index + 1));
}

describe('a full disk', () => {
  (disk === undefined ? it.skip : it)(
    '(needs root) refuses appends as unavailable, keeps what was acknowledged, and takes the same append again when there is room',
    async () => {
      const ballast = join(disk ?? '', 'ballast');
      writeFileSync(ballast, Buffer.alloc(12_000_000));
      const server = await startEventStore({ folder: disk ?? '' });
      const client = connect(server.url);
      const { acknowledged, refused, refusal } = await fillUp(client);
      expect(refusal).toMatchObject({ type: 'unavailable' });
      expect((refusal as Error).message).toContain('the commit failed');
      expect(acknowledged.length).toBeGreaterThan(10);
      expect((await storeStatus(server.port)).failedCommits).toBeGreaterThan(0);
      await expectStored(client, acknowledged);

      // Still full: refused again, and nothing of it shows.
      await refusalOf(client.appendToStream(refused.stream, refused.event, { streamState: refused.streamState }));
      await expectStored(client, acknowledged);

      rmSync(ballast);
      const result = await client.appendToStream(refused.stream, refused.event, { streamState: refused.streamState });
      expect(landed(result).position).toBe(acknowledged.length + 2);
      await expectStored(client, [...acknowledged, refused]);
      await disconnectAll();
      await server.restart();
      await expectStored(connect(server.url), [...acknowledged, refused]);
      await disconnectAll();
      await server.stop();
    },
  );

  it('in the form of a limit on file sizes does the same, and a start without the limit has it all', async () => {
    const folder = temporaryFolder();
    const server = await startEventStore({ folder, limited: true });
    const client = connect(server.url);
    const { acknowledged, refused, refusal } = await fillUp(client);
    expect(refusal).toMatchObject({ type: 'unavailable' });
    expect(acknowledged.length).toBeGreaterThan(10);
    await expectStored(client, acknowledged);
    await disconnectAll();
    await server.stop();
    expect(server.exitCode).toBe(0);

    const roomy = await startEventStore({ folder });
    const again = connect(roomy.url);
    await expectStored(again, acknowledged);
    await again.appendToStream(refused.stream, refused.event, { streamState: refused.streamState });
    await expectStored(again, [...acknowledged, refused]);
    await disconnectAll();
    await roomy.stop();
  });

  it('that goes on and on costs the store no more than the appends that it refuses', async () => {
    const server = await startEventStore({ limited: true });
    const client = connect(server.url);
    const written: string[] = [];
    let refused = 0;
    for (let n = 0; refused < 150; n++) {
      const attempt = event(n, { filler: 'x'.repeat(2000) });
      const streams = Array.from({ length: 8 }, (_, index) => `often-${n}-${index}`);
      const results = await Promise.allSettled(streams.map((stream) => client.appendToStream(stream, attempt)));
      refused += results.filter(({ status }) => status === 'rejected').length;
      written.push(...streams.filter((_, index) => results[index]?.status === 'fulfilled'));
    }
    for (const stream of written) expect(await readBack(client, stream)).toHaveLength(1);
    const streams = (await collect(client.readAll())).map(({ stream }) => stream);
    expect(streams.sort()).toEqual(['$keyledger-eventstore', ...written].sort());
    await disconnectAll();
    await server.stop();
    expect(server.exitCode).toBe(0);
  });
});

const strace = canTrace();

function canTrace(): boolean {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('an acknowledgement', () => {
  const traced = strace ? it : it.skip;
  traced('(needs strace) leaves after the data was synced and the meta page went through O_DSYNC', async () => {
    const server = await startEventStore();
    const client = connect(server.url);
    await client.appendToStream('traced', event(0), { streamState: NO_STREAM });
    const output = join(temporaryFolder(), 'trace');
    const filter = 'trace=fdatasync,fsync,pwrite64,pwritev,writev,write,sendto,sendmsg';
    const tracer = spawn('strace', ['-f', '-y', '-s', '200', '-e', filter, '-o', output, '-p', String(server.pid)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(tracer, 'exit');
    await once(tracer.stderr, 'data');
    await client.appendToStream('traced', event(1), { streamState: 0n });
    await eventually('the answer was traced', () => steps(output, server).includes('answer'));
    tracer.kill('SIGINT');
    await ended;
    const order = steps(output, server).filter((step, index, all) => step !== all[index - 1]);
    expect(order).toEqual(['data', 'sync', 'synchronous write', 'answer']);
    await disconnectAll();
    await server.stop();
  });
});

/** What the traced calls were for, in their order. */
function steps(path: string, server: EventStoreServer): string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, call = '', descriptor = '', target = ''] = /^\d+ +(\w+)\((\d+)<([^>]*)>/.exec(line) ?? [];
      if (target.endsWith('data.mdb')) {
        if (/sync$/.test(call)) return ['sync'];
        return [isSynchronous(server, descriptor) ? 'synchronous write' : 'data'];
      }
      // The answer to an append names its stream.
      return /^(socket|TCP)/.test(target) && line.includes('traced') ? ['answer'] : [];
    });
}

const O_DSYNC = 0o10000;

function isSynchronous({ pid }: EventStoreServer, descriptor: string): boolean {
  const [, flags = '0'] = /flags:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8')) ?? [];
  return (Number.parseInt(flags, 8) & O_DSYNC) !== 0;
}
