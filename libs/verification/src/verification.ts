import {
  SYSTEM_KEYSPACE,
  VERDICT_CODES,
  type VerdictCode,
  type VerifyRequest,
  type VerifyResponse,
} from '@keyledger/contracts';
import { judge, type KeyState } from '@keyledger/domain';
import { reaches, type Clock, type KeyDigests, type Metrics, type Reach } from '@keyledger/platform';
import { responseOf, type Outcome } from './answer.js';
import { sightingOf, type AskedFrom, type Asker } from './decoys.js';
import { findKey, type FoundKey, type KeyRecords } from './find-key.js';
import type { Witnesses } from './witnesses.js';

const NOT_FOUND: Outcome = Object.freeze({ code: 'NOT_FOUND' });

/** Verifies keys against the read model as it is now. No verdict outlives its question. */
export class Verification {
  private readonly count: (code: VerdictCode) => void;
  private readonly took: (seconds: number) => void;

  constructor(
    private readonly records: KeyRecords,
    private readonly digests: KeyDigests,
    private readonly clock: Clock,
    metrics: Metrics,
    private readonly witnesses: Witnesses = {},
  ) {
    this.count = metrics.tally('keyledger_verifications_total', 'Verdicts given', 'code', VERDICT_CODES);
    this.took = metrics.stopwatch('keyledger_verification_duration_seconds', 'From a presented key to its verdict');
  }

  /**
   * The verdict on a presented key. A key outside the caller's reach is not known to him.
   *
   * Management credentials (keyspace `system`) are no customers' keys: a service that lets in whoever has "a valid key"
   * must not let one in. They are known only to callers who reach every keyspace and name `system` as the one they ask for.
   * @param from the HTTP request that asks, for who presented a decoy
   * @throws ReadModelUnavailable, never a verdict by guess
   */
  async verify(request: VerifyRequest, caller: Asker, from?: AskedFrom): Promise<VerifyResponse> {
    return responseOf(await this.outcome(request, caller, from));
  }

  /** As `verify`, for the hot route, which writes the answer itself: `textOf(outcome)`. */
  async outcome(request: VerifyRequest, caller: Asker, from?: AskedFrom): Promise<Outcome> {
    const startedAt = performance.now();
    const found = await findKey(this.records, this.digests, request.key);
    const outcome = found ? this.judged(found, request, caller.reach) : NOT_FOUND;
    if (found?.key.state.decoy) {
      this.witnesses.onDecoy?.(sightingOf(found, this.clock(), { clientIp: request.clientIp, caller, from }));
    }
    this.took((performance.now() - startedAt) / 1000);
    this.count(outcome.code);
    return outcome;
  }

  private judged({ key, hashes }: FoundKey, request: VerifyRequest, reach: Reach): Outcome {
    if (!visible(key.state, request, reach)) return NOT_FOUND;
    const now = this.clock();
    const { code, secret } = judge(key.state, hashes, request, now);
    if (code === 'VALID' && secret) this.witnesses.meter?.used(key.state.keyId, secret.secretId, now);
    return secret ? { code, key, secret } : NOT_FOUND;
  }
}

function visible({ keyspaceId }: KeyState, request: VerifyRequest, reach: Reach): boolean {
  if (keyspaceId === SYSTEM_KEYSPACE) return reach === 'all' && request.keyspaceId === SYSTEM_KEYSPACE;
  return reaches(reach, keyspaceId);
}
