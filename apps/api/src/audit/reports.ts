import { AUDITED_STREAM_PREFIXES, refusal, type RecordedEvent } from '@keyledger/contracts';
import {
  renderReport,
  runReport,
  type Cut,
  type History,
  type KeyAt,
  type ReportFormat,
  type ReportHead,
  type ReportSource,
} from '@keyledger/audit';
import type { EventStore } from '@keyledger/event-store';
import { RefusalError, type PersonalData } from '@keyledger/platform';
import { Readable } from 'node:stream';
import { setImmediate as giveWay } from 'node:timers/promises';

/** Each reads the log and works on it in this process, beside everything else that it has to answer. */
const AT_ONCE = 2;
/** Whoever takes longer to take a report away is cut off, since his place is wanted. */
const LONGEST_MS = 30 * 60_000;

/** Makes reports from the event store and the snapshots of its past, a few at once. */
export class Reports {
  private running = 0;

  constructor(
    private readonly store: EventStore,
    private readonly history: History,
    private readonly personal: PersonalData,
  ) {}

  /**
   * The text of a report. The first lines are waited for, so that what fails at once is an answer of its own; what
   * fails later breaks the connection, so that half of a report is never taken for the whole.
   * @param left aborted when whoever asked has left
   * @throws RefusalError RATE_LIMITED while others are made; what reading the event store throws
   */
  async make(format: ReportFormat, head: ReportHead, left: AbortSignal): Promise<Readable> {
    if (this.running >= AT_ONCE) throw busy();
    this.running += 1;
    const enough = AbortSignal.any([left, AbortSignal.timeout(LONGEST_MS)]);
    try {
      const rows = runReport(head.report, head, this.source(await this.store.head(), enough));
      const first = await rows.next();
      const whole = async function* () {
        if (!first.done) yield first.value;
        yield* rows;
      };
      const text = Readable.from(renderReport(format, head, whole()), { objectMode: false, signal: enough });
      text.once('close', () => {
        this.running -= 1;
        // A generator that was never read does not end by itself.
        void rows.return();
      });
      return text;
    } catch (error) {
      this.running -= 1;
      throw error;
    }
  }

  /** @param head what comes behind it, though it be in the same instant, is not for one pass and not for another */
  private source(head: bigint, signal: AbortSignal): ReportSource {
    return {
      events: (streams) => this.events(streams, signal),
      eventsOf: (stream, count) => this.eventsOf(stream, count, signal),
      keysAt: (at) => this.keysAt({ recordedUntil: at, position: head }, signal),
    };
  }

  private async *events(streams: readonly string[], signal: AbortSignal): AsyncGenerator<RecordedEvent[]> {
    if (streams.length === 0) return;
    const streamPrefixes = AUDITED_STREAM_PREFIXES.filter((prefix) => streams.includes(prefix));
    for await (const batch of this.store.readAll({ direction: 'forwards', streamPrefixes, signal })) {
      // Before it is folded: two tokens of one person differ, and would count as two.
      yield await this.personal.revealDeep(batch);
      await giveWay();
    }
  }

  private async *eventsOf(stream: string, limit: number, signal: AbortSignal): AsyncGenerator<RecordedEvent[]> {
    for await (const batch of this.store.readStream(stream, { direction: 'forwards', limit, signal })) {
      yield await this.personal.revealDeep(batch);
    }
  }

  private async *keysAt(cut: Cut, signal: AbortSignal): AsyncGenerator<KeyAt[]> {
    for await (const found of this.history.keysAt(cut, { signal })) {
      yield await this.personal.revealDeep(found.map((one) => one.key()));
      await giveWay();
    }
  }
}

function busy(): RefusalError {
  const detail = `This process makes ${AT_ONCE} reports already; ask again when one is done.`;
  return new RefusalError(refusal('RATE_LIMITED', detail), { 'retry-after': '5' });
}
