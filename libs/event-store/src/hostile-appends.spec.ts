import { status } from '@grpc/grpc-js';
import { describe, expect, it } from '@jest/globals';
import type { EventMetadata } from '@keyledger/contracts';
import type streamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import { randomUUID } from 'node:crypto';
import type { NewEvent } from './codec.js';
import { Connection } from './connection.js';
import { RevisionConflict } from './errors.js';
import {
  closers,
  hostile,
  STREAM,
  success,
  timeout,
  TIMEOUT_MS,
  wrongRevision,
  type Append,
} from './hostile-server.spec-support.js';

describe('an append whose answer got lost', () => {
  it('is asked for again with the same ids and the same revision', async () => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => attempt > 1 && call.write(success(request, 7)),
    });
    const event = newEvent();
    await expect(peer.store.append(STREAM, 6, [event])).resolves.toEqual({ revision: 7, position: 1007n });
    expect(peer.appends.map(idsOf)).toEqual([[event.id], [event.id]]);
    expect(peer.appends.map((one) => one.getOptions()?.getStreamPosition())).toEqual(['6', '6']);
  });

  it('is one that happened if the conflict that follows is with its own events', async () => {
    const events = [newEvent(), newEvent()];
    const peer = await hostile({
      onAppend: (request, call, attempt) => attempt > 1 && call.write(wrongRevision(request, 9)),
      recorded: events.map(({ id }, index) => ({ id, revision: index, position: 500 + index })),
    });
    await expect(peer.store.append(STREAM, -1, events)).resolves.toEqual({ revision: 1, position: 501n });
  });

  it.each([
    ['others', [randomUUID(), randomUUID()]],
    ['fewer', []],
  ])('is a conflict if the events there are %s', async (_, ids) => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => attempt > 1 && call.write(wrongRevision(request, 9)),
      recorded: ids.map((id, index) => ({ id, revision: index, position: 500 + index })),
    });
    const failed = peer.store.append(STREAM, -1, [newEvent(), newEvent()]);
    await expect(failed).rejects.toBeInstanceOf(RevisionConflict);
    await expect(failed).rejects.toMatchObject({ stream: STREAM, expectedRevision: -1, actualRevision: 9 });
  });

  it('is made good over a new call when the server ended the old one without a word', async () => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => (attempt === 1 ? call.end() : call.write(success(request, 0))),
    });
    await expect(peer.store.append(STREAM, -1, [newEvent()])).resolves.toEqual({ revision: 0, position: 1000n });
  });

  it.each([
    ['says nothing', () => undefined],
    [
      'fails every call',
      (_: unknown, call: Append) => call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'full' }),
    ],
    [
      'drops every call',
      (_: unknown, call: Append) => call.emit('error', { code: status.UNAVAILABLE, details: 'gone' }),
    ],
    ['reports a time-out', (request: streamsPb.BatchAppendReq, call: Append) => call.write(timeout(request))],
  ])('fails as unknown, after several attempts, when the server %s', async (_, onAppend) => {
    const peer = await hostile({ onAppend });
    const event = newEvent();
    const failed = peer.store.append(STREAM, -1, [event]);
    await expect(failed).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'unknown' });
    expect(peer.appends.length).toBeGreaterThan(1);
    expect(new Set(peer.appends.flatMap(idsOf))).toEqual(new Set([event.id]));
  });

  it('does not keep its place among the appends in flight for ever', async () => {
    const peer = await hostile({
      onAppend: (request, call) => request.getOptions()?.getNoStream() === undefined && call.write(success(request, 1)),
    });
    const silent = Array.from({ length: 300 }, () => peer.store.append(STREAM, -1, [newEvent()]));
    const outcomes = (await Promise.allSettled(silent)).map((one) => one.status === 'rejected' && one.reason.outcome);
    expect(new Set(outcomes)).toEqual(new Set(['unknown', 'not-done']));
  });
});

describe('appends that travel together', () => {
  const together = (count: number) =>
    Array.from({ length: count }, (_, nth) => {
      return { stream: `key-k${nth}`, expectedRevision: nth, events: [newEvent()] };
    });
  const placeOf = (request: streamsPb.BatchAppendReq): number =>
    Number(request.getOptions()?.getStreamPosition() ?? NaN);

  it('are made good one by one where the call ended under them: only what had no answer is sent again', async () => {
    const peer = await hostile({
      onAppend: (request, call, attempt) => {
        if (attempt === 3) call.end();
        else if (attempt !== 2) call.write(success(request, placeOf(request) + 1));
      },
    });
    const appends = together(3);
    const outcomes = await peer.store.appendAll(appends);
    expect(outcomes).toEqual([1, 2, 3].map((revision) => ({ revision, position: BigInt(1000 + revision) })));
    expect(peer.appends.map(placeOf).sort()).toEqual([0, 1, 1, 2, 2]);
    expect(new Set(peer.appends.flatMap(idsOf))).toEqual(new Set(appends.map(({ events }) => events[0]?.id)));
  });

  it('fail alone: the conflict of one, and one that is too large, are those of their place', async () => {
    const peer = await hostile({
      onAppend: (request, call) => {
        const place = placeOf(request);
        call.write(place === 1 ? wrongRevision(request, 9) : success(request, place + 1));
      },
    });
    const appends = together(200);
    const large = { ...newEvent(), data: { keyId: 'x'.repeat(1_000_001) } as NewEvent['data'] };
    appends[2] = { stream: 'key-k2', expectedRevision: 2, events: [large] };
    const outcomes = await peer.store.appendAll(appends);
    expect(outcomes[1]).toMatchObject({ name: 'RevisionConflict', stream: 'key-k1', actualRevision: 9 });
    expect(outcomes[2]).toMatchObject({ name: 'EventStoreRefused', reason: 'too-large' });
    const others = outcomes.map((one, place) => (place === 1 || place === 2 ? [] : [one])).flat();
    expect(others).toEqual(
      [0, ...Array.from({ length: 197 }, (_, nth) => nth + 3)].map((place) => {
        return { revision: place + 1, position: BigInt(1001 + place) };
      }),
    );
  });

  it('are all unknown, and nothing else, when the server says nothing', async () => {
    const peer = await hostile({ onAppend: () => undefined });
    const outcomes = await peer.store.appendAll(together(3));
    for (const one of outcomes) expect(one).toMatchObject({ name: 'EventStoreUnavailable', outcome: 'unknown' });
  });
});

describe('a connection that has gone deaf', () => {
  it('is replaced: a server that once refused to say what it can is asked again', async () => {
    let refusals = 0;
    const peer = await hostile({
      onAppend: (request, call) => call.write(success(request, 0)),
      onFeatures: () => (refusals++ < 1 ? { code: status.UNKNOWN, details: 'not now' } : undefined),
    });
    const connection = new Connection(peer.url, TIMEOUT_MS, 0);
    closers.push(() => connection.close());
    const append = (): Promise<unknown> =>
      connection.call('append', (client) => client.appendToStream(STREAM, [], { streamState: 'no_stream' }));
    await expect(append()).rejects.toMatchObject({ name: 'EventStoreUnavailable', outcome: 'not-done' });
    await expect(append()).resolves.toMatchObject({ success: true });
  });
});

function newEvent(): NewEvent {
  const data = { keyId: 'k1' } as NewEvent['data'];
  return { id: randomUUID(), type: 'KeyRevoked', data, metadata: {} as EventMetadata };
}

const idsOf = (request: streamsPb.BatchAppendReq): (string | undefined)[] =>
  request.getProposedMessagesList().map((message) => message.getId()?.getString());
