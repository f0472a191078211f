import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { generateSignerKey } from '@keyledger/audit';
import { EventStore } from '@keyledger/event-store';
import { randomBytes } from 'node:crypto';
import { connect, disconnectAll, event } from '../contract/eventstore.client.js';
import {
  eventually,
  http,
  startApp,
  startEventStore,
  startRedis,
  type App,
  type Client,
  type EventStoreServer,
  type RedisServer,
} from '../support/index.js';

const OWNER = 'app_not_to_be_seen';

let adminKey: string;
let eventStore: EventStoreServer;
let redis: RedisServer;
let api: App;
let admin: Client;
let keyId: string;
let eventId: string;

beforeAll(async () => {
  [eventStore, redis] = await Promise.all([startEventStore({ limited: true }), startRedis()]);
  adminKey = randomBytes(30).toString('base64url');
  const env = {
    REDIS_URL: redis.url,
    EVENTSTORE_URL: eventStore.url,
    KEYLEDGER_ADMIN_KEY: adminKey,
    KEYLEDGER_SIGNING_KEY: generateSignerKey('keys.example.com/audit'),
    KEYLEDGER_AUDIT_CHECKPOINT_SECONDS: '1',
  };
  const [worker, started] = await Promise.all([startApp('worker', env), startApp('api', env)]);
  api = started;
  admin = http(api.baseUrl, adminKey);
  await admin.post('/v1/keyspaces', { name: 'Full', prefix: 'full' });
  const owner = { id: OWNER, type: 'service' };
  const request = { keyspaceId: 'full', environment: 'live', name: 'one', owner, scopes: ['a:read'] };
  ({ keyId } = (await admin.post('/v1/keys', request)).body);
  const { items } = (await admin.get(`/v1/audit/events?keyId=${keyId}`)).body;
  eventId = items[0].id;
  await eventually('there is a proof of it', async () => {
    return (await admin.get(`/v1/audit/proof/inclusion?eventId=${eventId}`)).status === 200;
  });
  await worker.stop();
});

afterAll(async () => {
  await api?.stop();
  await redis?.stop();
  await eventStore?.stop();
});

const between = () => `from=2020-01-01T00:00:00Z&to=${new Date().toISOString()}`;
/** Every way to see something of the trail. */
const READINGS: [string, () => string, Record<string, string>?][] = [
  ['a page of events', () => `events?keyId=${keyId}`],
  ['events as NDJSON', () => 'events?format=ndjson'],
  ['events as CSV', () => 'events?format=csv'],
  ['events as OCSF', () => 'events?format=ocsf'],
  ['a batch of CloudEvents', () => 'events', { accept: 'application/cloudevents-batch+json' }],
  ['a live tail', () => 'events/tail?after=0'],
  ['a key as it was', () => `keys/${keyId}`],
  ['all keys as they were', () => 'state'],
  ['all keys as NDJSON', () => 'state?format=ndjson'],
  ['all keys as CSV', () => 'state?format=csv'],
  ['a difference', () => `diff?${between()}`],
  ['a difference as NDJSON', () => `diff?${between()}&format=ndjson`],
  ['a verdict explained', () => 'explain'],
  ['a report', () => 'reports/inventory'],
  ['a report as CSV', () => 'reports/inventory?format=csv'],
  ['a proof', () => `proof/inclusion?eventId=${eventId}`],
  ['an export', () => 'export'],
];

/** What an auditor gets: the status, and the text up to where the key is named, if it is. */
async function answer([name, path, headers = {}]: (typeof READINGS)[number]): Promise<[string, number, string]> {
  const asking = path() === 'explain' ? { method: 'POST', body: JSON.stringify({ keyId }) } : {};
  const leaving = new AbortController();
  const response = await fetch(`${api.baseUrl}/v1/audit/${path()}`, {
    ...asking,
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json', ...headers },
    signal: AbortSignal.any([leaving.signal, AbortSignal.timeout(60_000)]),
  });
  let text = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    if (text.includes(keyId)) break;
  }
  leaving.abort();
  return [name, response.status, text];
}

async function readEverything(): Promise<{ status: Record<string, number>; shown: string[] }> {
  const answers = await Promise.all(READINGS.map(answer));
  return {
    status: Object.fromEntries(answers.map(([name, status]) => [name, status])),
    shown: answers
      .filter(([, , text]) => text.includes(keyId) || text.includes(OWNER))
      .map(([name]) => name)
      .sort(),
  };
}

const names = READINGS.map(([name]) => name).sort();
const all = (status: number) => Object.fromEntries(names.map((name) => [name, status]));

/** How often somebody was shown something of the trail, by its own account. */
async function recorded(): Promise<number> {
  const store = new EventStore({ url: eventStore.url });
  let count = 0;
  for await (const events of store.readAll({ direction: 'forwards', streamPrefixes: ['audit-access'] })) {
    count += events.length;
  }
  await store.dispose();
  return count;
}

it('whoever cannot be recorded, because the event store is away, is shown nothing; whoever is shown something is on record', async () => {
  const before = await recorded();
  expect(await readEverything()).toEqual({ status: all(200), shown: names });
  expect(await recorded()).toBe(before + names.length);

  await eventStore.kill();
  expect(await readEverything()).toEqual({ status: all(503), shown: [] });

  await eventStore.start();
  await eventually('the api has found it again', async () => (await answer(READINGS[0] as never))[1] === 200);
  const again = await recorded();
  expect(await readEverything()).toEqual({ status: all(200), shown: names });
  expect(await recorded()).toBe(again + names.length);
});

it('whoever cannot be recorded, because the disk is full and nothing but reading goes on, is shown nothing', async () => {
  await fillUp();
  const before = await recorded();
  expect(await readEverything()).toEqual({ status: all(503), shown: [] });
  // What it was asked it can read all the time.
  expect(await recorded()).toBe(before);
});

/** Appends to a stream of nobody's, less and less at once, until not even a little is taken any more. */
async function fillUp(): Promise<void> {
  const client = connect(eventStore.url);
  for (const length of [200_000, 20_000, 2_000, 200]) {
    for (let refused = 0; refused < 5;) {
      const took = client.appendToStream('filler', event(0, { filler: 'x'.repeat(length) }));
      refused = await took.then(
        () => 0,
        () => refused + 1,
      );
    }
  }
  await disconnectAll();
}
