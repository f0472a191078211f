import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { refusal, streams, type LeakEvent } from '@keyledger/contracts';
import type { ChangedLeak, ReportedLeak, ReportLeakRequest, ResolveLeakRequest } from '@keyledger/contracts/http';
import { leakDecider, type LeakCommand, type LeakState } from '@keyledger/domain';
import { Decisions } from '@keyledger/event-store';
import { foundHash, foundText, Incidents, type LeakReport } from '@keyledger/leaks';
import { invalidField, KeyDigests, reaches, RefusalError, type Caller } from '@keyledger/platform';
import type { Intent } from '../http/intent.js';
import { plain } from '../http/plain.js';
import { accepted, expecting } from '../outcome.js';
import { LeakLog } from './leak-log.js';
import { leakView } from './leak.view.js';
import { withoutToken } from './token-free.js';

const noSuchLeak = (leakId: string): RefusalError =>
  new RefusalError(refusal('NOT_FOUND', `There is no incident ${leakId}.`));

const LEAK_ID = /^[0-9A-Za-z]{22}$/;

/** @throws RefusalError 404 for what cannot be the id of an incident. */
export function assertLeakId(leakId: string): void {
  if (!LEAK_ID.test(leakId)) throw noSuchLeak(leakId);
}

/** An incident that a caller may know of: about a key within his reach or, if he reaches all, about none. */
export function knownLeak(caller: Caller, leakId: string, leak: LeakState | undefined): LeakState {
  const known = leak && (caller.reach === 'all' || (leak.match && reaches(caller.reach, leak.match.keyspaceId)));
  if (!known) throw noSuchLeak(leakId);
  return leak;
}

/** A report by somebody authorised. The same text at the same place is the same incident, however often it is reported. */
export class ReportLeak extends Command<ReportedLeak> {
  constructor(
    readonly request: ReportLeakRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(ReportLeak)
export class ReportLeakHandler implements ICommandHandler<ReportLeak> {
  constructor(
    private readonly incidents: Incidents,
    private readonly digests: KeyDigests,
    private readonly log: LeakLog,
  ) {}

  /**
   * Whoever reports the key itself has it, and it is acted on wherever it belongs; a hash proves nothing, so it counts
   * where the reporter may report only.
   */
  async execute({ request, intent }: ReportLeak): Promise<ReportedLeak> {
    const { key, sha256, url, source = 'report', comment } = plain(request);
    const { caller, context } = intent;
    if ((key === undefined) === (sha256 === undefined)) {
      throw invalidField('key', 'must be there, or sha256, and not both', 'the key as it was found, or its SHA-256');
    }
    const report: LeakReport = {
      source,
      token: key === undefined ? foundHash(sha256 as string) : foundText(key, this.digests),
      ...(url !== undefined && { url: withoutToken(url, key) }),
      ...(comment !== undefined && { comment: withoutToken(comment, key) }),
      ...(key === undefined && caller.reach !== 'all' && { within: caller.reach }),
    };
    const { state, revision, effective, failure } = await this.incidents.handle(report, context);
    this.log.note(source, state, failure);
    const hint = state.match || key !== undefined || !this.digests.peppered ? {} : { hint: HINT };
    return { ...leakView(state, revision, caller.reach), effective, ...hint };
  }
}

const HINT =
  'Keys are hashed under a pepper here, so a SHA-256 finds imported keys and those from before the pepper; report the key itself.';

export class ResolveLeak extends Command<ChangedLeak> {
  constructor(
    readonly leakId: string,
    readonly request: ResolveLeakRequest,
    readonly intent: Intent,
  ) {
    super();
  }
}

@CommandHandler(ResolveLeak)
export class ResolveLeakHandler implements ICommandHandler<ResolveLeak> {
  constructor(
    private readonly incidents: Incidents,
    private readonly decisions: Decisions,
  ) {}

  async execute({ leakId, request, intent }: ResolveLeak): Promise<ChangedLeak> {
    assertLeakId(leakId);
    const { caller, context, expectedRevision } = intent;
    const { resolution, comment } = plain(request);
    const command = (leak: LeakState | undefined): LeakCommand => {
      knownLeak(caller, leakId, leak);
      return { type: 'ResolveLeak', resolution, ...(comment !== undefined && { comment }), now: context.now };
    };
    const outcome = await this.decisions.run<LeakCommand, LeakState | undefined, LeakEvent>(
      leakDecider,
      streams.leak(leakId),
      command,
      context,
      expecting(expectedRevision),
    );
    const { state, revision } = accepted(outcome);
    const leak = knownLeak(caller, leakId, state);
    const effective = await this.incidents.seen({ state: leak, revision });
    return { ...leakView(leak, revision, caller.reach), effective };
  }
}
