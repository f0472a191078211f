import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { redisNames } from '@keyledger/contracts';
import type { KeyspaceState, KeyState } from '@keyledger/domain';
import type { Redis } from 'ioredis';
import { once } from 'node:events';
import { eventually } from '../support/index.js';
import { verdict, World, type Change, type IssuedKey } from './read-model.harness.js';

const KEYS = 12;
/** More than a key remembers of its retired secrets. */
const ROTATIONS = 7;

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
    const { rebuildId } = await world.model.requestRebuild();
    await eventually('the rebuild', async () => {
      return (await world.model.projectionStatus()).rebuild.lastRebuild?.rebuildId === rebuildId;
    });
    const { lastRebuild } = (await world.model.projectionStatus()).rebuild;
    expect(lastRebuild).toMatchObject({ equal: true, keys: KEYS, digestNew: lastRebuild?.digestLive });
  });

  it('that takes keys for new because those before them were, writes none of their secrets that are over', async () => {
    await world.rest();
    const unknown: IssuedKey[] = [];
    const known: IssuedKey[] = [];
    for (let i = 0; i < KEYS; i++) unknown.push(await world.ledger.issue(keyspace.state));
    for (let i = 0; i < KEYS; i++) known.push(await world.ledger.issue(keyspace.state));
    const newest: Change<KeyState>[] = [];
    for (const key of known) {
      let last: Change<KeyState> = key;
      // So often that the first secret is forgotten.
      for (let n = 0; n < ROTATIONS; n++) last = await world.ledger.rotate(last.state, keyspace.state, 0);
      newest.push(last);
      await world.apply(last);
    }
    const { generation = '' } = await world.model.projectionStatus();
    const over = known.map(({ hash }) => redisNames.record(generation, 'issued', hash));
    const seen = await writesOf(over);

    world.work({ batchSize: KEYS });
    await world.caughtUp((newest.at(-1) as Change<KeyState>).position);
    for (const { keyId, hash } of unknown) {
      expect((await world.model.keyById(keyId))?.revision).toBe(0);
      expect(await verdict(world.model, hash)).toBe('VALID');
    }
    for (const [index, { keyId, hash }] of known.entries()) {
      const { state, revision } = newest[index] as Change<KeyState>;
      expect(await world.model.keyById(keyId)).toEqual({ state, revision });
      expect(await verdict(world.model, hash)).toBe('NOT_FOUND');
      expect(await verdict(world.model, state.secrets[0]?.hash ?? '')).toBe('VALID');
    }
    expect(await seen()).toEqual([]);
  });

  /** Everything that Redis does to these keys from now on, once all of it is known. */
  async function writesOf(keys: readonly string[]): Promise<() => Promise<string[]>> {
    const connected = async (): Promise<Redis> => {
      const client = world.connect() as Redis;
      await once(client, 'ready');
      return client;
    };
    const [watcher, writer] = [await connected(), await connected()];
    await writer.config('SET', 'notify-keyspace-events', 'KEA');
    const seen: string[] = [];
    await watcher.psubscribe('__keyspace@0__:*');
    let ended: () => void = () => undefined;
    watcher.on('pmessage', (_, channel: string, what: string) => {
      const key = channel.slice(channel.indexOf(':') + 1);
      if (key === 'the end') ended();
      if (keys.includes(key)) seen.push(`${what} ${key}`);
    });
    return async () => {
      const end = new Promise<void>((resolve) => (ended = resolve));
      await writer.set('the end', '');
      await end;
      return seen;
    };
  }
});
