import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { KeyspaceState } from '@keyledger/domain';
import { ReadModelUnavailable } from '@keyledger/read-model';
import { eventually } from '../support/index.js';
import { newSecret, sha256, verdict, World, type Change } from './read-model.harness.js';

describe('the read model in Redis', () => {
  let world: World;
  let keyspace: Change<KeyspaceState>;

  beforeAll(async () => {
    world = await World.start();
    world.work();
    await world.ready();
    keyspace = await world.ledger.keyspace('acme');
    await world.model.applyKeyspace(keyspace.state, keyspace.revision);
  });
  afterAll(() => world.stop());

  it('shows a change to every reader as soon as it was applied', async () => {
    const other = world.reader();
    await other.start();
    const key = await world.ledger.issue(keyspace.state);
    await world.apply(key);
    expect(await verdict(other, key.hash)).toBe('VALID');
    expect(await other.keyById(key.keyId)).toEqual({ state: key.state, revision: 0 });
    const suspended = await world.ledger.suspend(key.keyId);
    await world.apply(suspended);
    expect(await verdict(other, key.hash)).toBe('SUSPENDED');
    await world.apply(await world.ledger.revoke(key.keyId));
    expect(await verdict(other, key.hash)).toBe('REVOKED');
  });

  it('shows a change that nobody applied once the projector has come to it', async () => {
    const key = await world.ledger.issue(keyspace.state);
    await world.caughtUp(key.position);
    expect(await verdict(world.model, key.hash)).toBe('VALID');
  });

  it('knows the current secret, the one in its grace, and for a while those that are over', async () => {
    const key = await world.ledger.issue(keyspace.state);
    await world.apply(key);
    const second = await world.ledger.rotate(key.state, keyspace.state);
    await world.apply(second);
    const hashes = second.state.secrets.map(({ hash }) => hash);
    expect(hashes).toHaveLength(2);
    for (const hash of hashes) expect(await verdict(world.model, hash)).toBe('VALID');
    const third = await world.ledger.rotate(second.state, keyspace.state);
    await world.apply(third);
    expect(await verdict(world.model, key.hash)).toBe('EXPIRED');
    await world.apply(await world.ledger.revoke(key.keyId));
    expect(await verdict(world.model, key.hash)).toBe('REVOKED');
  });

  it('believes no record of a generation that is gone, as a late writer may leave one in an emptied Redis', async () => {
    const key = await world.ledger.issue(keyspace.state);
    await world.apply(key);
    const { generation } = world.model.view();
    const name = `kl:${generation}:v:{${key.hash.charAt(0)}}${key.hash.slice(1)}`;
    const text = await world.client.get(name);
    await world.client.multi().flushall().set(name, String(text)).exec();
    await expect(verdict(world.model, key.hash)).rejects.toThrow(ReadModelUnavailable);
    await eventually('it is told by a new one', async () => {
      expect(await verdict(world.model, key.hash)).toBe('VALID');
      expect(world.model.view().generation).not.toBe(generation);
    });
  });

  it('says that there is no such key only with the marker beside it', async () => {
    const { hash } = newSecret('acme', 'live');
    expect(await world.model.findByHash(hash, 'issued')).toBeUndefined();
    const { generation } = world.model.view();
    await world.client.del(`kl:${generation}:m:{${hash.charAt(0)}}`);
    await expect(world.model.findByHash(hash, 'issued')).rejects.toThrow(ReadModelUnavailable);
    await eventually('the projector has built a whole generation', () => {
      const view = world.model.view();
      return view.fresh && view.generation !== generation;
    });
    expect(await world.model.findByHash(hash, 'issued')).toBeUndefined();
  });

  it('lets every reader know of imported keys before the first of them is acknowledged', async () => {
    const other = world.reader();
    await other.start();
    expect(other.view().holdsImported).toBe(false);
    const key = await world.ledger.import(keyspace.state, sha256('legacy-key-0123456789'));
    await world.apply(key);
    expect(other.view().holdsImported).toBe(true);
    expect(await verdict(other, key.hash, 'imported')).toBe('VALID');
    expect(await other.findByHash(key.hash, 'issued')).toBeUndefined();
  });
});
