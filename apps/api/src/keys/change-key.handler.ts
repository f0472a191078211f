import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { streams, type KeyEvent, type Owner } from '@keyledger/contracts';
import type { ChangedKey } from '@keyledger/contracts/http';
import { keyDecider, type KeyCommand, type KeyspaceState, type KeyState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { PersonalData, type Caller } from '@keyledger/platform';
import { assertKeyId, keyspaceFor, permitted } from '../access.js';
import type { Intent } from '../http/intent.js';
import { accepted, expecting, receiptFor } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { Visibility } from '../visibility.js';
import { keyView } from './key.view.js';

type Change = Extract<KeyCommand, { type: 'ChangeKey' | 'SuspendKey' | 'ReinstateKey' }>;
/** A command as the request has it; its time comes from the context. */
type Untimed<C> = C extends unknown ? Omit<C, 'now'> : never;

/** Another description, another state: whatever leaves the secrets of a key as they are and is not final. */
export class ChangeKey extends Command<Receipt<ChangedKey>> {
  constructor(
    readonly keyId: string,
    readonly change: Untimed<Change>,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(ChangeKey)
export class ChangeKeyHandler implements ICommandHandler<ChangeKey> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly visibility: Visibility,
    private readonly personal: PersonalData,
  ) {}

  async execute({ keyId, change, intent }: ChangeKey): Promise<Receipt<ChangedKey>> {
    assertKeyId(keyId);
    return this.receipts.same(intent, () => this.change(keyId, change, intent));
  }

  private async change(keyId: string, change: Untimed<Change>, intent: Intent): Promise<Receipt<ChangedKey>> {
    const { caller, context, expectedRevision } = intent;
    const { now } = context;
    const terms = change.type === 'ChangeKey' ? await this.termsOf(change, caller, keyId) : {};
    const outcome = await this.decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
      keyDecider,
      streams.key(keyId),
      (key) => {
        permitted(caller, keyId, key);
        return { ...change, ...terms, now };
      },
      'reason' in change ? { ...context, reason: change.reason } : context,
      expecting(expectedRevision),
    );
    const done = accepted(outcome);
    const effective = await this.visibility.key(permitted(caller, keyId, done.state), done.revision);
    const { state, revision, recordedAt = now } = done.left;
    return receiptFor({ ...keyView(permitted(caller, keyId, state), revision, recordedAt), effective }, done);
  }

  /**
   * What the decision needs beyond the request. A rule of the key's own must fit into the policy of its keyspace, which
   * no key can leave; a contact is encrypted, unless it is the one that the key has.
   */
  private async termsOf(
    { rotation, owner }: { rotation?: unknown; owner?: Owner },
    caller: Caller,
    keyId: string,
  ): Promise<{ keyspace?: KeyspaceState; owner?: Owner }> {
    if (!rotation && !owner?.contact) return {};
    const { state } = await this.decisions.load(keyDecider, streams.key(keyId));
    const key = permitted(caller, keyId, state);
    return {
      ...(!!rotation && { keyspace: (await keyspaceFor(this.decisions, key.keyspaceId)).state }),
      ...(owner && { owner: await this.personal.owner(owner, key.owner) }),
    };
  }
}
