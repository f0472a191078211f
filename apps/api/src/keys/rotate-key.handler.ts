import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { refusal, streams } from '@keyledger/contracts';
import type { RotatedKey, RotateKeyRequest } from '@keyledger/contracts/http';
import { keyDecider, type KeyState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { KeyDigests, RefusalError } from '@keyledger/platform';
import { assertKeyId, keyspaceFor, permitted } from '../access.js';
import type { Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted, expecting } from '../outcome.js';
import { Visibility } from '../visibility.js';
import { Receipts, type Receipt } from '../receipts.js';
import { keyView, rotatedKey } from './key.view.js';
import { mint, secretRecord } from './secrets.js';

export class RotateKey extends Command<Receipt<RotatedKey>> {
  constructor(
    readonly keyId: string,
    readonly request: RotateKeyRequest,
    readonly intent: Intent,
    /** What else must hold of the key as it is, unless the rotation was done before; throws if it does not. */
    readonly assert: (key: KeyState) => void = () => undefined,
  ) {
    super();
  }
}

@CommandHandler(RotateKey)
export class RotateKeyHandler implements ICommandHandler<RotateKey> {
  constructor(
    private readonly decisions: Decisions,
    private readonly digests: KeyDigests,
    private readonly receipts: Receipts,
    private readonly visibility: Visibility,
  ) {}

  /**
   * Replaces the secret that is read here, so that of two rotations at once one wins and the other hears of a conflict:
   * decided on what the first has left, it would end the secret that the winner's caller has just been given the time to
   * replace. Whatever else happens to the key meanwhile is no matter.
   */
  async execute({ keyId, request, intent, assert }: RotateKey): Promise<Receipt<RotatedKey>> {
    assertKeyId(keyId);
    const { caller } = intent;
    const seen = await this.decisions.load(keyDecider, streams.key(keyId));
    const key = permitted(caller, keyId, seen.state);
    const { state: keyspace } = await keyspaceFor(this.decisions, key.keyspaceId);
    const { reason, ...rest } = plain(request);
    const context = reason === undefined ? intent.context : { ...intent.context, reason };

    const draft = mint({ prefix: keyspace.prefix, environment: key.environment, kind: key.kind });
    return this.receipts.once(intent, draft, async (minted) => {
      const secret = secretRecord(minted, this.digests);
      const { now } = context;
      const command = (standing: KeyState = key) => {
        assert(standing);
        if (standing.secrets[0]?.secretId !== key.secrets[0]?.secretId) throw new RefusalError(otherRotation());
        return { type: 'RotateKey', keyspace, secret, ...rest, now } as const;
      };
      const expected = expecting(intent.expectedRevision);
      const outcome = await this.decisions.run(keyDecider, streams.key(keyId), command, context, expected);
      const { state, revision, events, replayed, left } = accepted(outcome);
      const recorded = events[0];
      if (!state || !left.state || recorded?.type !== 'KeyRotated') {
        throw new Error(`key ${keyId} was not rotated as it was decided`);
      }
      const effective = await this.visibility.key(state, revision);
      const { previousSecretId, graceEndsAt } = recorded.data;
      const previous = { secretId: previousSecretId, graceEndsAt };
      const view = keyView(left.state, left.revision, left.recordedAt ?? now);
      const body = rotatedKey(view, recorded.data.secret, previous, minted, effective);
      return { body, replayed };
    });
  }
}

const otherRotation = () =>
  refusal(
    'CONFLICT',
    'Another rotation of the key came first; look at it and ask again if it is to be rotated once more.',
  );
