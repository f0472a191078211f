import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { refusal, streams, SYSTEM_KEYSPACE } from '@keyledger/contracts';
import type { IssuedKey, IssueKeyRequest } from '@keyledger/contracts/http';
import { keyDecider } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { KeyDigests, PersonalData, RefusalError } from '@keyledger/platform';
import { assertGrantable, keyspaceFor } from '../access.js';
import type { Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted } from '../outcome.js';
import { Visibility } from '../visibility.js';
import { Receipts, type Receipt } from '../receipts.js';
import { issuedKey, keyView } from './key.view.js';
import { issuedKeyId, mint, secretRecord } from './secrets.js';

export class IssueKey extends Command<Receipt<IssuedKey>> {
  constructor(
    readonly request: IssueKeyRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(IssueKey)
export class IssueKeyHandler implements ICommandHandler<IssueKey> {
  constructor(
    private readonly decisions: Decisions,
    private readonly digests: KeyDigests,
    private readonly receipts: Receipts,
    private readonly visibility: Visibility,
    private readonly personal: PersonalData,
  ) {}

  async execute({ request, intent }: IssueKey): Promise<Receipt<IssuedKey>> {
    const { caller, context } = intent;
    const { keyspaceId, kind = 'secret', restrictions = {}, metadata = {}, decoy, rotation, ...terms } = plain(request);
    const { state: keyspace } = await keyspaceFor(this.decisions, keyspaceId, caller);
    assertGrantable(caller, keyspaceId, request.scopes);
    if (keyspaceId === SYSTEM_KEYSPACE && kind === 'publishable') throw publishableCredential();

    const draft = mint({ prefix: keyspace.prefix, environment: request.environment, kind });
    return this.receipts.once(intent, draft, async (minted) => {
      const keyId = issuedKeyId(context.commandId);
      const secret = secretRecord(minted, this.digests);
      const owner = await this.personal.owner(terms.owner);
      const { now } = context;
      const command = {
        type: 'IssueKey',
        keyId,
        keyspace,
        kind,
        restrictions,
        metadata,
        ...terms,
        owner,
        ...(decoy && { decoy: true as const }),
        ...(rotation !== undefined && { rotation: rotation ?? ('none' as const) }),
        secret,
        now,
      } as const;
      const outcome = await this.decisions.run(keyDecider, streams.key(keyId), command, context);
      const { state, revision, events, replayed, left } = accepted(outcome);
      const recorded = events[0];
      if (!state || !left.state || recorded?.type !== 'KeyIssued') {
        throw new Error(`key ${keyId} was not issued as it was decided`);
      }
      const effective = await this.visibility.key(state, revision);
      const view = keyView(left.state, left.revision, left.recordedAt ?? now);
      return { body: issuedKey(view, recorded.data.secret, minted, effective), replayed };
    });
  }
}

function publishableCredential(): RefusalError {
  const error = { field: 'kind', message: 'is "publishable", which a management key cannot be', fix: '"secret"' };
  return new RefusalError(refusal('POLICY', 'Management keys are secret keys.', [error]));
}
