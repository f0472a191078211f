import type { RecordedEvent } from '@keyledger/contracts';
import type { ReportSource } from './report.js';

/** Streams of which it is held at once what they had come to. */
const MOST_HELD = 10_000;

/**
 * What the events of a stream had made of it at the place of the log that a report has come to: held for the streams to
 * which something happened last, and folded again from its own events for another one.
 */
export class InPassing<T> {
  private readonly held = new Map<string, { value: T | undefined; revision: number }>();

  /** @param step what an event makes of what there was; not of events that follow no first one */
  constructor(
    private readonly source: Pick<ReportSource, 'eventsOf'>,
    private readonly step: (before: T | undefined, recorded: RecordedEvent) => T | undefined,
    private readonly mostHeld = MOST_HELD,
  ) {}

  /** Goes on behind an event; has to be told every one. */
  follow(recorded: RecordedEvent): void {
    const { stream, revision } = recorded;
    const known = this.held.get(stream);
    if (known ? revision === known.revision + 1 : revision === 0) {
      this.keep(stream, revision, this.step(known?.value, recorded));
    }
  }

  /** What there was before an event that `follow` has not been told yet. */
  async before({ stream, revision }: RecordedEvent): Promise<T | undefined> {
    const known = this.held.get(stream);
    if (known || revision === 0) return known?.value;
    let value: T | undefined;
    for await (const batch of this.source.eventsOf(stream, revision)) {
      for (const one of batch) value = this.step(value, one);
    }
    this.keep(stream, revision - 1, value);
    return value;
  }

  get size(): number {
    return this.held.size;
  }

  private keep(stream: string, revision: number, value: T | undefined): void {
    this.held.delete(stream);
    this.held.set(stream, { value, revision });
    const [oldest] = this.held.size > this.mostHeld ? this.held.keys() : [];
    if (oldest !== undefined) this.held.delete(oldest);
  }
}
