/** The official client against the embedded event store, for the suites that prove what the store promises. */
import { randomUUID } from 'node:crypto';
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import {
  type AppendResult,
  type EventData,
  jsonEvent,
  KurrentDBClient,
  type ReadRevision,
  type RecordedEvent,
  type ResolvedEvent,
} from '@kurrent/kurrentdb-client';
import {
  ADMIN_BACKUP_PATH,
  ADMIN_STATUS_PATH,
  type BackupResult,
  type StoreStatus,
} from '../../apps/eventstore/src/admin-names.js';
import { eventually } from '../support/index.js';

const clients = new Set<KurrentDBClient>();

/** Disposed of by `disconnectAll`, which every suite calls in its `afterAll`. */
export function connect(url: string): KurrentDBClient {
  const client = KurrentDBClient.connectionString(url);
  clients.add(client);
  return client;
}

export async function disconnectAll(): Promise<void> {
  await Promise.all([...clients].map((client) => client.dispose()));
  clients.clear();
}

export interface TestData extends Record<string, unknown> {
  n: number;
}
export type TestEvent = EventData & { id: string; data: TestData };

export function event(n: number, options: { id?: string; type?: string; filler?: string } = {}): TestEvent {
  const { id = randomUUID(), type = 'Tested', filler = '' } = options;
  return jsonEvent({ id, type, data: { n, ...(filler !== '' && { filler }) } });
}

export function streamName(prefix = 'test'): string {
  return `${prefix}-${randomUUID()}`;
}

export type Seen = { id: string; stream: string; revision: number; position: number; n: number; type: string };

export function seen(resolved: ResolvedEvent): Seen {
  const { event: recorded } = resolved;
  if (recorded === undefined) throw new Error('an event without its record');
  return {
    id: recorded.id,
    stream: recorded.streamId,
    revision: Number(recorded.revision),
    position: Number(recorded.position?.commit ?? 0n),
    n: (recorded.data as TestData).n,
    type: recorded.type,
  };
}

export async function collect(events: AsyncIterable<ResolvedEvent>): Promise<Seen[]> {
  const all: Seen[] = [];
  for await (const resolved of events) all.push(seen(resolved));
  return all;
}

export async function readBack(client: KurrentDBClient, stream: string, fromRevision?: ReadRevision): Promise<Seen[]> {
  return collect(client.readStream(stream, fromRevision === undefined ? {} : { fromRevision }));
}

/** The stream's events as the client gives them. */
export async function records(client: KurrentDBClient, stream: string): Promise<RecordedEvent[]> {
  const all: RecordedEvent[] = [];
  for await (const { event: recorded } of client.readStream(stream)) if (recorded !== undefined) all.push(recorded);
  return all;
}

/** Where an append landed, as numbers. */
export function landed(result: AppendResult): { revision: number; position: number | undefined } {
  const { nextExpectedRevision, position } = result;
  return { revision: Number(nextExpectedRevision), position: position && Number(position.commit) };
}

/** What a call was refused with; a call that succeeds fails the test. */
export async function refusalOf(call: Promise<unknown>): Promise<Record<string, unknown>> {
  const outcome = await call.then(
    () => 'succeeded',
    (error: unknown) => error,
  );
  if (outcome === 'succeeded') throw new Error('the call was expected to be refused');
  return outcome as Record<string, unknown>;
}

type AnySubscription = ReturnType<KurrentDBClient['subscribeToAll']> | ReturnType<KurrentDBClient['subscribeToStream']>;

/** Takes in what a subscription brings, to be waited for. */
export class Inbox {
  readonly events: Seen[] = [];
  readonly order: string[] = [];
  error: Record<string, unknown> | undefined;

  constructor(readonly subscription: AnySubscription) {
    subscription.on('data', (resolved: ResolvedEvent) => {
      this.events.push(seen(resolved));
      this.order.push('event');
    });
    subscription.on('caughtUp', () => this.order.push('caughtUp'));
    subscription.on('confirmation', () => this.order.push('confirmation'));
    subscription.on('error', (error: Error) => {
      this.error = error as unknown as Record<string, unknown>;
    });
  }

  async holds(count: number): Promise<Seen[]> {
    await eventually(`${count} events have arrived`, () => this.events.length >= count);
    return this.events;
  }

  async caughtUp(): Promise<void> {
    await eventually('the subscription has caught up', () => this.order.includes('caughtUp'));
  }
}

const AdminClient = makeGenericClientConstructor({}, 'Admin');

/** One call with JSON in both directions; rejects with gRPC's error. */
export async function callAdmin<T>(port: number, path: string, request: object): Promise<T> {
  const client = new AdminClient(`127.0.0.1:${port}`, credentials.createInsecure());
  try {
    return await new Promise<T>((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (value: object) => Buffer.from(JSON.stringify(value)),
        (bytes: Buffer) => JSON.parse(bytes.toString('utf8')) as T,
        request,
        (error, answer) => (error === null ? resolve(answer as T) : reject(error)),
      );
    });
  } finally {
    client.close();
  }
}

export function storeStatus(port: number): Promise<StoreStatus> {
  return callAdmin(port, ADMIN_STATUS_PATH, {});
}

export function backUp(port: number, folder: string): Promise<BackupResult> {
  return callAdmin(port, ADMIN_BACKUP_PATH, { folder });
}
