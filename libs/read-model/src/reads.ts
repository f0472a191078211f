import { Cluster, Command } from 'ioredis';
import type { RedisClient } from './connect.js';
import { ReadModelUnavailable } from './unavailable.js';

interface Asked {
  name: string;
  answer: (text: string | null) => void;
  fail: (error: ReadModelUnavailable) => void;
}

const NAMES_PER_COMMAND = 256;

/**
 * Reads of one key each, on the path of every verification. Those of one turn of the event loop travel as one MGET:
 * under load a command, its promise, its timeout and its place in a pipeline cost this process more than all else that
 * a verification does, and here they are paid once a turn. A lone read waits for nothing but the end of its turn.
 *
 * A Cluster takes no MGET across slots: there each read is a GET, which the client gathers in a pipeline per node.
 */
export class Reads {
  private asked: Asked[] = [];

  constructor(private readonly client: RedisClient) {}

  /** @throws ReadModelUnavailable if Redis cannot be reached */
  get(name: string): Promise<string | null> {
    if (this.client instanceof Cluster)
      return this.client.get(name).catch((error: unknown) => Promise.reject(unreachable(error)));
    return new Promise((answer, fail) => {
      if (this.asked.push({ name, answer, fail }) === 1) setImmediate(() => this.send());
    });
  }

  private send(): void {
    const { asked } = this;
    this.asked = [];
    for (let from = 0; from < asked.length; from += NAMES_PER_COMMAND) {
      void this.read(asked.slice(from, from + NAMES_PER_COMMAND));
    }
  }

  private async read(asked: readonly Asked[]): Promise<void> {
    // As a command of its own: `client.mget` would wait another turn for company.
    const command = new Command(
      'mget',
      asked.map(({ name }) => name),
      { replyEncoding: 'utf8' },
    );
    try {
      const texts = (await this.client.sendCommand(command)) as (string | null)[];
      for (let i = 0; i < asked.length; i++) asked[i]?.answer(texts[i] ?? null);
    } catch (error) {
      for (const { fail } of asked) fail(unreachable(error));
    }
  }
}

function unreachable(error: unknown): ReadModelUnavailable {
  return new ReadModelUnavailable('unreachable', error);
}
