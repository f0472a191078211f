import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { PROJECTION_VERSION } from '@keyledger/read-model';
import { redisNames } from '@keyledger/contracts';
import { eventually } from '../support/index.js';
import { verdict, World, type IssuedKey, type RunningProjector } from './read-model.harness.js';

let world: World;
let worker: RunningProjector;
let key: IssuedKey;

beforeAll(async () => {
  world = await World.start();
  worker = world.work();
  await world.ready();
  const keyspace = await world.ledger.keyspace('acme');
  key = await world.ledger.issue(keyspace.state);
  await world.caughtUp(key.position);
});
afterAll(() => world.stop());

/** What a worker finds that is not of the same build as the one which made the live generation. */
const madeBy = async (version: number): Promise<string> => {
  await worker.stop();
  await world.client.hset(redisNames.meta, 'version', String(version));
  return (await world.model.projectionStatus()).generation ?? '';
};

it('a worker with a newer projection builds a generation by itself, while keys are verified', async () => {
  const before = await madeBy(PROJECTION_VERSION - 1);
  worker = world.work();
  await eventually('the generation of the new projection is live', async () => {
    expect(await verdict(world.model, key.hash)).toBe('VALID');
    const { generation, rebuild } = await world.model.projectionStatus();
    return generation !== before && rebuild.lastRebuild?.cause === 'version';
  });
  expect(await verdict(world.model, key.hash)).toBe('VALID');
});

it('a worker with an older projection leaves a newer generation as it is, and says why', async () => {
  const before = await madeBy(PROJECTION_VERSION + 1);
  worker = world.work();
  await eventually('the worker says why it does not work', () => {
    expect(worker.projector.state().lastError).toContain('newer than ours');
  });
  expect((await world.model.projectionStatus()).generation).toBe(before);
});
