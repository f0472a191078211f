import { queuePrefix, type QueueName } from '@keyledger/contracts';
import type { Logger } from '@keyledger/platform';
import { connectForQueues, type RedisClient } from '@keyledger/read-model';
import { Queue, Worker, type Job, type JobsOptions } from 'bullmq';

/** How often a job is tried, and the pauses between: 1 s, 2 s, 4 s … with jitter. Its queue's sweep begins it anew. */
const TRIES: JobsOptions = {
  attempts: 8,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  // A job that is done must go at once: while it is there, another of the same id is ignored.
  removeOnComplete: true,
  removeOnFail: { count: 1000, age: 7 * 86_400 },
};

/** A job that begins at an instant. */
export interface TimedJob<T> {
  /** It follows from what the job is about, so that the same job is in its queue once, whoever puts it there. */
  id: string;
  /** Milliseconds since the Unix epoch; now, if that has passed. */
  at: number;
  data: T;
}

/** A sweep puts a lost or failed one in again, so that one that is over must leave nothing that stands in its way. */
const TIMED: JobsOptions = {
  attempts: 4,
  backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: true,
};
const ADDED_AT_ONCE = 1000;

export interface ProcessOptions {
  concurrency: number;
  /** How long a worker may be silent before another takes its job over. */
  lockMs?: number;
}

/**
 * The BullMQ queues of this process. Everything in them can be lost: what has to be done is derived again from the
 * events by whoever owns a queue, under the same job ids.
 */
export class Queues {
  private readonly queues = new Map<QueueName, Queue>();
  private readonly workers: Worker[] = [];
  private readonly clients: RedisClient[] = [];
  private readonly shared: RedisClient;
  private held = false;
  private settled: (queue: QueueName, outcome: 'completed' | 'failed') => void = () => undefined;

  constructor(
    private readonly redisUrl: string,
    private readonly logger: Logger,
  ) {
    this.shared = this.connect();
  }

  queue(name: QueueName): Queue {
    const known = this.queues.get(name);
    if (known) return known;
    const queue = new Queue(name, {
      connection: this.shared,
      prefix: queuePrefix(name),
      defaultJobOptions: TRIES,
    });
    queue.on('error', (error) => this.logger.warn({ err: error, queue: name }, 'a queue cannot reach Redis'));
    this.queues.set(name, queue);
    return queue;
  }

  /** Puts in those jobs that are not there. @throws an error of Redis; some may be there then, and again is always right */
  async addTimed<T>(queue: QueueName, name: string, jobs: readonly TimedJob<T>[], nowMs: number): Promise<void> {
    for (let from = 0; from < jobs.length; from += ADDED_AT_ONCE) {
      await this.queue(queue).addBulk(
        jobs.slice(from, from + ADDED_AT_ONCE).map(({ id, at, data }) => ({
          name,
          data,
          opts: { ...TIMED, jobId: id, delay: Math.max(0, at - nowMs) },
        })),
      );
    }
  }

  /** Has somebody hear of every try of a job that this process ends. */
  onSettled(listener: (queue: QueueName, outcome: 'completed' | 'failed') => void): void {
    this.settled = listener;
  }

  /** Works on a queue's jobs from now on. A throw has the job tried again, as its options say. */
  process<T>(name: QueueName, work: (job: Job<T>) => Promise<unknown>, options: ProcessOptions): Worker<T> {
    const { concurrency, lockMs = 30_000 } = options;
    const worker = new Worker<T>(name, work, {
      connection: this.connect(),
      prefix: queuePrefix(name),
      concurrency,
      lockDuration: lockMs,
      stalledInterval: lockMs,
      maxStalledCount: 10,
    });
    worker.on('error', (error) => this.logger.warn({ err: error, queue: name }, 'a queue cannot reach Redis'));
    worker.on('completed', () => this.settled(name, 'completed'));
    worker.on('failed', (job, error) => {
      this.settled(name, 'failed');
      const { id, attemptsMade } = job ?? {};
      this.logger.warn({ err: error, queue: name, jobId: id, attemptsMade }, 'a job failed');
    });
    this.workers.push(worker as Worker);
    if (this.held) void worker.pause(true).catch(() => undefined);
    return worker;
  }

  /** Takes no new jobs for now, or takes them again; those at hand go on. */
  hold(how: 'hold' | 'go on'): void {
    this.held = how === 'hold';
    for (const worker of this.workers) {
      if (how === 'go on') void worker.resume();
      else void worker.pause(true).catch(() => undefined);
    }
  }

  /** Lets the jobs at hand end, no longer than six seconds; others are taken over elsewhere or later. */
  async close(): Promise<void> {
    const force = setTimeout(() => void Promise.all(this.workers.map((one) => one.close(true))), CLOSE_WITHIN_MS);
    await Promise.all(this.workers.map((one) => one.close().catch(() => undefined)));
    clearTimeout(force);
    await Promise.all([...this.queues.values()].map((one) => one.close().catch(() => undefined)));
    for (const client of this.clients) client.disconnect();
  }

  private connect(): RedisClient {
    const client = connectForQueues(this.redisUrl);
    this.clients.push(client);
    return client;
  }
}

const CLOSE_WITHIN_MS = 6000;
