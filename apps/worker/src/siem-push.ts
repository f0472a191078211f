import { AUDITED_STREAM_PREFIXES, type RecordedEvent } from '@keyledger/contracts';
import { cloudEventOf, Subjects, trailRow } from '@keyledger/audit';
import type { ChannelState } from '@keyledger/domain';
import type { Decisions, EventBatch, EventStore } from '@keyledger/event-store';
import { idFrom, newId, withPersonalWithheld, type Logger, type Metrics, type Sealing } from '@keyledger/platform';
import { concerns, type ChannelDirectory, type Checkpoints, type KnownChannel } from '@keyledger/read-model';
import { setTimeout as sleep } from 'node:timers/promises';
import { disableChannel } from './disable-channel.js';
import { tryOf, type Try } from './notifications/courier.js';
import type { Outbound } from './outbound.js';
import { ReactorLoop, type Reactor } from './reactor.js';
import { requestsOf, type EventText } from './siem-requests.js';
import { signedHeaders } from './signing.js';
import { VERSION } from './version.js';

export interface SiemPushParts {
  store: EventStore;
  decisions: Decisions;
  channels: ChannelDirectory;
  checkpoints: Checkpoints;
  outbound: Pick<Outbound, 'post'>;
  sealing: Sealing;
  metrics: Metrics;
  logger: Logger;
}

const CONTENT_TYPE = 'application/cloudevents-batch+json';
const LOOK_EVERY_MS = 250;
/** Longer than one request may take. */
const HOLD_MS = 30_000;
const TURN_MS = 1000;
const LONGEST_WAIT_SECONDS = 300;

interface Running {
  loop: ReactorLoop;
  end: AbortController;
  done: Promise<void>;
}

/**
 * Sends the audit trail to every webhook of the format `cloudevents`. Each has a way of its own through the log with a
 * cursor of its own, so that one whose receiver is away holds up no other.
 */
export class SiemPush {
  private readonly running = new Map<string, Running>();
  private readonly subjects: Subjects;
  /** Names this worker where one of several pushes to a channel. */
  private readonly holder = newId();

  constructor(private readonly parts: SiemPushParts) {
    this.subjects = new Subjects(parts.store);
    const help = '1 while a channel of the format cloudevents does not take the trail';
    parts.metrics.gauge('keyledger_siem_push_failing', help, ['channel'], (gauge) => {
      gauge.reset();
      for (const [channel, { loop }] of this.running) {
        gauge.set({ channel }, Number(loop.state().lastError !== undefined));
      }
    });
  }

  /** Begins and ends the ways of channels as they come and go, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.parts.channels.caughtUp) await this.attune();
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await Promise.all([...this.running.keys()].map((channelId) => this.stop(channelId)));
  }

  private async attune(): Promise<void> {
    const wanted = new Map(this.parts.channels.gettingTrail().map((known) => [known.channel.channelId, known]));
    const over = [...this.running.keys()].filter((channelId) => !wanted.has(channelId));
    await Promise.all(over.map((channelId) => this.stop(channelId)));
    for (const [channelId, known] of wanted) if (!this.running.has(channelId)) this.start(channelId, known);
  }

  private start(channelId: string, known: KnownChannel): void {
    const { store, checkpoints, logger } = this.parts;
    const end = new AbortController();
    const way = new ChannelWay(known, this.parts, this.subjects, this.holder, end.signal);
    const loop = new ReactorLoop(way, store, checkpoints, logger);
    this.running.set(channelId, { loop, end, done: loop.run(end.signal) });
  }

  private async stop(channelId: string): Promise<void> {
    const running = this.running.get(channelId);
    if (!running) return;
    this.running.delete(channelId);
    running.end.abort();
    await running.done;
    const { checkpoints, channels } = this.parts;
    const name = cursorOf(channelId);
    // Where Redis is away, the hold expires, and the cursor of a channel that is gone is in nobody's way.
    await checkpoints.release(name, this.holder).catch(() => undefined);
    if (!channels.byId(channelId)) await checkpoints.forget(name).catch(() => undefined);
  }
}

const cursorOf = (channelId: string): string => `siem:${channelId}`;

/** One channel's way through the trail: what its receiver has taken is behind its cursor, and nothing else is. */
class ChannelWay implements Reactor {
  readonly name: string;
  readonly streamPrefixes = AUDITED_STREAM_PREFIXES;
  private readonly channelId: string;

