import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { redisNames } from '@keyledger/contracts';
import type { KeyspaceState, KeyState } from '@keyledger/domain';
import { ReadModel, type Projected, type RedisClient } from '@keyledger/read-model';
import { startRedisCluster, type RedisTopology } from '../support/index.js';
import { verdict, World, type Change, type IssuedKey } from './read-model.harness.js';

/** More than a key remembers of its retired secrets, so that the first one is forgotten. */
const ROTATIONS = 7;
/** A writer that is held up for this long may no longer believe what it has read. */
const TOO_LATE_MS = 11_000;

let world: World;
let keyspace: KeyspaceState;
let cluster: RedisTopology | undefined;

// On one server a new key is written in one step, on a Cluster in several.
describe.each(['one server', 'a Cluster'])('on %s', (redis) => {
  beforeAll(async () => {
    cluster = redis === 'a Cluster' ? await startRedisCluster() : undefined;
    world = await World.start(cluster?.url);
    const projector = world.work();
    await world.ready();
    keyspace = (await world.ledger.keyspace('acme')).state;
    // From here on nobody writes but the writers of these tests.
    await projector.stop();
  });
  afterAll(async () => {
    await world.stop();
    await cluster?.stop();
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it.each(['before anything is written', 'before the pointer is written'] as const)(
    'a state that another writer has overtaken %s does not come back',
    async (moment) => {
      const { first, last } = await rotatedKey();
      await applyHeldUp(first, moment, () => world.apply(last));
      expect(await world.model.keyById(first.keyId)).toEqual({ state: last.state, revision: last.revision });
      expect(await verdict(world.model, first.hash)).not.toBe('VALID');
      expect(await verdict(world.model, last.state.secrets[0]?.hash ?? '')).toBe('VALID');
    },
  );

  it.each(['before anything is written', 'before the pointer is written'] as const)(
    'a secret that another writer brings in %s does not outlive the rotations that this one knows of',
    async (moment) => {
      const { first, last } = await rotatedKey();
      await applyHeldUp(last, moment, async () => {
        await world.apply(first);
        expect(await verdict(world.model, first.hash)).toBe('VALID');
      });
      expect(await world.model.keyById(first.keyId)).toEqual({ state: last.state, revision: last.revision });
      expect(await verdict(world.model, first.hash)).not.toBe('VALID');
    },
  );

  it('one of two that write the same new key at once finds all as it would have written it', async () => {
    const key = await world.ledger.issue(keyspace);
    await applyHeldUp(key, 'before anything is written', () => world.apply(key));
    expect(await world.model.keyById(key.keyId)).toEqual({ state: key.state, revision: key.revision });
    expect(await verdict(world.model, key.hash)).toBe('VALID');
  });

  it('a key of which a writer that died has left records and no pointer is written whole', async () => {
    const key = await world.ledger.issue(keyspace);
    const { generation = '' } = await world.model.projectionStatus();
    await world.apply(key);
    await world.client.del(redisNames.pointer(generation, key.keyId));
    expect(await world.model.keyById(key.keyId)).toBeUndefined();
    await world.apply(key);
    expect(await world.model.keyById(key.keyId)).toEqual({ state: key.state, revision: key.revision });
    expect(await verdict(world.model, key.hash)).toBe('VALID');
  });

  it('a writer that was held up for so long that traces of a secret may be gone reads again before it writes', async () => {
    const { first, last } = await rotatedKey();
    const generation = (await world.model.projectionStatus()).generation ?? '';
    const record = redisNames.record(generation, 'issued', first.hash);
    const clock = performance.now.bind(performance);
    await applyHeldUp(first, 'after the pointer was read', async () => {
      await world.apply(last);
      // As when an hour has gone by.
      await world.client.del(record);
      jest.spyOn(performance, 'now').mockImplementation(() => clock() + TOO_LATE_MS);
    });
    expect(await world.client.exists(record)).toBe(0);
    expect(await world.model.keyById(first.keyId)).toEqual({ state: last.state, revision: last.revision });
  });
});

type Moment = 'after the pointer was read' | 'before anything is written' | 'before the pointer is written';

/** A key that was issued, and the same key after so many rotations that it has forgotten its first secret. */
async function rotatedKey(): Promise<{ first: IssuedKey; last: Change<KeyState> }> {
  const first = await world.ledger.issue(keyspace);
  let last: Change<KeyState> = first;
  for (let i = 0; i < ROTATIONS; i++) last = await world.ledger.rotate(last.state, keyspace, 0);
  return { first, last };
}

/** Writes with a connection of its own, whose commands go to Redis as they are, but are held up once while something else happens. */
async function applyHeldUp(change: Projected<KeyState>, moment: Moment, meanwhile: () => Promise<void>): Promise<void> {
  const client = world.connect();
  const writer = new ReadModel(client);
  await writer.start();
  const held = holdUp(client, moment, meanwhile);
  await writer.applyKey(change.state, change.revision);
  writer.stop();
  expect(held.count).toBeGreaterThan(0);
}

function holdUp(client: RedisClient, moment: Moment, meanwhile: () => Promise<void>): { count: number } {
  const held = { count: 0 };
  const pipeline = client.pipeline.bind(client);
  jest.spyOn(client, 'pipeline').mockImplementation((...args) => {
    const made = pipeline(...args) as ReturnType<typeof pipeline> & {
      sendCommand: (command: { name: string; args: unknown[] }) => unknown;
    };
    const sendCommand = made.sendCommand.bind(made);
    const exec = made.exec.bind(made);
    let isIts = false;
    made.sendCommand = (command) => {
      const isPointer = String(command.args.at(-1)).includes(':k:');
      const isWrite = command.name !== 'mget';
      if (moment === 'after the pointer was read') isIts ||= isPointer && !isWrite;
      else isIts ||= isWrite && (isPointer || moment === 'before anything is written');
      return sendCommand(command);
    };
    made.exec = async () => {
      const first = isIts && held.count++ === 0;
      if (first && moment.startsWith('before')) await meanwhile();
      const results = await exec();
      if (first && moment.startsWith('after')) await meanwhile();
      return results;
    };
    return made;
  });
  return held;
}
