import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { streams } from '@keyledger/contracts';
import type { EraseSubjectRequest, SubjectView } from '@keyledger/contracts/http';
import { subjectDecider } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import type { Intent } from '../http/intent.js';
import { accepted } from '../outcome.js';
import { Erasures } from './erasures.js';
import { Subjects } from './subjects.js';

export class EraseSubject extends Command<SubjectView> {
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
    private readonly subjects: Subjects,
    private readonly erasures: Erasures,
  ) {}

  async execute({ subjectId, request, intent }: EraseSubject): Promise<SubjectView> {
    const { kind, keys } = await this.subjects.recordOf(subjectId);
    const { now } = intent.context;
    const generation = keys.at(-1)?.generation ?? 0;
    const command = { type: 'EraseSubject', subjectId, kind, generation, ...request, now } as const;
    const context = { ...intent.context, reason: request.reason };
    const outcome = await this.decisions.run(subjectDecider, streams.subject(subjectId), command, context);
    const { state } = accepted(outcome);
    const last = state?.erasures.at(-1);
    if (last) await this.erasures.destroy({ subjectId, kind, ...last });
    return this.subjects.view(await this.subjects.recordOf(subjectId), state);
  }
}
