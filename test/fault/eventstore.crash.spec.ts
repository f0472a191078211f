import { randomUUID } from 'node:crypto';
import { afterAll, expect, it } from '@jest/globals';
import {
  type AppendStreamState,
  type KurrentDBClient,
  NO_STREAM,
  START,
  streamNameFilter,
} from '@kurrent/kurrentdb-client';
import { collect, connect, disconnectAll, event, readBack, type Seen, seen } from '../contract/eventstore.client.js';
import { eventually, startEventStore } from '../support/index.js';

afterAll(disconnectAll);

const WRITERS = 64;
const KILLS = 4;
const ACKNOWLEDGED_BETWEEN_KILLS = 500;
const PREFIX = 'crash-';

/** Writes one event after the other to its own stream; what was not acknowledged is tried again as it was. */
class CrashWriter {
  readonly acknowledged: string[] = [];
  private stopped = false;
  private readonly work: Promise<void>;

  constructor(
    private readonly client: KurrentDBClient,
    readonly stream: string,
    private readonly onAcknowledged: () => void,
  ) {
    this.work = this.run();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.work;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const revision = this.acknowledged.length - 1;
      const streamState: AppendStreamState = revision < 0 ? NO_STREAM : BigInt(revision);
      const proposed = event(revision + 1, { id: randomUUID() });
      await eventually('the append is acknowledged', async () => {
        await this.client.appendToStream(this.stream, proposed, { streamState });
      });
      this.acknowledged.push(proposed.id);
      this.onAcknowledged();
    }
  }
}

/** Follows the streams of this test by position, from one subscription to the next. */
class Follower {
  readonly events: Seen[] = [];
  private ended = false;

  constructor(private readonly client: KurrentDBClient) {
    this.follow();
  }

  end(): void {
    this.ended = true;
  }

  private follow(): void {
    const last = this.events.at(-1);
    const fromPosition = last === undefined ? START : { commit: BigInt(last.position), prepare: BigInt(last.position) };
    const subscription = this.client.subscribeToAll({ fromPosition, filter: streamNameFilter({ prefixes: [PREFIX] }) });
    subscription.on('data', (resolved) => this.events.push(seen(resolved)));
    subscription.on('error', () => {
      if (!this.ended) setImmediate(() => this.follow());
    });
  }
}

it('kill -9 under 64 writers, again and again: nothing acknowledged is lost, nothing is twice, nothing is missing', async () => {
  const server = await startEventStore();
  const client = connect(server.url);
  const follower = new Follower(client);
  let acknowledged = 0;
  const writers = Array.from(
    { length: WRITERS },
    (_, index) => new CrashWriter(client, `${PREFIX}${index}`, () => void acknowledged++),
  );
  for (let kill = 0; kill < KILLS; kill++) {
    const enough = acknowledged + ACKNOWLEDGED_BETWEEN_KILLS;
    await eventually('the writers are busy', () => acknowledged >= enough);
    await server.kill();
    await server.start();
  }
  const enough = acknowledged + ACKNOWLEDGED_BETWEEN_KILLS;
  await eventually('the writers are busy again', () => acknowledged >= enough);
  await Promise.all(writers.map((writer) => writer.stop()));

  for (const writer of writers) {
    const stored = await readBack(client, writer.stream);
    expect(stored.map(({ id }) => id)).toEqual(writer.acknowledged);
    expect(stored.map(({ revision }) => revision)).toEqual(stored.map((_, index) => index));
  }
  const all = await collect(client.readAll());
  expect(all.map(({ position }) => position)).toEqual(all.map((_, index) => index + 1));

  const ours = all.filter(({ stream }) => stream.startsWith(PREFIX));
  expect(ours).toHaveLength(acknowledged);
  await eventually('the follower has all of them', () => follower.events.length >= ours.length);
  expect(follower.events).toEqual(ours);
  follower.end();
  await disconnectAll();
  await server.stop();
}, 180_000);
