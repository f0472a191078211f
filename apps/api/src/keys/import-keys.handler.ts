import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { refusal, streams, type Refusal } from '@keyledger/contracts';
import type { ImportedKeyInput, ImportKeysRequest, ImportResult, ImportResults } from '@keyledger/contracts/http';
import { keyDecider, type KeyspaceState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { PersonalData, RefusalError } from '@keyledger/platform';
import { ReadModel, ReadModelUnavailable } from '@keyledger/read-model';
import { assertGrantable, keyspaceFor } from '../access.js';
import { BulkRequests } from '../bulk-requests.js';
import { forEachItem, itemError } from '../bulk.js';
import { partOf, type Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted } from '../outcome.js';
import { Visibility } from '../visibility.js';
import { Receipts, type Receipt } from '../receipts.js';
import { importedKeyId, importedSecret } from './secrets.js';

export class ImportKeys extends Command<Receipt<ImportResults>> {
  constructor(
    readonly request: ImportKeysRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

/** Each key is a command of its own: those that are good are imported, whatever becomes of the others. */
@CommandHandler(ImportKeys)
export class ImportKeysHandler implements ICommandHandler<ImportKeys> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly requests: BulkRequests,
    private readonly visibility: Visibility,
    private readonly readModel: ReadModel,
    private readonly personal: PersonalData,
  ) {}

  async execute({ request, intent }: ImportKeys): Promise<Receipt<ImportResults>> {
    const { keyspaceId, keys } = plain(request);
    const { state: keyspace } = await keyspaceFor(this.decisions, keyspaceId, intent.caller);
    const first = new Map<string, number>();
    for (const [index, { sha256 }] of keys.entries()) if (!first.has(sha256)) first.set(sha256, index);

    return this.receipts.same(intent, async () => {
      const { before } = await this.requests.accept(intent, async () => ({ operation: 'import', count: keys.length }));
      let [effective, replayed, untold] = [true, before, false];
      const { results, complete } = await forEachItem<ImportedKeyInput, ImportResult>(
        keys,
        async (key, index) => {
          if (first.get(key.sha256) !== index) throw twice(first.get(key.sha256));
          const done = await this.one(keyspace, key, partOf(intent, key.sha256));
          effective &&= done.effective;
          replayed &&= done.replayed;
          return { index, status: 'imported', keyId: done.keyId };
        },
        (_key, index, reason) => {
          untold = true;
          return { index, status: 'rejected', error: itemError(reason, `keys[${index}]`) };
        },
      );
      return { body: { results, effective }, replayed, untold, unfinished: !complete };
    });
  }

  private async one(
    keyspace: KeyspaceState,
    { sha256, restrictions = {}, metadata = {}, ...terms }: ImportedKeyInput,
    { caller, context }: Intent,
  ): Promise<{ keyId: string; effective: boolean; replayed: boolean }> {
    assertGrantable(caller, keyspace.keyspaceId, terms.scopes);
    const keyId = importedKeyId(sha256);
    const secret = importedSecret(sha256);
    if (await this.isMadeHere(secret.hash)) throw new RefusalError(MADE_HERE);
    const { now } = context;
    const owner = await this.personal.owner(terms.owner);
    const command = {
      type: 'ImportKey',
      keyId,
      keyspace,
      kind: 'secret',
      restrictions,
      metadata,
      ...terms,
      owner,
      secret,
      now,
    } as const;
    const outcome = await this.decisions.run(keyDecider, streams.key(keyId), command, context);
    if (!outcome.accepted && outcome.refusal.code === 'KEY_EXISTS') throw new RefusalError(IMPORTED_BEFORE);
    const { state, revision, replayed } = accepted(outcome);
    if (!state) throw new Error(`key ${keyId} was not imported as it was decided`);
    return { keyId, effective: await this.visibility.key(state, revision), replayed };
  }

  /**
   * Verification would find the key that was made here and never the imported one, which is of no use then and does no harm.
   * So it is asked for as far as can be told: not under a pepper, and not while the read model cannot answer.
   */
  private async isMadeHere(hash: string): Promise<boolean> {
    try {
      return (await this.readModel.findByHash(hash, 'issued')) !== undefined;
    } catch (error) {
      if (error instanceof ReadModelUnavailable) return false;
      throw error;
    }
  }
}

/** Does not say where: the keyspace may be out of the caller's reach. */
const IMPORTED_BEFORE: Refusal = refusal('KEY_EXISTS', 'A key with this SHA-256 was imported before.', [
  { field: 'sha256', message: 'was imported before', fix: 'leave it out; a hash is imported once' },
]);

const MADE_HERE: Refusal = refusal('KEY_EXISTS', 'A key with this SHA-256 was made by this Keyledger.', [
  { field: 'sha256', message: 'is of a key that was made here', fix: 'leave it out; such a key need not be imported' },
]);

function twice(index: number | undefined): RefusalError {
  const error = { field: 'sha256', message: `stands in keys[${index}] already`, fix: 'name each key once' };
  return new RefusalError(refusal('KEY_EXISTS', 'The same key stands in this request twice.', [error]));
}
