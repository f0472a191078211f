import { status } from '@grpc/grpc-js';
import { describe, expect, it } from '@jest/globals';
import streamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import type { EventStore } from './event-store.js';
import type { SubscribeOptions } from './feed.js';
import {
  at,
  bytesOf,
  closers,
  confirmation,
  hostile,
  readAnswer,
  STREAM,
  TIMEOUT_MS,
  type Read,
} from './hostile-server.spec-support.js';

describe('a subscription', () => {
  const cut = bytesOf(readAnswer(at(2))).subarray(0, 60);
  const nameless = readAnswer(at(2));
  nameless.getEvent()?.getEvent()?.clearStreamIdentifier();
  const empty = new streamsPb.ReadResp();
  empty.setEvent(new streamsPb.ReadResp.ReadEvent());

  it.each<[string, (call: Read) => unknown]>([
    ['says what is no message', (call) => call.write(Buffer.from('0fffffff', 'hex'))],
    ['cuts an event short', (call) => call.write(cut)],
    ['gives an event of no stream', (call) => call.write(nameless)],
    ['says that there is an event where there is none', (call) => call.write(empty)],
    ['ends it without a word', (call) => call.end()],
    ['drops it', (call) => call.emit('error', { code: status.UNAVAILABLE, details: 'gone' })],
    ['fails', (call) => call.emit('error', { code: status.INTERNAL, details: 'oops' })],
    ['refuses it', (call) => call.emit('error', { code: status.PERMISSION_DENIED, details: 'no' })],
  ])('whose server %s goes on behind what was given', async (_, misbehave) => {
    const peer = await hostile({
      onRead: (call, attempt) => {
        call.write(confirmation());
        call.write(readAnswer(at(attempt)));
        if (attempt === 1) misbehave(call);
      },
    });
    const states: string[] = [];
    const subscription = followed(peer.store, { onState: (state) => states.push(state) });
    await expect(subscription.until(2)).resolves.toEqual([1n, 2n]);
    expect(states).toEqual(['connected', 'disconnected', 'connected']);
    expect(peer.reads.map((one) => one.getOptions()?.getAll()?.getPosition()?.getCommitPosition())).toEqual([
      undefined,
      '1',
    ]);
  });

  it('is begun anew when the server does not confirm it, and the reader hears why', async () => {
    const peer = await hostile({
      onRead: (call, attempt) => {
        if (attempt === 1) return;
        call.write(confirmation());
        call.write(readAnswer(at(1)));
      },
    });
    const problems: string[] = [];
    const onState = (_: string, error?: Error): unknown => error && problems.push(error.message);
    await expect(followed(peer.store, { onState }).until(1)).resolves.toEqual([1n]);
    expect(problems).toEqual([expect.stringContaining(`did not begin a subscription within ${TIMEOUT_MS} ms`)]);
  });

  it('passes over what only newer servers say', async () => {
    const peer = await hostile({
      onRead: (call) => {
        call.write(Buffer.from('ea04026869', 'hex'));
        call.write(confirmation());
        call.write(Buffer.from('e80401', 'hex'));
        call.write(readAnswer(at(1)));
      },
    });
    await expect(followed(peer.store).until(1)).resolves.toEqual([1n]);
    expect(peer.reads).toHaveLength(1);
  });

  it('reads ahead of a slow reader by a bounded number of events, and then the server waits', async () => {
    const [events, maxBatch] = [3000, 20];
    const source = sending(events, 4000);
    const peer = await hostile(source);
    let [taken, mostAhead] = [0, 0];
    const subscription = followed(peer.store, {
      maxBatch,
      onBatch: async (count) => {
        for (let turns = 0; turns < 20; turns += 1) await turn();
        taken += count;
        mostAhead = Math.max(mostAhead, source.sent - taken);
      },
    });
    const positions = await subscription.until(events);
    expect(positions).toEqual(Array.from({ length: events }, (_, index) => BigInt(index + 1)));
    // Two batches; beside them what gRPC holds, and 512 KiB on the connection.
    expect(mostAhead).toBeLessThan(2 * maxBatch + 100 + (512 * 1024) / 4000);
    // Otherwise it stands still whenever its reader is busy for a moment.
    expect(mostAhead).toBeGreaterThan((64 * 1024) / 4000 + maxBatch);
  });

  it('says that a batch comes before it reads any of it, and gives nothing that came after that was heard', async () => {
    const events = 3000;
    const source = sending(events);
    const peer = await hostile(source);
    let [sentBefore, taken, told] = [0, 0, 0];
    const subscription = followed(peer.store, {
      maxBatch: 50,
      beforeBatch: async () => {
        const now = source.sent;
        for (let turns = 0; turns < 20; turns += 1) await turn();
        [sentBefore, told] = [now, told + 1];
      },
      onBatch: async (count) => {
        taken += count;
        expect(taken).toBeLessThanOrEqual(sentBefore);
        await turn();
      },
    });
    await expect(subscription.until(events)).resolves.toHaveLength(events);
    expect(told).toBeGreaterThanOrEqual(events / 50);
  });

  it('misses nothing that comes while its reader is told of what was no event', async () => {
    let send: () => void = () => undefined;
    const peer = await hostile({
      onRead: (call) => {
        call.write(confirmation());
        send = () => call.write(readAnswer(at(1)));
      },
    });
    const beforeBatch = async (): Promise<void> => {
      send();
      send = () => undefined;
      for (let turns = 0; turns < 200; turns += 1) await turn();
    };
    await expect(followed(peer.store, { beforeBatch }).until(1)).resolves.toEqual([1n]);
  });
});

