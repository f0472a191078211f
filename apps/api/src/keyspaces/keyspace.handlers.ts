import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { DEFAULT_PREFIX, streams, type KeyspaceEvent } from '@keyledger/contracts';
import type { ChangedKeyspace, ChangeKeyspaceRequest, CreateKeyspaceRequest } from '@keyledger/contracts/http';
import {
  DEFAULT_ENVIRONMENTS,
  keyspaceDecider,
  PREFIX_PATTERN,
  type KeyspaceCommand,
  type KeyspaceState,
} from '@keyledger/domain';
import { Decisions, type Outcome } from '@keyledger/event-store';
import { assertReach, reaches } from '@keyledger/platform';
import { noSuchKeyspace } from '../access.js';
import type { Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted, expecting, receiptFor } from '../outcome.js';
import { Visibility } from '../visibility.js';
import { Receipts, type Receipt } from '../receipts.js';
import { keyspaceView } from './keyspace.view.js';

export class CreateKeyspace extends Command<Receipt<ChangedKeyspace>> {
  constructor(
    readonly request: CreateKeyspaceRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(CreateKeyspace)
export class CreateKeyspaceHandler implements ICommandHandler<CreateKeyspace> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly visibility: Visibility,
  ) {}

  async execute({ request, intent }: CreateKeyspace): Promise<Receipt<ChangedKeyspace>> {
    const {
      name,
      prefix: keyspaceId = DEFAULT_PREFIX,
      environments = [...DEFAULT_ENVIRONMENTS],
      policy = {},
    } = plain(request);
    const { caller, context } = intent;
    if (PREFIX_PATTERN.test(keyspaceId)) assertReach(caller, keyspaceId);
    const command = { type: 'CreateKeyspace', keyspaceId, name, environments, policy, now: context.now } as const;
    return this.receipts.same(intent, async () => {
      const outcome = await this.decisions.run(keyspaceDecider, streams.keyspace(keyspaceId), command, context);
      return answer(outcome, this.visibility);
    });
  }
}

/** Another name, more environments, another policy; or no new keys any more. */
export class ChangeKeyspace extends Command<Receipt<ChangedKeyspace>> {
  constructor(
    readonly keyspaceId: string,
    readonly change: ChangeKeyspaceRequest | 'archive',
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(ChangeKeyspace)
export class ChangeKeyspaceHandler implements ICommandHandler<ChangeKeyspace> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly visibility: Visibility,
  ) {}

  async execute({ keyspaceId, change, intent }: ChangeKeyspace): Promise<Receipt<ChangedKeyspace>> {
    const { caller, context, expectedRevision } = intent;
    if (!PREFIX_PATTERN.test(keyspaceId) || !reaches(caller.reach, keyspaceId)) throw noSuchKeyspace(keyspaceId);
    const { now } = context;
    const command: KeyspaceCommand =
      change === 'archive' ? { type: 'ArchiveKeyspace', now } : { type: 'ChangeKeyspace', ...plain(change), now };
    return this.receipts.same(intent, async () => {
      const outcome = await this.decisions.run(
        keyspaceDecider,
        streams.keyspace(keyspaceId),
        (state) => {
          if (!state) throw noSuchKeyspace(keyspaceId);
          return command;
        },
        context,
        expecting(expectedRevision),
      );
      return answer(outcome, this.visibility);
    });
  }
}

async function answer(
  outcome: Outcome<KeyspaceState | undefined, KeyspaceEvent>,
  visibility: Visibility,
): Promise<Receipt<ChangedKeyspace>> {
  const done = accepted(outcome);
  const { state, revision, left } = done;
  if (!state || !left.state) throw new Error('an accepted decision left no keyspace');
  const effective = await visibility.keyspace(state, revision);
  return receiptFor({ ...keyspaceView(left.state, left.revision), effective }, done);
}
