import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { EVENT_CATALOG, type EventMetadata } from '@keyledger/contracts';
import { EventStore, type NewEvent } from '@keyledger/event-store';
import { randomUUID } from 'node:crypto';
import { get as request, type IncomingMessage } from 'node:http';
import { storeStatus } from '../contract/eventstore.client.js';
import { Desk } from '../e2e/api.harness.js';
import { eventually, startSystem, type System } from '../support/index.js';

const KEYS = 40;
const EVENTS_OF_A_KEY = 500;
const EVENTS = KEYS * EVENTS_OF_A_KEY;
/** So that the whole stream is many times what may lie in sockets and buffers on its way. */
const COMMENT = 'c'.repeat(2000);
const MEGABYTE = 1024 * 1024;

let system: System;
let desk: Desk;
let store: EventStore;
let keyspaceId: string;
/** Reads of the api that never end: its subscriptions. */
let standing: number;

beforeAll(async () => {
  system = await startSystem();
  // What is open at the store shall be the api's.
  await system.worker.stop();
  desk = new Desk(system);
  store = new EventStore({ url: system.eventStore.url, timeoutMs: 30_000 });
  keyspaceId = await desk.keyspace();
  standing = await openReads();
  const keyIds = Array.from({ length: KEYS }, (_, index) => `bulk${String(index).padStart(18, '0')}`);
  await Promise.all(keyIds.map((keyId) => fill(keyId)));
  // Followers of the log that could not keep up with that read by themselves until they have, and hear of something new.
  await eventually('they share one read again', sharesOneRead, { timeoutMs: 90_000 });
});

async function sharesOneRead(): Promise<boolean> {
  await desk.admin.get('/v1/audit/events?limit=1');
  return (await openReads()) === standing;
}

afterAll(async () => {
  await store?.dispose();
  await desk?.dispose();
  await system?.stop();
});

/** A life of many events, appended as an import would be. */
async function fill(keyId: string): Promise<void> {
  const events = Array.from({ length: EVENTS_OF_A_KEY }, (_, index) => lifeOf(keyId, index));
  for (let at = 0; at < events.length; at += 100) await append(keyId, at - 1, events.slice(at, at + 100));
}

async function append(keyId: string, revision: number, events: NewEvent[]): Promise<void> {
  await store.append(`key-${keyId}`, revision, events);
}

function lifeOf(keyId: string, index: number): NewEvent {
  const id = randomUUID();
  const now = new Date().toISOString();
  const type = index === 0 ? 'KeyIssued' : index % 2 === 1 ? 'KeySuspended' : 'KeyReinstated';
  const actor = { type: 'key', id: 'import' } as const;
  const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
  const { schemaVersion } = EVENT_CATALOG[type];
  const metadata: EventMetadata = { schemaVersion, actor, reason: 'import', ...names };
  const later = { keyId, reason: 'import', comment: COMMENT };
  if (type === 'KeySuspended') return { id, metadata, type, data: { ...later, suspendedAt: now } };
  if (type === 'KeyReinstated') return { id, metadata, type, data: { ...later, reinstatedAt: now } };
  const owner = { id: 'app_bulk', type: 'application' } as const;
  const secret = { secretId: keyId.slice(-12), hash: keyId.padEnd(43, 'h'), mask: 'bulk_live_…' };
  const terms = { keyspaceId, environment: 'live', name: 'bulk', owner, kind: 'secret', restrictions: {} } as const;
  const data = {
    keyId,
    ...terms,
    scopes: ['a:b'],
    metadata: {},
    secret,
    createdAt: now,
    expiresAt: '2999-01-01T00:00:00.000Z',
  };
  return { id, metadata, type: 'KeyIssued', data };
}

const openReads = async (): Promise<number> => (await storeStatus(system.eventStore.port)).openReads;

/** Resident memory of the api, in bytes, by its own account. */
async function memory(): Promise<number> {
  const { body } = await desk.admin.get('/metrics');
  return Number(/^process_resident_memory_bytes\{[^}]*\} (\S+)$/m.exec(body.text)?.[1]);
}

/** An answer of which nothing is taken yet. */
function reading(format: string): Promise<IncomingMessage> {
  return asking(`format=${format}`);
}

