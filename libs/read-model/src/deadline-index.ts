import { DEADLINE_TAGS, redisNames, type DeadlineIndexName } from '@keyledger/contracts';
import type { RedisClient } from './connect.js';
import { RedisLink, type KeyCommand } from './link.js';
import { putDeadline, stepsWithin } from './scripts.js';
import { Tenure } from './tenure.js';

/** When somebody has to look at something next. */
export interface DeadlineEntry {
  id: string;
  /** Milliseconds since the Unix epoch; absent: never, as it is. */
  at?: number | undefined;
  /** Revision of the stream that this follows from. */
  revision: number;
}

export interface Due {
  id: string;
  at: number;
}

/** What is due from one instant on and before another, in one part of the index; milliseconds since the Unix epoch. */
export interface Stretch {
  part: string;
  /** Absent: from the beginning. */
  from?: number;
  until: number;
}

/** Versions as they fit into the fraction of a score beside milliseconds up to the year 2109. */
const VERSIONS = 1024;
const LAST_MS = 2 ** 42 - 1;
/** Events come back to the process that has just caused them within seconds. */
const MOST_REMEMBERED = 20_000;

/**
 * The one next deadline of each key (or delivery), in a few sorted sets: member the id, score the instant. It is derived
 * from the events by whoever follows them, in any order and by several processes at once, and of no generation.
 *
 * Each set has a mark in its own slot that says up to which position of the log everything is in it (see Tenure).
 */
export class DeadlineIndex {
  private readonly link: RedisLink;
  private readonly tenure: Tenure;
  /** By id the revision from which this process has last stated something since it read the marks. */
  private readonly stated = new Map<string, number>();
  /** Grows whenever marks are read: what is put meanwhile may have gone before what they say, and been lost. */
  private readings = 0;

  constructor(
    redis: RedisClient,
    private readonly name: DeadlineIndexName,
  ) {
    this.link = RedisLink.of(redis);
    const slots = DEADLINE_TAGS.map((tag) => ({ tag, mark: redisNames.deadlineMarker(name, tag) }));
    this.tenure = new Tenure(redis, slots);
  }

  /** Up to where the log is in the index, for whoever derives it. @throws as `Tenure.read` */
  async read(): Promise<bigint> {
    this.readings += 1;
    const position = await this.tenure.read();
    this.readings += 1;
    this.stated.clear();
    return position;
  }

  /** Everything up to a position is in the index. @throws TenureLost, ReadModelUnavailable */
  advance(reactor: string, position: bigint): Promise<void> {
    return this.tenure.advance(reactor, position);
  }

  /** Whether the index is still the one that this process derives. @throws ReadModelUnavailable */
  isIntact(): Promise<boolean> {
    return this.tenure.isIntact();
  }

  /** States when things are due next. What follows from a newer revision stays. @throws ReadModelUnavailable */
  async put(entries: readonly DeadlineEntry[]): Promise<void> {
    const { readings } = this;
    await this.link.batch(
      entries.map(({ id, at, revision }) => {
        const version = revision % VERSIONS;
        const score =
          at === undefined ? '' : String(Math.min(Math.max(0, Math.floor(at)), LAST_MS) + version / VERSIONS);
        return { call: putDeadline, key: redisNames.deadlines(this.name, tagOf(id)), args: [id, score, version] };
      }),
    );
    if (readings === this.readings) this.remember(entries);
  }

  /** Whether this process has stated what follows from that revision or a newer one, as far as it remembers. */
  holds(id: string, revision: number): boolean {
    return (this.stated.get(id) ?? -1) >= revision;
  }

  private remember(entries: readonly DeadlineEntry[]): void {
    for (const { id, revision } of entries) {
      if (this.holds(id, revision)) continue;
      this.stated.delete(id);
      this.stated.set(id, revision);
    }
    for (const id of this.stated.keys()) {
      if (this.stated.size <= MOST_REMEMBERED) break;
      this.stated.delete(id);
    }
  }

  /** What is due until an instant, some of the earliest of each part, at most about `limit`. @throws ReadModelUnavailable */
  async due(untilMs: number, limit: number): Promise<Due[]> {
    const most = Math.ceil(limit / DEADLINE_TAGS.length);
    const stretches = DEADLINE_TAGS.map((part): Stretch => ({ part, until: untilMs + 1 }));
    const replies = await this.link.batch(stretches.map((stretch) => this.reading(stretch, most)));
    return replies.flatMap((reply) => pairsOf(reply as string[]));
  }

  /** The earliest of a stretch, at most `limit`. @throws ReadModelUnavailable */
  async within(stretch: Stretch, limit: number): Promise<Due[]> {
    const [reply] = await this.link.batch([this.reading(stretch, limit)]);
    return pairsOf(reply as string[]);
  }

  /** The part of the index that an id belongs to. */
  partOf(id: string): string {
    return tagOf(id);
  }

  /** The parts in which anything is due before an instant. @throws ReadModelUnavailable */
  async partsDueBefore(untilMs: number): Promise<string[]> {
    const replies = await this.link.batch(DEADLINE_TAGS.map((part) => this.reading({ part, until: untilMs }, 1)));
    return DEADLINE_TAGS.filter((_, index) => (replies[index] as string[]).length > 0);
  }

  /**
   * Of each part those steps of time in which anything is due, from an instant on and before another: `at` is the
   * beginning of a step, a multiple of its width. @throws ReadModelUnavailable
   */
  async steps(fromMs: number, untilMs: number, widthMs: number): Promise<{ part: string; at: number }[]> {
    const args = [fromMs, untilMs, widthMs];
    const replies = await this.link.batch(
      DEADLINE_TAGS.map((part) => ({ call: stepsWithin, key: redisNames.deadlines(this.name, part), args })),
    );
    return DEADLINE_TAGS.flatMap((part, index) => (replies[index] as number[]).map((at) => ({ part, at })));
  }

  private reading({ part, from, until }: Stretch, limit: number): KeyCommand {
    const args = [from ?? '-inf', `(${until}`, 'WITHSCORES', 'LIMIT', 0, limit];
    return { call: 'zrangebyscore', key: redisNames.deadlines(this.name, part), args };
  }

  /** How many deadlines there are. @throws ReadModelUnavailable */
  async size(): Promise<number> {
    const keys = DEADLINE_TAGS.map((tag) => ({ call: 'zcard', key: redisNames.deadlines(this.name, tag) }));
    return (await this.link.batch(keys)).reduce<number>((sum, one) => sum + Number(one), 0);
  }
}

function tagOf(id: string): string {
  let sum = 0;
  for (let i = 0; i < id.length; i++) sum = (sum * 31 + id.charCodeAt(i)) >>> 0;
  return DEADLINE_TAGS[((sum ^ (sum >>> 7)) >>> 0) % DEADLINE_TAGS.length] as string;
}

function pairsOf(reply: readonly string[]): Due[] {
  const found: Due[] = [];
  for (let i = 0; i + 1 < reply.length; i += 2) {
    found.push({ id: String(reply[i]), at: Math.floor(Number(reply[i + 1])) });
  }
  return found;
}
