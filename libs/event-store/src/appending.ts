import type { ResolvedEvent } from '@kurrent/kurrentdb-client';
import { setTimeout as pause } from 'node:timers/promises';
import { Appends, type Answer } from './append-call.js';
import { encode, positionOf, type EncodedEvent, type NewEvent } from './codec.js';
import type { Connection } from './connection.js';
import { EventStoreUnavailable, RevisionConflict } from './errors.js';
import { NoTurn, Turns } from './turns.js';

/** All of these events or none, exactly behind a revision of their stream (-1: as its first). */
export interface Append {
  stream: string;
  expectedRevision: number;
  events: readonly NewEvent[];
}

/** Where the last event of an append stands. */
export interface Appended {
  revision: number;
  position: bigint;
}

interface Proposed extends Append {
  encoded: readonly EncodedEvent[];
}

/** Reads some events of one stream, for who asks what became of an append. */
type ReadStream = (stream: string, fromRevision: number, maxCount: number) => Promise<ResolvedEvent[]>;

/** Appends in flight: as many as share a commit of the store while many write at once, and a bound on what waits there. */
const APPENDS_AT_ONCE = 128;
/** Appends that wait, and as many may pause at once. */
export const APPENDS_WAITING = 5000;
/** Appends that are sent together, and wait together: what a promise, a bound and a turn cost is paid once for them. */
const LOT = 64;
/** When the place of an append without an answer is given away: its connection is long dead by then. */
const LOST_AFTER_MS = 30_000;
const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 800;

/** Appends of one store, each exactly once: what `EventStore.append` promises is kept here. */
export class Appending {
  private readonly turns = new Turns(APPENDS_AT_ONCE, APPENDS_WAITING);
  private readonly appends: Appends;

  constructor(
    private readonly connection: Connection,
    private readonly read: ReadStream,
    private readonly closing: AbortSignal,
  ) {
    this.appends = new Appends(connection);
  }

  /**
   * What became of each, in their order. None waits for another but for a turn.
   * @throws RangeError for what is no append
   */
  async all(appends: readonly Append[]): Promise<(Appended | Error)[]> {
    for (const one of appends) check(one);
    const giveUpAt = performance.now() + 2 * this.connection.timeoutMs;
    const lots: Promise<(Appended | Error)[]>[] = [];
    for (let from = 0; from < appends.length; from += LOT) {
      lots.push(this.lot(appends.slice(from, from + LOT), giveUpAt));
    }
    return (await Promise.all(lots)).flat();
  }

  private async lot(appends: readonly Append[], giveUpAt: number): Promise<(Appended | Error)[]> {
    const outcomes = new Array<Appended | Error>(appends.length);
    const sent: Proposed[] = [];
    const places: number[] = [];
    for (const [place, one] of appends.entries()) {
      try {
        sent.push({ ...one, encoded: encode(one.events) });
        places.push(place);
      } catch (error) {
        outcomes[place] = error as Error;
      }
    }
    const answers = sent.length === 0 ? [] : await this.attempt(sent, giveUpAt);
    const open: Promise<void>[] = [];
    for (const [nth, one] of sent.entries()) {
      const [place, answer] = [places[nth] as number, answers[nth] as Answer];
      if (typeof answer === 'bigint') outcomes[place] = { revision: lastOf(one), position: answer };
      else {
        const settled = this.settle(one, answer, giveUpAt).catch((error: unknown) => error as Error);
        open.push(settled.then((outcome) => void (outcomes[place] = outcome)));
      }
    }
    if (open.length > 0) await Promise.all(open);
    return outcomes;
  }

  /** One try of each. Never fails: where no answer came, its place holds why. */
  private async attempt(lot: readonly Proposed[], giveUpAt: number): Promise<Answer[]> {
    const { connection, turns } = this;
    const { timeoutMs } = connection;
    const answers = new Array<Answer | undefined>(lot.length);
    const leftMs = (): number => Math.max(1, Math.min(timeoutMs, giveUpAt - performance.now()));
    try {
      if (this.closing.aborted) throw connection.unavailable('is not used any more: disposed', 'not-done');
      const giveBack = await turns.take(leftMs(), lot.length).catch((error: unknown) => {
        throw error instanceof NoTurn ? connection.unavailable(`is too slow: ${error.message}`, 'not-done') : error;
      });
      const lost = setTimeout(giveBack, LOST_AFTER_MS).unref();
      const deadlineMs = Date.now() + 2 * timeoutMs;
      const specs = lot.map(({ stream, expectedRevision, encoded }) => {
        return { stream, expectedRevision, events: encoded, deadlineMs };
      });
      await connection.call(
        'append',
        (client) =>
          this.appends.appendAll(client, specs, answers).finally(() => {
            clearTimeout(lost);
            giveBack();
          }),
        leftMs(),
      );
    } catch (error) {
      return Array.from(answers, (answer) => answer ?? (error as Error));
    }
    return answers as Answer[];
  }

  /** Asks again for what got lost, with the same ids and the same revision. @throws as `EventStore.append` */
  private async settle(one: Proposed, first: Answer, giveUpAt: number): Promise<Appended> {
    let answer = first;
    let unknown = false;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const revision = lastOf(one);
      if (typeof answer === 'bigint') return { revision, position: answer };
      if (answer === 'done') return { revision, position: await this.positionAt(one.stream, revision) };
      if (unknown && answer instanceof RevisionConflict) {
        return { revision, position: await this.findOwn(one, answer) };
      }
      if (!(answer instanceof EventStoreUnavailable)) throw answer;
      unknown ||= answer.outcome === 'unknown';
      if (!unknown) throw answer;
      const over = this.closing.aborted || performance.now() + pauseMs >= giveUpAt;
      if (over) throw new EventStoreUnavailable(answer.message, 'unknown');
      await pause(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: this.closing }).catch(() => undefined);
      [answer] = (await this.attempt([one], giveUpAt)) as [Answer];
    }
  }

  /** Position of our events, if it was they that moved the stream on; else the conflict is one. */
  private async findOwn({ stream, expectedRevision, events }: Append, conflict: RevisionConflict): Promise<bigint> {
    const found = await this.readForOutcome(stream, expectedRevision + 1, events.length);
    const ours = found.length === events.length && found.every(({ event }, index) => event?.id === events[index]?.id);
    if (!ours) throw conflict;
    return positionOf(found.at(-1) ?? {});
  }

  private async positionAt(stream: string, revision: number): Promise<bigint> {
    const [recorded] = await this.readForOutcome(stream, revision, 1);
    return positionOf(recorded ?? {});
  }

  /** A read that an append's outcome hangs on: when it fails, that outcome is unknown. */
  private async readForOutcome(stream: string, fromRevision: number, maxCount: number): Promise<ResolvedEvent[]> {
    try {
      return await this.read(stream, fromRevision, maxCount);
    } catch (error) {
      if (error instanceof EventStoreUnavailable) throw new EventStoreUnavailable(error.message, 'unknown');
      throw error;
    }
  }
}

const lastOf = ({ expectedRevision, events }: Append): number => expectedRevision + events.length;

function check({ expectedRevision, events }: Append): void {
  if (events.length === 0) throw new RangeError('an append needs events');
  if (!Number.isInteger(expectedRevision) || expectedRevision < -1) {
    throw new RangeError(`the expected revision is ${expectedRevision}; it must be an integer from -1 on`);
  }
}