/** A server that sends so many events as fast as they are taken from it, and how many it has sent. */
function sending(events: number, dataBytes = 0) {
  const source = {
    sent: 0,
    onRead: async (call: Read): Promise<void> => {
      call.write(confirmation());
      while (source.sent < events) {
        source.sent += 1;
        if (!call.write(readAnswer(at(source.sent), dataBytes))) await once(call, 'drain');
      }
    },
  };
  return source;
}

interface Followed {
  /** The positions of so many events. */
  until(count: number): Promise<bigint[]>;
}

function followed(
  store: EventStore,
  {
    onBatch,
    ...options
  }: Pick<SubscribeOptions, 'onState' | 'maxBatch' | 'beforeBatch'> & {
    onBatch?: (count: number) => Promise<void>;
  } = {},
): Followed {
  const stopping = new AbortController();
  closers.push(() => stopping.abort());
  const all = { after: 'start', streamPrefixes: ['key-'], signal: stopping.signal, ...options } as const;
  return {
    async until(count) {
      const positions: bigint[] = [];
      for await (const { events } of store.subscribeStored(all)) {
        positions.push(...events.map(({ position }) => position));
        await onBatch?.(events.length);
        if (positions.length >= count) return positions;
      }
      return positions;
    },
  };
}

describe('a read of rare events, for which the server looks longer than an answer may take', () => {
  const rare = { id: randomUUID(), revision: 0, position: 500 };
  const readRare = async (store: EventStore): Promise<unknown[]> => {
    const found: unknown[] = [];
    for await (const batch of store.readAll({ direction: 'forwards', streamPrefixes: ['key-'] })) found.push(...batch);
    return found;
  };
  const isSearch = (request: streamsPb.ReadReq): boolean => request.getOptions()?.hasFilter() ?? false;

  it('goes on while the server answers other questions', async () => {
    const peer = await hostile({
      onRead: (call) => {
        if (!isSearch(call.request)) call.end();
        else
          setTimeout(() => {
            call.write(readAnswer(rare));
            call.end();
          }, 2.5 * TIMEOUT_MS);
      },
    });
    expect(await readRare(peer.store)).toMatchObject([{ id: rare.id, stream: STREAM, position: 500n }]);
  });

  it('fails as unavailable when it does not', async () => {
    const peer = await hostile({ onRead: () => undefined });
    await expect(readRare(peer.store)).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'not-done' });
  });
});

it('a stream that the server does not give is waited for no longer than an answer may take, whatever else it answers', async () => {
  const ofOneStream = (request: streamsPb.ReadReq): boolean => request.getOptions()?.hasStream() ?? false;
  const peer = await hostile({
    onRead: (call) => {
      if (!ofOneStream(call.request)) call.end();
    },
  });
  await expect(peer.store.load(STREAM)).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'not-done' });
});
