import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { KeyspaceState, KeyState } from '@keyledger/domain';
import { HandedOver, type LedgerSource, type StandingKey } from '@keyledger/read-model';
import { verdict, World, type Change, type IssuedKey } from './read-model.harness.js';

let world: World;
let keyspace: KeyspaceState;
const handedOver = new HandedOver();
let open: () => void = () => undefined;
let gate = Promise.resolve();

/** The store, whose news wait while the gate is closed. */
function gated(store: LedgerSource): LedgerSource {
  return {
    load: (stream) => store.load(stream),
    head: () => store.head(),
    storedAt: (position, prefixes) => store.storedAt(position, prefixes),
    async *subscribe(options) {
      for await (const batch of store.subscribe(options)) {
        await gate;
        yield batch;
      }
    },
  };
}

beforeAll(async () => {
  world = await World.start();
  world.work({ store: gated(world.ledger.store), handedOver });
  await world.ready();
  const created = await world.ledger.keyspace('acme');
  keyspace = created.state;
  await world.caughtUp(created.position);
});
afterAll(() => world.stop());

interface Case {
  key: IssuedKey;
  before: StandingKey;
  after: Change<KeyState>;
}

/** A key that was suspended, of which the projector has not heard yet. */
async function suspended(): Promise<Case> {
  const key = await world.ledger.issue(keyspace);
  await world.caughtUp(key.position);
  const [before] = await world.model.foldedKeys([key.keyId]);
  gate = new Promise((resolve) => (open = resolve));
  const after = await world.ledger.suspend(key.keyId);
  return { key, before: before as StandingKey, after };
}

/** As nobody would fold it, so that it can be told from what the events say. */
const marked = (state: KeyState): KeyState => ({ ...state, name: 'handed over' });

describe('what a process has decided itself', () => {
  it('is written by its projector as it was handed over', async () => {
    const { key, before, after } = await suspended();
    handedOver.put({ state: marked(after.state), revision: after.revision, before });
    open();
    await world.caughtUp(after.position);
    expect(await world.model.keyById(key.keyId)).toEqual({ state: marked(after.state), revision: after.revision });
    expect(await verdict(world.model, key.hash)).toBe('SUSPENDED');
  });

  it.each([
    ['of another revision', ({ before, after }: Case) => ({ before, revision: after.revision + 1 })],
    [
      'read in another generation',
      ({ before, after }: Case) => {
        return { before: { ...before, generation: 'another00' }, revision: after.revision };
      },
    ],
    [
      'read before an event that did not come from here',
      ({ before, after }: Case) => {
        return { before: { ...before, revision: before.revision - 1 }, revision: after.revision };
      },
    ],
  ])('is not believed where it is %s', async (_, asHandedOver) => {
    const one = await suspended();
    const { key, after } = one;
    handedOver.put({ state: marked(after.state), ...asHandedOver(one) });
    open();
    await world.caughtUp(after.position);
    expect(await world.model.keyById(key.keyId)).toEqual({ state: after.state, revision: after.revision });
  });

  it('is written behind what another writer brought meanwhile, not over it', async () => {
    const { key, before, after } = await suspended();
    const last = await world.ledger.reinstate(key.keyId);
    await world.apply(last);
    handedOver.put({ state: after.state, revision: after.revision, before });
    open();
    await world.caughtUp(last.position);
    expect(await world.model.keyById(key.keyId)).toEqual({ state: last.state, revision: last.revision });
    expect(await verdict(world.model, key.hash)).toBe('VALID');
  });
});
