import { streams, type AuditAccessEvent, type AuditQuestion, type CommandContext } from '@keyledger/contracts';
import { EventStore, EventStoreUnavailable, metadataOf, type NewEvent } from '@keyledger/event-store';
import { randomUUID } from 'node:crypto';

/** What one append takes. */
const AT_ONCE = 100;
const MOST_WAITING = 5000;

interface Waiting {
  event: NewEvent;
  done: () => void;
  failed: (error: unknown) => void;
}

/**
 * Writes down who is shown what of the trail, before it is shown: whoever cannot be recorded is shown nothing. A stream
 * a day and process, so that processes do not wait for each other; what comes together is appended together.
 */
export class AccessLog {
  private waiting: Waiting[] = [];
  private running = false;
  private stream = '';
  private revision = -1;
  private process = randomUUID();

  /** @param keepable what may be recorded of a reader's context */
  constructor(
    private readonly store: EventStore,
    private readonly keepable: (context: CommandContext) => Promise<CommandContext>,
  ) {}

  /** Resolves once it is durable. @throws what an append throws */
  read(question: AuditQuestion, context: CommandContext, count?: number): Promise<void> {
    const data = { ...question, ...(count !== undefined && { count }), readAt: context.now };
    return this.record({ type: 'AuditTrailRead', data }, context);
  }

  exported(question: AuditQuestion, context: CommandContext, count?: number): Promise<void> {
    const data = { ...question, ...(count !== undefined && { count }), exportedAt: context.now };
    return this.record({ type: 'AuditTrailExported', data }, context);
  }

  private async record(event: AuditAccessEvent, asked: CommandContext): Promise<void> {
    const context = await this.keepable(asked);
    if (this.waiting.length >= MOST_WAITING) {
      throw new EventStoreUnavailable('too many readings of the audit trail wait to be recorded', 'not-done');
    }
    return new Promise((done, failed) => {
      const { type, data } = event;
      this.waiting.push({ event: { id: randomUUID(), type, data, metadata: metadataOf(type, context) }, done, failed });
      void this.run();
    });
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, AT_ONCE);
      try {
        await this.append(batch.map(({ event }) => event));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    this.running = false;
  }

  private async append(events: NewEvent[]): Promise<void> {
    const stream = streams.auditAccess(new Date().toISOString().slice(0, 10).replaceAll('-', ''), this.process);
    if (stream !== this.stream) [this.stream, this.revision] = [stream, -1];
    try {
      this.revision = (await this.store.append(stream, this.revision, events)).revision;
    } catch (error) {
      // Nobody knows how long that stream is by now.
      this.process = randomUUID();
      throw error;
    }
  }
}
