/**
 * The one writer. Writes that arrive while a commit is on its way to disk wait and share the next one, so durability
 * costs one sync per group. An answer, a refusal too, is given only when the commit that it rests on is durable.
 */
import type { EventLog } from './storage/event-log.js';
import type { Committed } from './streams/committed.js';
import { GroupPlan, type WriteOutcome, type WriteRequest } from './streams/group-plan.js';

/** The write cannot be made now; whether an earlier attempt was made is unknown. A retry has to use the same ids. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable';
}

const GROUP_REQUESTS = 512;
const GROUP_BYTES = 4 * 1024 * 1024;
/** Beyond this much waiting data, writers are turned away instead of filling the memory. */
const QUEUE_BYTES = 64 * 1024 * 1024;
/** LMDB does not come back from some failures of the disk; then the process has to. */
const COMMIT_TIMEOUT_MS = 60_000;

interface Waiting {
  readonly request: WriteRequest;
  readonly resolve: (outcome: WriteOutcome) => void;
  readonly reject: (error: Error) => void;
}

export interface WriterEvents {
  committed(head: number): void;
  commitFailed(error: Error): void;
  /** The log cannot be used any more; the process should end. */
  fatal(error: Error): void;
}

export class Writer {
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly log: EventLog,
    private readonly committed: Committed,
    private readonly events: WriterEvents,
  ) {}

  /** @throws StoreUnavailable */
  write(request: WriteRequest): Promise<WriteOutcome> {
    if (this.#closed) return Promise.reject(new StoreUnavailable('the event store is stopping'));
    if (this.#queuedBytes + request.sizeBytes > QUEUE_BYTES) {
      return Promise.reject(new StoreUnavailable('too many appends are waiting for the disk'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#queuedBytes += request.sizeBytes;
      this.#start();
    });
  }

  #start(): void {
    if (this.#running !== undefined || this.#queue.length === 0) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#start();
    });
  }

  /** Readers ask for it between chunks: maps the file anew if so much was read that memory should be given back. */
  remapIfDue(): void {
    if (this.#running !== undefined || this.#closed || !this.log.wantsRemap) return;
    this.#running = this.#reopen().finally(() => {
      this.#running = undefined;
      this.#start();
    });
  }

  /** Takes no more writes, and resolves when those it took are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      // Lets everything that has already arrived join the group.
      await new Promise((resolve) => setImmediate(resolve));
      await this.#commitGroup(this.#takeGroup());
      if (this.log.wantsRemap) await this.#reopen();
    }
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { request } of this.#queue) {
      if (count === GROUP_REQUESTS || (count > 0 && bytes + request.sizeBytes > GROUP_BYTES)) break;
      bytes += request.sizeBytes;
      count++;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const plan = new GroupPlan(this.log, this.committed, Date.now());
      const outcomes = group.map(({ request }) => plan.add(request));
      if (plan.entries.length > 0) {
        await this.#bounded(this.log.commit(plan.entries));
        plan.publish();
        this.events.committed(this.committed.head);
      }
      for (const [index, outcome] of outcomes.entries()) group[index]?.resolve(outcome);
    } catch (error) {
      const failure = error as Error;
      this.events.commitFailed(failure);
      // What is on disk now counts, so that neither a position nor a revision is given twice.
      await this.#reopen();
      for (const { reject } of group) reject(new StoreUnavailable(`the commit failed: ${failure.message}`));
    }
  }

  async #reopen(): Promise<void> {
    try {
      await this.log.reopen();
      if (this.log.head() === this.committed.head) return;
      this.committed.reload();
      this.events.committed(this.committed.head);
    } catch (error) {
      this.#closed = true;
      this.events.fatal(error as Error);
    }
  }

  async #bounded(commit: Promise<void>): Promise<void> {
    const watchdog = setTimeout(() => {
      this.events.fatal(new Error(`a commit took longer than ${COMMIT_TIMEOUT_MS / 1000} s`));
    }, COMMIT_TIMEOUT_MS);
    try {
      await commit;
    } finally {
      clearTimeout(watchdog);
    }
  }
}
