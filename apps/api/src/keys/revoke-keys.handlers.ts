import { Command, CommandBus, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { streams, type KeyEvent } from '@keyledger/contracts';
import type {
  RevokedKey,
  RevokeKeyRequest,
  RevokeKeysRequest,
  RevokeResult,
  RevokeResults,
} from '@keyledger/contracts/http';
import { LIMITS } from '@keyledger/contracts/http';
import { keyDecider, type KeyCommand, type KeyState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { invalidField, type Caller } from '@keyledger/platform';
import { assertKeyId, permitted } from '../access.js';
import { BulkRequests } from '../bulk-requests.js';
import { forEachItem, itemError } from '../bulk.js';
import { partOf, type Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted, expecting, receiptFor } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { Visibility } from '../visibility.js';
import { KeyCatalogue } from './key-catalogue.js';
import { revokedKey } from './key.view.js';

/** Final. A key that is revoked already stays as it was revoked first, and the answer is that. */
export class RevokeKey extends Command<Receipt<RevokedKey>> {
  constructor(
    readonly keyId: string,
    readonly request: RevokeKeyRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(RevokeKey)
export class RevokeKeyHandler implements ICommandHandler<RevokeKey> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly visibility: Visibility,
  ) {}

  async execute({ keyId, request, intent }: RevokeKey): Promise<Receipt<RevokedKey>> {
    assertKeyId(keyId);
    return this.receipts.same(intent, () => this.revoke(keyId, request, intent));
  }

  private async revoke(keyId: string, request: RevokeKeyRequest, intent: Intent): Promise<Receipt<RevokedKey>> {
    const { caller, context, expectedRevision } = intent;
    const { reason, comment } = plain(request);
    const { now } = context;
    const command = (key: KeyState | undefined): KeyCommand => {
      permitted(caller, keyId, key);
      return { type: 'RevokeKey', reason, ...(comment !== undefined && { comment }), requestedAt: now, now };
    };
    const outcome = await this.decisions.run<KeyCommand, KeyState | undefined, KeyEvent>(
      keyDecider,
      streams.key(keyId),
      command,
      { ...context, reason },
      expecting(expectedRevision),
    );
    const done = accepted(outcome);
    const effective = await this.visibility.key(permitted(caller, keyId, done.state), done.revision);
    const { state, revision } = done.left;
    return receiptFor(revokedKey(permitted(caller, keyId, state), revision, effective), done);
  }
}

/** All keys of a keyspace, of an owner, or those that are named: at most a thousand in one call. */
export class RevokeKeys extends Command<Receipt<RevokeResults>> {
  constructor(
    readonly request: RevokeKeysRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(RevokeKeys)
export class RevokeKeysHandler implements ICommandHandler<RevokeKeys> {
  constructor(
    private readonly commands: CommandBus,
    private readonly receipts: Receipts,
    private readonly requests: BulkRequests,
    private readonly catalogue: KeyCatalogue,
  ) {}

  async execute({ request, intent }: RevokeKeys): Promise<Receipt<RevokeResults>> {
    return this.receipts.same(intent, () => this.revoke(plain(request), intent));
  }

  /** Repeated, it is about the keys that were chosen at first, and finishes what was begun. */
  private async revoke(request: RevokeKeysRequest, intent: Intent): Promise<Receipt<RevokeResults>> {
    const { terms, before } = await this.requests.accept(intent, async () => {
      const chosen = await this.chosen(request, intent.caller);
      return { operation: 'revoke', count: chosen.keyIds.length, ...chosen };
    });
    const { keyIds = [], nextCursor } = terms;
    const { reason, comment } = request;
    const each = { reason, ...(comment !== undefined && { comment }) };
    let [effective, replayed, untold] = [true, before, keyIds.length === 0];
    const { results, complete } = await forEachItem<string, RevokeResult>(
      keyIds,
      async (keyId) => {
        const done = await this.commands.execute(new RevokeKey(keyId, each, partOf(intent, keyId)));
        effective &&= done.body.effective;
        replayed &&= done.replayed || done.untold === true;
        untold ||= done.untold === true;
        const { requestedAt, revision } = done.body;
        return { keyId, status: 'revoked', requestedAt, revision };
      },
      (keyId, _index, reason) => {
        untold = true;
        return { keyId, status: 'rejected', error: itemError(reason) };
      },
    );
    const body = { results, ...(nextCursor !== undefined && { nextCursor }), effective };
    return { body, replayed, untold, unfinished: !complete };
  }

  private async chosen(request: RevokeKeysRequest, caller: Caller): Promise<{ keyIds: string[]; nextCursor?: string }> {
    const { keyIds, keyspaceId, ownerId, cursor, limit = LIMITS.bulk } = plain(request);
    if (keyIds) {
      if (keyspaceId !== undefined || ownerId !== undefined || cursor !== undefined) {
        throw invalidField('keyIds', 'stands beside another choice of keys', 'keyIds alone, or keyspaceId, ownerId');
      }
      return { keyIds: [...new Set(keyIds)] };
    }
    if (keyspaceId === undefined && ownerId === undefined) {
      throw invalidField(
        'keyIds',
        'is missing, and nothing else says which keys',
        'give keyIds, keyspaceId or ownerId',
      );
    }
    const chosen = {
      ...(keyspaceId !== undefined && { keyspaceId }),
      ...(ownerId !== undefined && { ownerId }),
      ...(cursor !== undefined && { cursor }),
    };
    const { items, nextCursor } = await this.catalogue.list(caller, { ...chosen, limit });
    // Those that are revoked already are done; the rest of the page is for this call.
    const open = items.filter(({ state }) => state.status !== 'revoked').map(({ state }) => state.keyId);
    return { keyIds: open, ...(nextCursor !== undefined && { nextCursor }) };
  }
}
