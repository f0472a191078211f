import { redisNames } from '@keyledger/contracts';
import { Cluster, Command } from 'ioredis';
import type { RedisClient } from './connect.js';
import { ReadModelUnavailable } from './unavailable.js';

/** A name of a generation, and the hash tag in it. */
interface Place {
  name: string;
  generation: string;
  tag: string;
}

interface Asked extends Place {
  answer: (text: string | null) => void;
  fail: (error: ReadModelUnavailable) => void;
}

const NAMES_PER_COMMAND = 256;

/**
 * Reads of one key each, on the path of every verification. Those of one turn of the event loop travel as one MGET:
 * under load a command, its promise, its timeout and its place in a pipeline cost this process more than all else that
 * a verification does, and here they are paid once a turn. A lone read waits for nothing but the end of its turn.
 *
 * With them comes, in the same step, whether their generation is there at all: where Redis was emptied a writer who has not
 * heard of it may have put an old record into it. One marker of a generation tells it for all of one server; a Cluster takes
 * no MGET across slots, so there each read brings the marker of its own, and the client gathers them in a pipeline per node.
 */
export class Reads {
  private asked: Asked[] = [];

  constructor(private readonly client: RedisClient) {}

  /**
   * `null` where nothing stands, which alone does not say that there was nothing.
   * @throws ReadModelUnavailable if Redis cannot be reached, or the generation is gone
   */
  get(place: Place): Promise<string | null> {
    if (this.client instanceof Cluster) return this.getAlone(place);
    const { name, generation, tag } = place;
    return new Promise((answer, fail) => {
      if (this.asked.push({ name, generation, tag, answer, fail }) === 1) setImmediate(() => this.send());
    });
  }

  private async getAlone({ name, generation, tag }: Place): Promise<string | null> {
    const [text = null, marker] = await this.client
      .mget(name, redisNames.marker(generation, tag))
      .catch((error: unknown) => Promise.reject(unreachable(error)));
    if (typeof marker !== 'string') throw new ReadModelUnavailable('missing');
    return text;
  }

  private send(): void {
    const { asked } = this;
    this.asked = [];
    for (let from = 0; from < asked.length; from += NAMES_PER_COMMAND) {
      void this.read(asked.slice(from, from + NAMES_PER_COMMAND));
    }
  }

  private async read(asked: readonly Asked[]): Promise<void> {
    const names: string[] = [];
    // Nearly always one: all ask for the live generation.
    const markers = new Map<string, string>();
    for (const { name, generation, tag } of asked) {
      names.push(name);
      if (!markers.has(generation)) markers.set(generation, redisNames.marker(generation, tag));
    }
    names.push(...markers.values());
    // As a command of its own: `client.mget` would wait another turn for company.
    const command = new Command('mget', names, { replyEncoding: 'utf8' });
    try {
      const texts = (await this.client.sendCommand(command)) as (string | null)[];
      const there = new Set([...markers.keys()].filter((_, nth) => typeof texts[asked.length + nth] === 'string'));
      for (let i = 0; i < asked.length; i++) {
        const { generation, answer, fail } = asked[i] as Asked;
        if (there.has(generation)) answer(texts[i] ?? null);
        else fail(new ReadModelUnavailable('missing'));
      }
    } catch (error) {
      for (const { fail } of asked) fail(unreachable(error));
    }
  }
}

function unreachable(error: unknown): ReadModelUnavailable {
  return new ReadModelUnavailable('unreachable', error);
}
