import { SYSTEM_KEYSPACE } from '@keyledger/contracts';
import { judge, type KeyState } from '@keyledger/domain';
import type { Clock, CredentialCheck, KeyDigests, PresentedFrom, Principal } from '@keyledger/platform';
import { ReadModelUnavailable } from '@keyledger/read-model';
import { findKey, type FoundKey, type KeyRecords } from './find-key.js';
import type { UsageMeter } from './usage-meter.js';

/** How long the verify route may go on with what it read about its caller. */
const KEPT_MS = 1000;
const CALLERS_KEPT = 1000;
const KEY_IDS_REMEMBERED = 1000;

interface Kept {
  found: FoundKey;
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

  constructor(
    private readonly records: KeyRecords,
    private readonly digests: KeyDigests,
    private readonly clock: Clock,
    private readonly meter?: Pick<UsageMeter, 'used'>,
    private readonly loadKey?: (keyId: string) => Promise<KeyState | undefined>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** @throws ReadModelUnavailable, or what `loadKey` throws */
  async check(presented: string, from: PresentedFrom = {}): Promise<Principal | undefined> {
    const found = await this.look(presented);
    const principal = found && this.judged(found, from);
    if (principal && this.loadKey)
      remember(this.keyIds, this.digests.sha256(presented), principal.keyId, KEY_IDS_REMEMBERED);
    return principal;
  }

  /**
   * As `check`, by what was read about this credential at most a second ago: for the verify route, whose caller would
   * otherwise double its reads. Answers at once where it can. Refused credentials are not kept, so that a new one works
   * at once.
   */
  checkRecent(presented: string, from: PresentedFrom = {}): Principal | undefined | Promise<Principal | undefined> {
    const name = this.digests.sha256(presented);
    const kept = this.kept.get(name);
    if (kept && this.nowMs() - kept.readAtMs < KEPT_MS) return this.judged(kept.found, from);
    return this.readAgain(name, presented, from);
  }

  private async readAgain(name: string, presented: string, from: PresentedFrom): Promise<Principal | undefined> {
    const readAtMs = this.nowMs();
    const found = await findKey(this.records, this.digests, presented);
    const principal = found && this.judged(found, from);
    if (found && principal) remember(this.kept, name, { found, readAtMs }, CALLERS_KEPT);
    else this.kept.delete(name);
    return principal;
  }

  private async look(presented: string): Promise<FoundKey | undefined> {
    try {
      return await findKey(this.records, this.digests, presented);
    } catch (error) {
      const keyId = this.keyIds.get(this.digests.sha256(presented));
      if (!(error instanceof ReadModelUnavailable) || keyId === undefined || !this.loadKey) throw error;
      const state = await this.loadKey(keyId);
      return state && { key: { state, revision: -1 }, hashes: this.digests.candidates(presented) };
    }
  }

  private judged({ key: { state }, hashes }: FoundKey, from: PresentedFrom): Principal | undefined {
    const now = this.clock();
    const { code, secret } = judge(state, hashes, { ...from, keyspaceId: SYSTEM_KEYSPACE }, now);
    if (code !== 'VALID' || !secret) return undefined;
    this.meter?.used(state.keyId, secret.secretId, now);
    return { keyId: state.keyId, scopes: state.scopes, owner: state.owner };
  }
}

/** Keeps the newest; a map gives its entries in the order in which they came. */
function remember<V>(map: Map<string, V>, name: string, value: V, most: number): void {
  map.delete(name);
  map.set(name, value);
  const [oldest] = map.size > most ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
}
