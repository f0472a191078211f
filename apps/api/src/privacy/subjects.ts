import {
  FIELDS_OF_SUBJECT,
  refusal,
  streams,
  SUBJECT_ID_PATTERN,
  SUBJECT_KINDS,
  type SubjectKind,
} from '@keyledger/contracts';
import { LIMITS, type FindSubjectRequest, type SubjectView } from '@keyledger/contracts/http';
import { subjectDecider, type SubjectState } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import {
  invalidField,
  RefusalError,
  SealingUnavailable,
  SubjectKeys,
  systemClock,
  unavailable,
  type SubjectRecord,
} from '@keyledger/platform';
import type { ReadModel } from '@keyledger/read-model';

const NAMED_BY = { ownerId: 'owner', onBehalfOf: 'person', keyId: 'credential', address: 'address' } as const;

/** The subjects of personal data: which there are, what is theirs, and what became of it. */
export class Subjects {
  constructor(
    private readonly keys: SubjectKeys,
    private readonly decisions: Decisions,
    private readonly readModel: ReadModel,
  ) {}

  /** @throws RefusalError 400 unless exactly one name is given, 404 where nothing is kept under it */
  async find(request: FindSubjectRequest): Promise<SubjectView> {
    const given = Object.entries(request) as [keyof typeof NAMED_BY, string][];
    const [first] = given;
    if (!first || given.length > 1) {
      const fix = `exactly one of ${Object.keys(NAMED_BY).join(', ')}`;
      throw invalidField(given[1]?.[0] ?? 'ownerId', first ? 'stands beside another name' : 'is missing', fix);
    }
    const [member, name] = first;
    return this.show(await readable(this.keys.idOf(NAMED_BY[member], name)));
  }

  /** @throws RefusalError 404 */
  async show(subjectId: string): Promise<SubjectView> {
    const record = await this.recordOf(subjectId);
    const { state } = await this.decisions.load(subjectDecider, streams.subject(subjectId));
    return this.view(record, state);
  }

  /** @throws RefusalError 404 for what is no subject, or one about whom nothing was ever kept */
  async recordOf(subjectId: string): Promise<SubjectRecord> {
    const record = SUBJECT_ID_PATTERN.test(subjectId) ? await readable(this.keys.show(subjectId)) : undefined;
    if (!record || !SUBJECT_KINDS.includes(record.kind)) {
      throw new RefusalError(refusal('NOT_FOUND', 'Nothing is kept about such a subject.'));
    }
    return record;
  }

  async view({ subjectId, kind, name, keys }: SubjectRecord, state?: SubjectState): Promise<SubjectView> {
    const newest = keys.at(-1);
    const held = newest?.destroyedAt === undefined && (newest?.generation ?? 0) > (state?.erasedGeneration ?? 0);
    const destroyedUpTo = keys.filter((key) => key.destroyedAt !== undefined).length;
    return {
      subjectId,
      kind,
      state: held ? 'held' : 'erased',
      ...(held && name !== undefined && { name }),
      fields: [...FIELDS_OF_SUBJECT[kind]],
      ...(held && newest?.createdAt !== undefined && { heldSince: newest.createdAt }),
      ...(held && name !== undefined && (await this.keysOf(kind, name))),
      erasures: (state?.erasures ?? []).map((erasure) => ({
        ...erasure,
        keyDestroyed: erasure.generation <= destroyedUpTo,
      })),
    };
  }

  private async keysOf(kind: SubjectKind, name: string): Promise<{ keyIds?: string[] }> {
    if (kind === 'credential') return { keyIds: [name] };
    if (kind !== 'owner') return {};
    const { items } = await this.readModel.listKeys({
      within: 'all',
      owner: name,
      limit: LIMITS.page,
      now: systemClock(),
    });
    return { keyIds: items.map(({ state }) => state.keyId) };
  }
}

/** @throws RefusalError 503 where the folder of the subject keys, or the key that opens it, is missing */
export async function readable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SealingUnavailable) throw unavailable(`The subject keys cannot be read: ${error.message}.`);
    throw unavailable('The folder of the subject keys cannot be used; nothing was changed.');
  }
}