function asking(query: string, more: object = {}): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${system.adminKey}`, ...more };
  const url = `${system.api.baseUrl}/v1/audit/events?keyspaceId=${keyspaceId}&${query}`;
  return new Promise((resolve, reject) => request(url, { headers, agent: false }, resolve).on('error', reject));
}

/** Takes the rest of an answer; gives its lines. */
async function linesOf(answer: IncomingMessage): Promise<string[]> {
  let text = '';
  for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
  return text.trimEnd().split('\n');
}

it('a stream waits for slow readers at bounded memory, ends at once for who leaves, and is whole for who stays', async () => {
  const whole = await linesOf(await reading('ndjson'));
  expect(whole).toHaveLength(EVENTS + 1);
  const bytes = whole.reduce((sum, line) => sum + line.length + 1, 0);
  expect(bytes).toBeGreaterThan(40 * MEGABYTE);
  const before = await memory();
  const read = (by: number) => async (): Promise<void> => expect(await openReads()).toBe(standing + by);

  const slow = await Promise.all(['ndjson', 'csv', 'csv', 'ocsf', 'ndjson'].map((format) => reading(format)));
  // Somebody else takes everything in the meantime: time enough to read ahead for those who take nothing.
  expect(await linesOf(await reading('ndjson'))).toHaveLength(whole.length);
  // The api keeps the log up in snapshots meanwhile, at half of its time, and has a read of its own for it.
  await eventually('only he has come to the end', read(slow.length), { timeoutMs: 90_000 });
  expect((await memory()) - before).toBeLessThan((slow.length * bytes) / 2);

  const [first, second, ...others] = slow as [IncomingMessage, IncomingMessage, ...IncomingMessage[]];
  for (const one of others) one.destroy();
  await eventually('what was read for those who left has ended', read(2));
  expect(await linesOf(first)).toEqual(whole);
  expect(await linesOf(second)).toHaveLength(whole.length + 1);
  await eventually('what was read for the others too', read(0));
});

/** Every answer that comes piece by piece and is long, or long in coming. */
const LONG_ANSWERS = [
  'events?format=ndjson',
  'events?format=csv',
  'events?format=ocsf',
  'events?format=ndjson&requestId=of-nobody',
  'events?format=ocsf&requestId=of-nobody',
  'events/tail?after=0',
  'events/tail?after=0&requestId=of-nobody',
  'state?format=ndjson',
  'state?format=csv',
  'diff?from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&format=ndjson',
  'reports/inventory?format=csv',
  'reports/changes-by-actor?format=json',
  'reports/changes-by-actor?format=csv',
];

/** Asks, and leaves: as soon as the question is on its way, or with the first piece of the answer. */
function askAndLeave(path: string, when: 'before the first line' | 'half way'): Promise<void> {
  const headers = { authorization: `Bearer ${system.adminKey}` };
  const until = encodeURIComponent(new Date().toISOString());
  const url = `${system.api.baseUrl}/v1/audit/${path.replace('2999-01-01T00:00:00Z', until)}`;
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers, agent: false });
    asked.once('close', resolve).once('error', (error) => {
      if (when === 'half way') reject(error);
    });
    if (when === 'before the first line') asked.once('finish', () => asked.destroy());
    else {
      asked.once('response', (answer) => {
        if (answer.statusCode === 200) answer.once('data', () => asked.destroy());
        else reject(new Error(`${path}: ${answer.statusCode}`));
      });
    }
  });
}

/** Connections that the api has open, to whomever, and its reads at the event store. */
async function open(): Promise<{ connections: number; reads: number }> {
  const { body } = await desk.admin.get('/metrics');
  const connections = /^nodejs_active_resources\{type="TCPSocketWrap"[^}]*\} (\d+)$/m.exec(body.text)?.[1];
  return { connections: Number(connections), reads: await openReads() };
}

it.each(['before the first line', 'half way'] as const)(
  'of a reader who leaves %s nothing stays open, whatever he asked for, and the next one is served',
  async (when) => {
    await eventually('the api reads nothing more', async () => (await openReads()) === standing);
    const before = await open();
    expect(before.connections).toBeGreaterThan(0);
    // Of reports there are two at once: each has to have ended before the third is made.
    for (const path of LONG_ANSWERS) {
      if (path.startsWith('reports'))
        await eventually('the last ones have ended', async () => (await open()).reads === before.reads);
      await askAndLeave(path, when);
    }
    await eventually('everything has ended', async () => expect(await open()).toEqual(before));
    // The last question may not have been heard when nothing was open; it too ends, and gives its place back.
    await eventually('the next one is served', async () => {
      const { status, body } = await desk.admin.get('/v1/audit/reports/changes-by-actor');
      expect([status, body.rows?.length > 0]).toEqual([200, true]);
    });
  },
);

it('a live tail goes on behind Last-Event-ID without a gap or a repetition after the api was killed', async () => {
  const keyId = 'tail00000000000000000x';
  const begin = await store.head();
  let revision = -1;
  const happen = async (): Promise<void> => {
    await append(keyId, revision, [lifeOf(keyId, revision + 1)]);
    revision += 1;
  };
  const seen: string[] = [];
  const follow = async (until: () => boolean): Promise<void> => {
    const last = seen.at(-1) ?? String(begin);
    const answer = await asking('', { accept: 'text/event-stream', 'last-event-id': last });
    let text = '';
    for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) {
      // What came without its end, an empty line, did not come.
      const messages = (text + chunk).split('\n\n');
      text = messages.pop() ?? '';
      for (const message of messages) seen.push(...(/^id: (\d+)$/m.exec(message)?.slice(1) ?? []));
      if (until()) break;
    }
  };
  for (const rounds of [1, 2, 3]) {
    const cut = follow(() => false).catch((error: unknown) => error);
    const target = seen.length + 20 * rounds;
    const happening = (async () => {
      for (let events = 0; events < 60; events += 1) await happen();
    })();
    await eventually('some were followed', () => seen.length >= target);
    await system.api.kill();
    await cut;
    await happening;
    await happen();
    await system.api.start();
  }
  await happen();
  await follow(() => seen.length > revision);
  const recorded: string[] = [];
  for await (const events of store.readStream(`key-${keyId}`, { direction: 'forwards' })) {
    recorded.push(...events.map(({ position }) => String(position)));
  }
  expect(seen).toEqual(recorded);
});
