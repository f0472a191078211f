import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { streams } from '@keyledger/contracts';
import type { EraseSubjectRequest, SubjectView } from '@keyledger/contracts/http';
import { subjectDecider } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import type { Intent } from '../http/intent.js';
import { accepted, receiptFor } from '../outcome.js';
import { Receipts, type Receipt } from '../receipts.js';
import { Erasures } from './erasures.js';
import { Subjects } from './subjects.js';

export class EraseSubject extends Command<Receipt<SubjectView>> {
  constructor(
    readonly subjectId: string,
    readonly request: EraseSubjectRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

/**
 * Recorded first, destroyed after: the event is what commits an erasure, and whoever reads it, now or at the next start,
 * destroys the key again if it is still there.
 */
@CommandHandler(EraseSubject)
export class EraseSubjectHandler implements ICommandHandler<EraseSubject> {
  constructor(
    private readonly decisions: Decisions,
    private readonly receipts: Receipts,
    private readonly subjects: Subjects,
    private readonly erasures: Erasures,
  ) {}

  async execute({ subjectId, request, intent }: EraseSubject): Promise<Receipt<SubjectView>> {
    return this.receipts.same(intent, () => this.erase(subjectId, request, intent));
  }

  private async erase(subjectId: string, request: EraseSubjectRequest, intent: Intent): Promise<Receipt<SubjectView>> {
    const { kind, keys } = await this.subjects.recordOf(subjectId);
    const { now } = intent.context;
    const generation = keys.at(-1)?.generation ?? 0;
    const command = { type: 'EraseSubject', subjectId, kind, generation, ...request, now } as const;
    const context = { ...intent.context, reason: request.reason };
    const outcome = await this.decisions.run(subjectDecider, streams.subject(subjectId), command, context);
    const done = accepted(outcome);
    const { state } = done.left;
    const last = state?.erasures.at(-1);
    const destroyed = !last || (await this.erasures.destroy({ subjectId, kind, ...last }));
    const record = await this.subjects.recordOf(subjectId);
    // What is kept about the subject since is no part of this answer.
    const erased = record.keys.filter((key) => key.generation <= (state?.erasedGeneration ?? 0));
    const receipt = receiptFor(await this.subjects.view({ ...record, keys: erased }, state), done);
    return destroyed ? receipt : { ...receipt, unfinished: true };
  }
}
