import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { KeyspaceState } from '@keyledger/domain';
import { eventually } from '../support/index.js';
import { verdict, World, type Change, type IssuedKey } from './read-model.harness.js';

const KEYS = 12;

describe('a projector that has been away', () => {
  let world: World;
  let keyspace: Change<KeyspaceState>;

  beforeAll(async () => {
    world = await World.start();
    const first = world.work();
    await world.ready();
    keyspace = await world.ledger.keyspace('acme');
    await first.stop();
  });
  afterAll(() => world.stop());

  it('brings every key to its newest state, whatever batches its events fall into, also beside another one', async () => {
    const metadata = { note: 'a line\nand another – with \\n, ☃ and 🔑' };
    const keys: IssuedKey[] = [];
    for (let i = 0; i < KEYS; i++) keys.push(await world.ledger.issue(keyspace.state, { metadata }));
    const newest = new Map<string, object>();
    let position = 0n;
    for (const [index, key] of keys.entries()) {
      const rotated = await world.ledger.rotate(key.state, keyspace.state);
      const last = index % 2 === 0 ? await world.ledger.revoke(key.keyId) : rotated;
      newest.set(key.keyId, { state: last.state, revision: last.revision });
      position = last.position;
    }

    // Batches of three events: each key's fall into several, which are at work together with others'.
    world.work({ batchSize: 3 });
    world.work({ batchSize: 5 });
    await world.caughtUp(position);
    for (const [index, { keyId, hash }] of keys.entries()) {
      expect(await world.model.keyById(keyId)).toEqual(newest.get(keyId));
      expect(await verdict(world.model, hash)).toBe(index % 2 === 0 ? 'REVOKED' : 'VALID');
    }
  });

  it('has then exactly what a rebuild from the events makes', async () => {
    const before = await world.model.digest();
    const { rebuildId } = await world.model.requestRebuild();
    await eventually('the rebuild', async () => {
      return (await world.model.rebuildStatus()).lastRebuild?.rebuildId === rebuildId;
    });
    const { lastRebuild } = await world.model.rebuildStatus();
    expect(lastRebuild).toMatchObject({ equal: true, keys: KEYS, digestLive: before.digest, digestNew: before.digest });
  });
});
