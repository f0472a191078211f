import type { EventBatch, EventStore } from '@keyledger/event-store';
import type { Logger } from '@keyledger/platform';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Precedence } from './precedence.js';

/** Turns what happened into what has to happen next: jobs, further events, hints in Redis. */
export interface Reactor {
  /** Names its checkpoint. */
  readonly name: string;
  readonly streamPrefixes: readonly string[];
  /**
   * Acts on a batch, in the order of the log. It may be given events again that it has acted on, by this process or
   * another, so whatever it does must come to the same when done twice. A throw has the batch come again later.
   */
  react(batch: EventBatch): Promise<void>;
  /** It has acted on all there was. Called whenever it has caught up; a throw has its work begin again. */
  caughtUp?(signal: AbortSignal): Promise<void>;
  /** Before it begins, and again whenever it begins anew: where to begin if its checkpoint is lost; default the start. */
  recover?(): Promise<bigint | undefined>;
}

/**
 * Where a reactor's way is remembered: the `Tenure` of what it derives into Redis, or, where all that it does is in the
 * log or with others and a lost second of Redis takes nothing of it, `Checkpoints`.
 */
export interface Progress {
  read(reactor: string): Promise<bigint | undefined>;
  /** A throw has the reactor begin anew where `read` then says. */
  advance(reactor: string, position: bigint): Promise<void>;
  /** It has acted on all there was. */
  caughtUp?(position: bigint): Promise<void>;
  /** Asked again and again: what it did may have been lost since, and then it begins anew too. */
  isIntact?(): Promise<boolean>;
}

const BATCH = 500;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
const LOOK_EVERY_MS = 1000;

/** What a reactor's loop can say of itself. */
export interface ReactorState {
  subscribed: boolean;
  /** It had acted on all there was when it last read from the log. */
  live: boolean;
  position: bigint;
  lastError?: string;
}

/** One reactor's way through the log: act first, checkpoint after. */
export class ReactorLoop {
  private readonly told: { subscribed: boolean; live: boolean; position: bigint; lastError: string | undefined } = {
    subscribed: false,
    live: false,
    position: 0n,
    lastError: undefined,
  };

  constructor(
    private readonly reactor: Reactor,
    private readonly store: Pick<EventStore, 'subscribe'>,
    private readonly progress: Progress,
    private readonly logger: Logger,
    /** Stepped back for while there is much to go through. */
    private readonly precedence?: Precedence,
  ) {}

  state(): ReactorState {
    const { lastError, ...told } = this.told;
    return lastError === undefined ? told : { ...told, lastError };
  }

  /** @throws Error that says that it does not follow the log, and why; `what` is what it follows it for */
  assertFollowing(what: string): void {
    const { subscribed, lastError } = this.told;
    if (subscribed && lastError === undefined) return;
    throw new Error(`${what} are not followed${lastError === undefined ? '' : `: ${lastError}`}`);
  }

  /** Works until the signal aborts. What fails is said once and tried again, with a growing pause. */
  async run(signal: AbortSignal): Promise<void> {
    const { name } = this.reactor;
    for (let failures = 0; !signal.aborted;) {
      const session = new AbortController();
      const end = (): void => session.abort();
      signal.addEventListener('abort', end, { once: true });
      const look = setInterval(() => void this.lookWhetherIntact(session), LOOK_EVERY_MS);
      try {
        for await (const _ of this.batches(session.signal)) failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.told.lastError = error instanceof Error ? error.message : String(error);
        if (failures === 0) this.logger.warn({ err: error }, `the reactor ${name} was interrupted`);
      } finally {
        clearInterval(look);
        signal.removeEventListener('abort', end);
        session.abort();
      }
      this.told.subscribed = false;
      this.told.live = false;
      await pause(Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS), signal);
    }
  }

  /** Redis may lose what it has while nothing happens that would tell. */
  private async lookWhetherIntact(session: AbortController): Promise<void> {
    const { progress, told, reactor } = this;
    if (!told.subscribed || !progress.isIntact || (await progress.isIntact().catch(() => true))) return;
    if (session.signal.aborted) return;
    this.logger.warn({}, `Redis may have lost what the reactor ${reactor.name} derived; it is derived again`);
    session.abort();
  }

  private async *batches(signal: AbortSignal): AsyncGenerator<void> {
    const { reactor, progress, told, precedence } = this;
    await precedence?.turn(signal);
    const after = (await progress.read(reactor.name)) ?? (await reactor.recover?.()) ?? 0n;
    told.position = after;
    const subscription = this.store.subscribe({
      after: after === 0n ? 'start' : after,
      streamPrefixes: reactor.streamPrefixes,
      maxBatch: BATCH,
      signal,
      onState: (state) => {
        told.subscribed = state === 'connected';
      },
    });
    for await (const batch of subscription) {
      if (!told.live) await precedence?.turn(signal);
      if (batch.events.length > 0) await reactor.react(batch);
      if (batch.position > told.position) await progress.advance(reactor.name, batch.position);
      told.position = batch.position;
      if (batch.live && !told.live) {
        await reactor.caughtUp?.(signal);
        await progress.caughtUp?.(batch.position);
      }
      told.live = batch.live;
      told.lastError = undefined;
      yield;
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
