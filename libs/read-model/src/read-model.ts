import { redisNames, type SecretNamespace } from '@keyledger/contracts';
import type { KeyState, KeyspaceState } from '@keyledger/domain';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisClient } from './connect.js';
import type { StandingKey } from './handed-over.js';
import type { KeyRead } from './kept-records.js';
import { RedisLink } from './link.js';
import { Listing, type KeyQuery, type KeyspaceQuery, type Page } from './listing.js';
import { Lookups } from './lookups.js';
import { positionText, readMeta, writableGenerations } from './meta.js';
import { PROJECTION_VERSION } from './projection.js';
import type { Projected } from './records.js';
import { raisePosition } from './scripts.js';
import { statusOf, type ProjectionStatus } from './status.js';
import { ReadModelUnavailable } from './unavailable.js';
import { VIEW_MAX_AGE_MS, ViewKeeper, type ReadModelView } from './view.js';
import { writeKeys, writeKeyspaces } from './writes.js';

export interface ReadModelOptions {
  /** How old the model may be. Default 300. */
  maxStalenessSeconds?: number;
}

/**
 * Keys and keyspaces as their events made them, in Redis. Everything here can be deleted and comes back; until then, and
 * whenever it cannot be said that an answer is current, the answer is ReadModelUnavailable.
 */
export class ReadModel {
  private readonly link: RedisLink;
  private readonly keeper: ViewKeeper;
  private readonly lookups: Lookups;
  private readonly listing: Listing;

  /** @param redis from `connectRedis`; it stays the caller's to close. */
  constructor(redis: RedisClient, options: ReadModelOptions = {}) {
    this.link = RedisLink.of(redis);
    this.keeper = new ViewKeeper(this.link, (options.maxStalenessSeconds ?? 300) * 1000);
    this.lookups = new Lookups(this.link, this.keeper);
    this.listing = new Listing(this.link, this.lookups);
  }

  /** Begins to watch the model. Resolves after the first look at it, or after two seconds without one. */
  start(): Promise<void> {
    return this.keeper.start();
  }

  stop(): void {
    this.keeper.stop();
  }

  /** What is known of the model now, without asking. At most a second old, or not fresh. */
  view(): ReadModelView {
    return this.keeper.view();
  }

  /**
   * Brings a key to the state that a command has just decided, so that whoever asks after this sees it. To be called
   * after the append: the generations to write are read here, and the event is then in all that become live later.
   * Older states than what stands there do nothing.
   * @throws ReadModelUnavailable if it cannot be said that all is written; the projector will write it.
   */
  applyKey(state: KeyState, revision: number): Promise<void> {
    return this.applyKeys([{ state, revision }]);
  }

  /** Likewise for many. */
  async applyKeys(keys: readonly Projected<KeyState>[]): Promise<void> {
    const imported = keys.some(({ state }) => state.secrets.some((secret) => secret.imported));
    const generations = await this.writable(imported);
    await Promise.all(generations.map((generation) => writeKeys(this.link, generation, keys)));
  }

  /** Likewise for a keyspace. */
  async applyKeyspace(state: KeyspaceState, revision: number): Promise<void> {
    const generations = await this.writable(false);
    await Promise.all(generations.map((generation) => writeKeyspaces(this.link, generation, [{ state, revision }])));
  }

  /**
   * Says how far decisions have come in the log. A projector that is cut off from the log knows from this that it is behind.
   * @throws ReadModelUnavailable
   */
  async noteDecided(position: bigint): Promise<void> {
    const args = ['decided', positionText(position)];
    await this.link.batch([{ call: raisePosition, key: redisNames.meta, args }]);
  }

  /**
   * The key that has a secret with this hash, whether it is current, in its grace or over.
   * @throws ReadModelUnavailable whenever "none" or an old state would be a guess.
   */
  findByHash(hash: string, namespace: SecretNamespace): Promise<KeyRead | undefined> {
    return this.lookups.byHash(hash, namespace);
  }

  /** @throws ReadModelUnavailable */
  keyById(keyId: string): Promise<Projected<KeyState> | undefined> {
    return this.lookups.byId(keyId);
  }

  /**
   * Keys as a command may be decided on: folded by this very build, however far. `undefined` where that cannot be said,
   * for whatever reason; then their events are to be read. Whoever appends behind the revision of one hears if it was old.
   */
  async foldedKeys(keyIds: readonly string[]): Promise<(StandingKey | undefined)[]> {
    const { fresh, generation, version } = this.keeper.view();
    if (!fresh || generation === undefined || version !== PROJECTION_VERSION) return keyIds.map(() => undefined);
    return this.lookups.recordsOf(generation, keyIds).catch(() => keyIds.map(() => undefined));
  }

  /** @throws ReadModelUnavailable */
  keyspace(keyspaceId: string): Promise<Projected<KeyspaceState> | undefined> {
    return this.lookups.keyspace(keyspaceId);
  }

  /** @throws BadCursor, ReadModelUnavailable */
  listKeys(query: KeyQuery): Promise<Page<KeyState>> {
    return this.listing.keys(query);
  }

  /** @throws BadCursor, ReadModelUnavailable */
  listKeyspaces(query: KeyspaceQuery): Promise<Page<KeyspaceState>> {
    return this.listing.keyspaces(query);
  }

  /**
   * Asks the workers for a new generation. A request that waits already, or is being carried out, is the answer to this
   * one too. It waits in Redis for as long as no worker runs.
   */
  async requestRebuild(): Promise<{ rebuildId: string }> {
    const asked = { rebuildId: randomUUID(), requestedAt: new Date().toISOString() };
    const key = redisNames.meta;
    await this.link.batch([{ call: 'hsetnx', key, args: ['request', JSON.stringify(asked)] }]);
    const { request } = await readMeta(this.link);
    return { rebuildId: request?.rebuildId ?? asked.rebuildId };
  }

  /** @throws ReadModelUnavailable if Redis cannot be reached. */
  projectionStatus(): Promise<ProjectionStatus> {
    return statusOf(this.link);
  }

  private async writable(imported: boolean): Promise<string[]> {
    const meta = await readMeta(this.link);
    const generations = writableGenerations(meta, PROJECTION_VERSION);
    if (generations.length === 0) throw new ReadModelUnavailable(meta.building ? 'rebuilding' : 'missing');
    if (imported) {
      if (!meta.holdsImported) {
        await this.link.batch([{ call: 'hset', key: redisNames.meta, args: ['imported', '1'] }]);
      }
      // Until every reader has heard that there are imported keys it would not look for one. The projector may have said
      // so a moment ago, so what counts is since when this process knows it.
      await sleep(Math.max(0, this.keeper.importedSince() + VIEW_MAX_AGE_MS - performance.now()));
    }
    return generations;
  }
}
