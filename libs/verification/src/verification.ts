import {
  SYSTEM_KEYSPACE,
  VERDICT_CODES,
  type VerdictCode,
  type VerifyRequest,
  type VerifyResponse,
} from '@keyledger/contracts';
import { judge, secretEndsAt, type KeyState, type Verdict } from '@keyledger/domain';
import { reaches, type Clock, type KeyDigests, type Metrics, type Reach } from '@keyledger/platform';
import { findKey, type KeyRecords } from './find-key.js';
import type { UsageMeter } from './usage-meter.js';

const NOT_FOUND: VerifyResponse = Object.freeze({ valid: false, code: 'NOT_FOUND' });

/** Verifies keys against the read model as it is now. Nothing is kept between two questions. */
export class Verification {
  private readonly count: (code: VerdictCode) => void;
  private readonly took: (seconds: number) => void;

  constructor(
    private readonly records: KeyRecords,
    private readonly digests: KeyDigests,
    private readonly clock: Clock,
    metrics: Metrics,
    private readonly meter?: Pick<UsageMeter, 'used'>,
  ) {
    this.count = metrics.tally('keyledger_verifications_total', 'Verdicts given', 'code', VERDICT_CODES);
    this.took = metrics.stopwatch('keyledger_verification_duration_seconds', 'From a presented key to its verdict');
  }

  /**
   * The verdict on a presented key. A key outside the caller's reach is not known to him.
   *
   * Management credentials (keyspace `system`) are no customers' keys: a service that lets in whoever has "a valid key"
   * must not let one in. They are known only to callers who reach every keyspace and name `system` as the one they ask for.
   * @throws ReadModelUnavailable, never a verdict by guess
   */
  async verify(request: VerifyRequest, caller: { reach: Reach }): Promise<VerifyResponse> {
    const startedAt = performance.now();
    const answer = await this.answer(request, caller.reach);
    this.took((performance.now() - startedAt) / 1000);
    this.count(answer.code);
    return answer;
  }

  private async answer(request: VerifyRequest, reach: Reach): Promise<VerifyResponse> {
    const found = await findKey(this.records, this.digests, request.key);
    if (!found) return NOT_FOUND;
    const { state, revision } = found.key;
    if (!visible(state, request, reach)) return NOT_FOUND;
    const now = this.clock();
    const verdict = judge(state, found.hashes, request, now);
    if (verdict.code === 'VALID' && verdict.secret) this.meter?.used(state.keyId, verdict.secret.secretId, now);
    return verdict.secret ? answerOf(state, revision, verdict) : NOT_FOUND;
  }
}

function visible({ keyspaceId }: KeyState, request: VerifyRequest, reach: Reach): boolean {
  if (keyspaceId === SYSTEM_KEYSPACE) return reach === 'all' && request.keyspaceId === SYSTEM_KEYSPACE;
  return reaches(reach, keyspaceId);
}

function answerOf(key: KeyState, revision: number, { code, secret }: Verdict): VerifyResponse {
  const answer: VerifyResponse = {
    valid: code === 'VALID',
    code,
    keyId: key.keyId,
    secretId: secret?.secretId as string,
    keyspaceId: key.keyspaceId,
    owner: key.owner,
    name: key.name,
    environment: key.environment,
    scopes: key.scopes,
    metadata: key.metadata,
    revision,
  };
  if (key.expiresAt !== undefined) answer.expiresAt = key.expiresAt;
  if (secret?.graceEndsAt !== undefined) {
    const usable = key.secrets.find(({ secretId }) => secretId === secret.secretId);
    answer.graceEndsAt = (usable && secretEndsAt(key, usable)) ?? secret.graceEndsAt;
  }
  return answer;
}
