import { redisNames, redisTagOf, type SecretNamespace } from '@keyledger/contracts';
import type { KeyState, KeyspaceState } from '@keyledger/domain';
import type { StandingKey } from './handed-over.js';
import { KeptRecords, type KeyRead } from './kept-records.js';
import type { RedisLink } from './link.js';
import { Reads } from './reads.js';
import { decodePointer, decodeRecord, decodeState, type Projected, type SecretRef } from './records.js';
import { ReadModelUnavailable } from './unavailable.js';
import type { ViewKeeper } from './view.js';

const ATTEMPTS = 3;

/** Reads of single keys and keyspaces. Each says "none" only if the model was whole where the answer came from. */
export class Lookups {
  private readonly reads: Reads;
  private readonly kept = new KeptRecords();

  constructor(
    private readonly link: RedisLink,
    private readonly keeper: ViewKeeper,
  ) {
    this.reads = new Reads(link.client);
  }

  /** The key that has this secret: one read where there is one, one more to be sure that there is none. */
  async byHash(hash: string, namespace: SecretNamespace): Promise<KeyRead | undefined> {
    const tag = hash.charAt(0);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const generation = this.freshGeneration() ?? (await this.liveGeneration());
      let text = await this.recordOf(generation, { namespace, hash });
      text ??= await this.unlessGone(
        redisNames.record(generation, namespace, hash),
        redisNames.marker(generation, tag),
      );
      if (!this.counts(generation, tag)) continue;
      if (text === null) return undefined;
      const found = this.kept.decode(hash, text);
      return 'state' in found ? found : this.byId(found.retiredOf);
    }
    throw new ReadModelUnavailable('stale');
  }

  async byId(keyId: string): Promise<Projected<KeyState> | undefined> {
    const tag = redisTagOf(keyId);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const generation = await this.liveGeneration();
      const pointer = await this.unlessGone(redisNames.pointer(generation, keyId), redisNames.marker(generation, tag));
      if (!this.counts(generation, tag)) continue;
      if (pointer === null) return undefined;
      const [current] = decodePointer(pointer).secrets;
      const text = current && (await this.recordOf(generation, current));
      if (typeof text !== 'string' || !this.counts(generation, current?.hash.charAt(0) ?? '')) continue;
      const found = decodeRecord(text);
      // Rotated away since the pointer was read; the next pointer tells where to.
      if ('state' in found) return found;
    }
    throw new ReadModelUnavailable('missing');
  }

  private recordOf(generation: string, { namespace, hash }: SecretRef): Promise<string | null> {
    return this.reads.get({ name: redisNames.record(generation, namespace, hash), generation, tag: hash.charAt(0) });
  }

  /** What stands there for these keys now; `undefined` for one that is not, or not wholly. @throws ReadModelUnavailable */
  async recordsOf(generation: string, keyIds: readonly string[]): Promise<(StandingKey | undefined)[]> {
    const readAt = performance.now();
    const pointers = (await this.link.batch(
      keyIds.map((keyId) => ({ call: 'get', key: redisNames.pointer(generation, keyId) })),
    )) as (string | null)[];
    const currents = pointers.map((pointer) => decodePointer(pointer).secrets[0]);
    const reads = currents.flatMap((current) => {
      return current ? [{ call: 'get', key: redisNames.record(generation, current.namespace, current.hash) }] : [];
    });
    const texts = (await this.link.batch(reads)).values();
    return currents.map((current, index) => {
      const text = current && (texts.next().value as string | null);
      const found = typeof text === 'string' ? decodeRecord(text) : undefined;
      if (!found || !('state' in found) || found.state.keyId !== keyIds[index]) return undefined;
      return { ...found, generation, pointer: pointers[index] ?? '', readAt };
    });
  }

  async keyspace(keyspaceId: string): Promise<Projected<KeyspaceState> | undefined> {
    const tag = redisTagOf(keyspaceId);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const generation = await this.liveGeneration();
      const text = await this.unlessGone(
        redisNames.keyspace(generation, keyspaceId),
        redisNames.marker(generation, tag),
      );
      if (this.counts(generation, tag)) return text === null ? undefined : decodeState<KeyspaceState>(text);
    }
    throw new ReadModelUnavailable('stale');
  }

  /** The generation to ask, if its answers count at all. @throws ReadModelUnavailable */
  async liveGeneration(): Promise<string> {
    let view = this.keeper.view();
    if (!view.fresh) view = await this.keeper.renewed();
    if (!view.fresh || view.generation === undefined) throw new ReadModelUnavailable(view.reason ?? 'missing');
    return view.generation;
  }

  /**
   * Whether an answer that just came counts: its generation is still the live one, and the server that answered has not
   * been started anew since a projector vouched for it. On a Redis whose tail was lost a record may be an old one.
   */
  counts(generation: string, tag: string): boolean {
    const view = this.keeper.view();
    if (!view.fresh || view.generation !== generation) return false;
    if (this.keeper.trusts(tag)) return true;
    throw new ReadModelUnavailable('stale');
  }

  /** The generation to ask, where that is known without waiting, as it nearly always is. */
  private freshGeneration(): string | undefined {
    const view = this.keeper.view();
    return view.fresh ? view.generation : undefined;
  }

  /** A record, or `null` if there is none and the marker beside it says that this means something. */
  private async unlessGone(name: string, marker: string): Promise<string | null> {
    const [text, present] = await this.link.client.mget(name, marker).catch((error: unknown) => {
      throw new ReadModelUnavailable('unreachable', error);
    });
    if (text === null || text === undefined) {
      if (present === null || present === undefined) throw new ReadModelUnavailable('missing');
      return null;
    }
    return text;
  }
}
