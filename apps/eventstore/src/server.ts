/**
 * The store's protocol on a loopback port: which method goes to which handler, and a stop that leaves nobody without
 * an answer. What is not here answers UNIMPLEMENTED, and is not advertised.
 */
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ADMIN_BACKUP_PATH, ADMIN_STATUS_PATH, type BackupResult, type StoreStatus } from './admin-names.js';
import { append, remove } from './services/append.service.js';
import { BatchAppendCall } from './services/batch-append.service.js';
import { read } from './services/read.service.js';
import { BackupRefused, type Store } from './store.js';
import { type Answers, type MessageBatch, rawMethod, Refusal, sendBatches, stopping, toStatus } from './transport.js';
import {
  APPEND_PATH,
  BATCH_APPEND_PATH,
  clusterInfo,
  DELETE_PATH,
  FEATURES_PATH,
  GOSSIP_PATH,
  READ_PATH,
  supportedMethods,
  TOMBSTONE_PATH,
} from './wire/node-messages.js';

/** Larger than any append that is accepted, so that a large one is refused by name and not by the transport. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** How long clients get to take their last answers and statuses. */
const DRAIN_MS = 2000;

/** There is neither TLS nor a password here, so nobody outside this machine may be let in. */
export const HOST = '127.0.0.1';

export class EventStoreServer {
  readonly #server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': -1,
    'grpc.enable_channelz': 0,
    interceptors: [sendBatches],
  });
  readonly #startedMs = Date.now();
  readonly #reads = new Set<Answers>();
  readonly #batches = new Set<BatchAppendCall>();
  #stopping = false;
  #port = 0;

  constructor(
    private readonly store: Store,
    private readonly onFault: (error: unknown) => void,
  ) {
    this.#server.addService(...this.#methods());
  }

  get port(): number {
    return this.#port;
  }

  async listen(port: number): Promise<number> {
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`${HOST}:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    return this.#port;
  }

  /**
   * Finishes the writes that were received, answers them, ends every other call with UNAVAILABLE, and closes the port.
   * The store is still open afterwards.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.store.finishWrites();
    for (const answers of this.#reads) answers.fail(stopping());
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, DRAIN_MS).unref());
    const drained = Promise.all([...this.#batches].map((batch) => batch.stop(stopping()))).then(
      () => new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve())),
    );
    await Promise.race([drained, deadline]);
    this.#server.forceShutdown();
  }

  #methods(): [Record<string, ReturnType<typeof rawMethod>>, UntypedServiceImplementation] {
    const unary = { request: false, response: false };
    const definitions = {
      features: rawMethod(FEATURES_PATH, unary),
      gossip: rawMethod(GOSSIP_PATH, unary),
      read: rawMethod(READ_PATH, { request: false, response: true }),
      append: rawMethod(APPEND_PATH, { request: true, response: false }),
      batchAppend: rawMethod(BATCH_APPEND_PATH, { request: true, response: true }),
      delete: rawMethod(DELETE_PATH, unary),
      tombstone: rawMethod(TOMBSTONE_PATH, unary),
      status: rawMethod(ADMIN_STATUS_PATH, unary),
      backup: rawMethod(ADMIN_BACKUP_PATH, unary),
    };
    type Unary = ServerUnaryCall<Buffer, Buffer>;
    type Answer = sendUnaryData<Buffer>;
    const handlers = {
      features: (_call: Unary, answer: Answer) => answer(null, supportedMethods()),
      gossip: (_call: Unary, answer: Answer) => answer(null, this.#clusterInfo()),
      read: (call: ServerWritableStream<Buffer, Buffer | MessageBatch>) => this.#read(call),
      append: (call: ServerReadableStream<Buffer, Buffer>, answer: Answer) => append(this.store, call, answer),
      batchAppend: (call: ServerDuplexStream<Buffer, Buffer | MessageBatch>) => this.#batchAppend(call),
      delete: (call: Unary, answer: Answer) => remove(this.store, 'delete', call, answer),
      tombstone: (call: Unary, answer: Answer) => remove(this.store, 'tombstone', call, answer),
      status: (_call: Unary, answer: Answer) => answer(null, encodeJson(this.#status())),
      backup: (call: Unary, answer: Answer) => {
        this.#backup(call.request).then(
          (result) => answer(null, encodeJson(result)),
          (error: unknown) => answer(toStatus(error)),
        );
      },
    };
    return [definitions, handlers];
  }

  #clusterInfo(): Buffer {
    return clusterInfo({ id: this.store.storeId, host: HOST, port: this.#port, nowMs: Date.now() });
  }

  #read(call: ServerWritableStream<Buffer, Buffer | MessageBatch>): void {
    const answers = read(this.store, call, (error) => this.#report(error));
    if (this.#stopping) answers.fail(stopping());
    this.#reads.add(answers);
    answers.whenOver(() => this.#reads.delete(answers));
  }

  #batchAppend(call: ServerDuplexStream<Buffer, Buffer | MessageBatch>): void {
    const batch = new BatchAppendCall(this.store, call);
    if (this.#stopping) batch.answers.fail(stopping());
    this.#batches.add(batch);
    batch.answers.whenOver(() => this.#batches.delete(batch));
  }

  #status(): StoreStatus {
    return {
      storeId: this.store.storeId,
      pid: process.pid,
      position: this.store.head,
      ...this.store.statistics(),
      openReads: this.#reads.size,
      uptimeSeconds: Math.floor((Date.now() - this.#startedMs) / 1000),
      rssBytes: process.memoryUsage.rss(),
    };
  }

  async #backup(request: Buffer): Promise<BackupResult> {
    if (this.#stopping) throw stopping();
    try {
      return await this.store.backup(readFolder(request));
    } catch (error) {
      if (error instanceof BackupRefused) throw new Refusal(status.FAILED_PRECONDITION, error.message);
      throw error;
    }
  }

  /** Only what no client caused. */
  #report(error: unknown): void {
    if (toStatus(error).code === status.INTERNAL) this.onFault(error);
  }
}

function encodeJson(value: object): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

function readFolder(request: Buffer): string {
  try {
    const { folder } = JSON.parse(request.toString('utf8')) as { folder?: unknown };
    if (typeof folder === 'string' && folder !== '') return folder;
  } catch {
    // Said below: whatever it was, it named no folder.
  }
  throw new Refusal(status.INVALID_ARGUMENT, 'send {"folder": "/absolute/path"} as UTF-8 JSON');
}
