import { SYSTEM_KEYSPACE } from '@keyledger/contracts';
import { judge, type JudgeRequest, type KeyState } from '@keyledger/domain';
import type { Clock, CredentialCheck, KeyDigests, PresentedFrom, Principal } from '@keyledger/platform';
import { ReadModelUnavailable } from '@keyledger/read-model';
import { sightingOf } from './decoys.js';
import { findKey, type FoundKey, type KeyRecords } from './find-key.js';
import type { Witnesses } from './witnesses.js';

/** How long the verify route may go on with what it read about its caller. */
const KEPT_MS = 1000;
const CALLERS_KEPT = 1000;
const KEY_IDS_REMEMBERED = 1000;

interface Kept {
  found: FoundKey;
  principal: Principal;
  readAtMs: number;
}

/**
 * Management credentials: keys of the keyspace `system`, judged like any other, by where they come from too.
 *
 * When Redis cannot be asked, a credential that was good here before is judged by `loadKey`, which the api gives: the
 * key as its events make it. So a key can be revoked while Redis is down. Without `loadKey`, or for a credential that
 * this process never saw, the answer stays "cannot tell".
 */
export class Credentials implements CredentialCheck {
  private readonly kept = new Map<string, Kept>();
  private readonly keyIds = new Map<string, string>();
  private readonly nowMs: () => number;

  constructor(
    private readonly records: KeyRecords,
    private readonly digests: KeyDigests,
    private readonly clock: Clock,
    private readonly around: Witnesses & {
      loadKey?: (keyId: string) => Promise<KeyState | undefined>;
      nowMs?: () => number;
    } = {},
  ) {
    this.nowMs = around.nowMs ?? (() => performance.now());
  }

  /** @throws ReadModelUnavailable, or what `loadKey` throws */
  async check(presented: string, from: PresentedFrom = {}): Promise<Principal | undefined> {
    const found = await this.look(presented);
    const principal = found && this.judged(found, from);
    if (principal && this.around.loadKey)
      remember(this.keyIds, this.digests.sha256(presented), principal.keyId, KEY_IDS_REMEMBERED);
    return principal;
  }

  /**
   * As `check`, by what was read about this credential at most a second ago: for the verify route, whose caller would
   * otherwise double its reads. Answers at once where it can, and with the same object for as long as it goes by the same
   * read. Refused credentials are not kept, so that a new one works at once.
   */
  checkRecent(presented: string, from: PresentedFrom = {}): Principal | undefined | Promise<Principal | undefined> {
    const kept = this.kept.get(presented);
    if (!kept || this.nowMs() - kept.readAtMs >= KEPT_MS) return this.readAgain(presented, from);
    return this.isGood(kept.found, from) ? kept.principal : undefined;
  }

  private async readAgain(presented: string, from: PresentedFrom): Promise<Principal | undefined> {
    const readAtMs = this.nowMs();
    const found = await findKey(this.records, this.digests, presented);
    const principal = found && this.judged(found, from);
    if (found && principal) this.keep(presented, { found, principal, readAtMs });
    else this.kept.delete(presented);
    return principal;
  }

  /** By the credential itself, to spare its hash on every request; so everything is forgotten within the second. */
  private keep(presented: string, kept: Kept): void {
    if (this.kept.size === 0) setTimeout(() => this.kept.clear(), KEPT_MS).unref();
    remember(this.kept, presented, kept, CALLERS_KEPT);
  }

  private async look(presented: string): Promise<FoundKey | undefined> {
    try {
      return await findKey(this.records, this.digests, presented);
    } catch (error) {
      const keyId = this.keyIds.get(this.digests.sha256(presented));
      if (!(error instanceof ReadModelUnavailable) || keyId === undefined || !this.around.loadKey) throw error;
      const state = await this.around.loadKey(keyId);
      return state && { key: { state, revision: -1 }, hashes: this.digests.candidates(presented) };
    }
  }

  private judged(found: FoundKey, from: PresentedFrom): Principal | undefined {
    if (found.key.state.decoy) this.around.onDecoy?.(sightingOf(found, this.clock(), { clientIp: from.clientIp }));
    if (!this.isGood(found, from)) return undefined;
    const { keyId, scopes, owner } = found.key.state;
    return { keyId, scopes, owner };
  }

  private isGood({ key: { state }, hashes }: FoundKey, { clientIp, origin }: PresentedFrom): boolean {
    const asked: JudgeRequest = { keyspaceId: SYSTEM_KEYSPACE };
    if (clientIp !== undefined) asked.clientIp = clientIp;
    if (origin !== undefined) asked.origin = origin;
    const now = this.clock();
    const { code, secret } = judge(state, hashes, asked, now);
    if (code !== 'VALID') return false;
    if (secret) this.around.meter?.used(state.keyId, secret.secretId, now);
    return true;
  }
}

/** Keeps the newest; a map gives its entries in the order in which they came. */
function remember<V>(map: Map<string, V>, name: string, value: V, most: number): void {
  map.delete(name);
  map.set(name, value);
  const [oldest] = map.size > most ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
}
