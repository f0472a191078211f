import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type AppendStreamState, type KurrentDBClient } from '@kurrent/kurrentdb-client';
import fc from 'fast-check';
import { eventually, type EventStoreServer, startEventStore } from '../support/index.js';
import { collect, connect, disconnectAll, event, landed, readBack } from './eventstore.client.js';

/** What EventStoreDB promises of one stream, said the short way: all of its events in a list. */
class ModelStream {
  readonly ids: string[] = [];
  private readonly latest = new Map<string, number>();
  private hiddenBefore = 0;
  private hasMetadata = false;
  private deleted = false;

  append(expected: AppendStreamState, ids: readonly string[]): string {
    const last = this.ids.length - 1;
    const conflict = `conflict at ${last}`;
    if (expected === 'stream_exists' && (this.deleted || (last < 0 && !this.hasMetadata))) return conflict;
    if (expected === 'any' || expected === 'stream_exists') {
      const known = ids.map((id) => this.latest.get(id));
      if (known[0] === undefined) return this.write(ids);
      return known.includes(undefined) ? conflict : `at ${known.at(-1)}`;
    }
    const revision = expected === 'no_stream' ? -1 : Number(expected);
    if (revision > last) return conflict;
    if (revision === last) return this.write(ids);
    const same = ids.findIndex((id, index) => this.ids[revision + 1 + index] !== id);
    if (same === -1) return `at ${revision + ids.length}`;
    return same === 0 && expected === 'no_stream' && this.deleted ? this.write(ids) : conflict;
  }

  delete(): string {
    this.deleted = true;
    this.hasMetadata = true;
    return 'deleted';
  }

  visible(): string[] | undefined {
    return this.deleted || this.ids.length === 0 ? undefined : this.ids.slice(this.hiddenBefore);
  }

  private write(ids: readonly string[]): string {
    if (this.deleted) this.hiddenBefore = this.ids.length;
    this.deleted = false;
    for (const id of ids) {
      this.latest.set(id, this.ids.length);
      this.ids.push(id);
    }
    return `at ${this.ids.length - 1}`;
  }
}

type Step =
  | { kind: 'append'; stream: number; expected: AppendStreamState; events: number[] }
  | { kind: 'delete'; stream: number };

const stream = fc.nat({ max: 1 });
const expectation: fc.Arbitrary<AppendStreamState> = fc.oneof(
  fc.constantFrom<AppendStreamState>('any', 'no_stream', 'stream_exists'),
  fc.bigInt({ min: 0n, max: 6n }),
);
// Few ids, so that retries and half-repeated batches happen all the time.
const events = fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('append' as const), stream, expected: expectation, events }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), stream }) },
);

// What is only in memory has to come back from the disk.
const restartAfter = fc.oneof(
  { weight: 7, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.nat({ max: 6 }) },
);

let server: EventStoreServer;
let client: KurrentDBClient;

beforeAll(async () => {
  server = await startEventStore();
  client = connect(server.url);
}, 60_000);

afterAll(async () => {
  await disconnectAll();
  await server.stop();
});

async function restart(): Promise<void> {
  await server.restart();
  await eventually('the client is connected again', async () => {
    await client.appendToStream('restarted', event(0));
    await collect(client.readAll({ maxCount: 1 }));
  });
}

async function attempt(name: string, one: Step, ids: readonly string[]): Promise<string> {
  try {
    if (one.kind === 'delete') {
      await client.deleteStream(name);
      return 'deleted';
    }
    const proposed = one.events.map((index) => event(index, { id: ids[index] as ReturnType<typeof randomUUID> }));
    const result = await client.appendToStream(name, proposed, { streamState: one.expected });
    return `at ${landed(result).revision}`;
  } catch (error) {
    const { type, actualState } = error as { type?: string; actualState?: unknown };
    if (type !== 'wrong-expected-version') throw error;
    return `conflict at ${actualState === 'no_stream' ? -1 : Number(actualState)}`;
  }
}

async function visibleIds(name: string): Promise<string[] | undefined> {
  try {
    return (await readBack(client, name)).map(({ id }) => id);
  } catch (error) {
    if ((error as { type?: string }).type !== 'stream-not-found') throw error;
    return undefined;
  }
}

it('the store answers any sequence of appends, retries and deletes as a list of events would', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), restartAfter, async (steps, restartAt) => {
      const names = [randomUUID(), randomUUID()].map((suffix) => `model-${suffix}`);
      const ids = Array.from({ length: 6 }, () => randomUUID());
      const models = names.map(() => new ModelStream());
      for (const [index, one] of steps.entries()) {
        const model = models[one.stream]!;
        const expected =
          one.kind === 'delete'
            ? model.delete()
            : model.append(
                one.expected,
                one.events.map((at) => ids[at] ?? ''),
              );
        expect(await attempt(names[one.stream] ?? '', one, ids)).toBe(expected);
        if (restartAt === index) await restart();
      }
      for (const [index, name] of names.entries()) expect(await visibleIds(name)).toEqual(models[index]!.visible());
    }),
    { numRuns: 80 },
  );
  const positions = (await collect(client.readAll())).map(({ position }) => position);
  expect(positions).toEqual(positions.map((_, index) => index + 1));
}, 120_000);