  constructor(
    private readonly known: KnownChannel,
    private readonly parts: SiemPushParts,
    private readonly subjects: Subjects,
    private readonly holder: string,
    private readonly signal: AbortSignal,
  ) {
    this.channelId = known.channel.channelId;
    this.name = cursorOf(this.channelId);
  }

  /** All since it was registered: what was sent before comes again, under the same ids. */
  async recover(): Promise<bigint> {
    return this.known.registeredAt;
  }

  async react({ events }: EventBatch): Promise<void> {
    await this.turn();
    const taken = (await this.parts.checkpoints.read(this.name)) ?? 0n;
    const left = events.filter(({ position }) => position > taken);
    const subjects = await this.subjects.of(left, this.signal);
    const { audience } = this.known.channel;
    const own = left.flatMap((recorded, index) => {
      const subject = subjects[index] ?? {};
      if (!concerns(audience, subject)) return [];
      const shown = withPersonalWithheld(recorded);
      const text = JSON.stringify(cloudEventOf(shown, subject, trailRow(shown, subject).data, VERSION));
      return [{ recorded, text }];
    });
    for (const request of requestsOf(own)) await this.send(request);
  }

  /** Waits until this worker is the one that pushes to the channel: of several, the others stand by. */
  private async turn(): Promise<void> {
    while (!(await this.parts.checkpoints.claim(this.name, this.holder, HOLD_MS))) {
      await sleep(TURN_MS, undefined, { signal: this.signal });
    }
  }

  private async send(request: Mapped[]): Promise<void> {
    const { outbound, sealing, checkpoints } = this.parts;
    const channel = this.channel();
    const first = request[0]?.recorded.position;
    const last = request.at(-1)?.recorded.position;
    if (first === undefined || last === undefined) return;
    if (!(await checkpoints.claim(this.name, this.holder, HOLD_MS))) throw new Error('another worker has taken over');
    const id = idFrom(`siem ${this.channelId} ${first} ${last}`);
    const body = `[${request.map(({ text }) => text).join(',')}]`;
    const headers = { ...signedHeaders(sealing, channel, { id, body, at: new Date() }), 'content-type': CONTENT_TYPE };
    const tried = tryOf(await outbound.post({ url: channel.target.url ?? '', headers, body }));
    if (tried.result === 'delivered') return checkpoints.advance(this.name, last);
    await this.failed(tried);
  }

  /** @throws Error always, so that the batch comes again */
  private async failed(tried: Exclude<Try, { result: 'delivered' }>): Promise<never> {
    const { decisions, logger } = this.parts;
    const { result, problem, retryAfterSeconds = 0 } = tried;
    if (result === 'gone') await disableChannel(decisions, logger, this.channelId, problem);
    const seconds = Math.min(retryAfterSeconds, LONGEST_WAIT_SECONDS);
    if (seconds > 0) await sleep(seconds * 1000, undefined, { signal: this.signal });
    throw new Error(`the channel ${this.channelId} does not take the trail: ${problem}`);
  }

  /** As it is by now: its address and its secrets may have changed. */
  private channel(): ChannelState {
    const channel = this.parts.channels.byId(this.channelId)?.channel;
    if (!channel || channel.disabled !== undefined) throw new Error(`the channel ${this.channelId} is not enabled`);
    return channel;
  }
}

interface Mapped extends EventText {
  recorded: RecordedEvent;
}
