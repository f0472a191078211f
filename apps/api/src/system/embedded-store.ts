import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { EMBEDDED_STORE, refusal } from '@keyledger/contracts';
import { invalidField, RefusalError, unavailable } from '@keyledger/platform';

const STATUS_TIMEOUT_MS = 5_000;
/** A backup copies the whole store. Clients should wait at least as long. */
const BACKUP_TIMEOUT_MS = 600_000;

const NOT_EMBEDDED =
  'The event store is not the embedded one; make the backup with the tools of KurrentDB or EventStoreDB.';

/** What only the embedded event store can be asked: to copy itself into a folder while it runs. */
export class EmbeddedStore {
  private readonly address: string | undefined;

  /** @param url the connection string; anything but one host without TLS is somebody's own cluster. */
  constructor(url: string) {
    this.address = /^[a-z]+:\/\/((?:127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+)\/?\?(?:.*&)?tls=false(?:&|$)/i.exec(
      url,
    )?.[1];
  }

  /**
   * A consistent copy, which a store that is started on that folder serves.
   * @throws RefusalError UNPROCESSABLE if the store is another one, INVALID if the folder cannot be used, UNAVAILABLE
   */
  async backup(folder: string): Promise<{ position: string; bytes: number }> {
    if (this.address === undefined) throw notEmbedded();
    const client = new Client(this.address, credentials.createInsecure());
    try {
      await call(client, EMBEDDED_STORE.statusPath, {}, STATUS_TIMEOUT_MS);
      const { position, bytes } = await call(client, EMBEDDED_STORE.backupPath, { folder }, BACKUP_TIMEOUT_MS);
      return { position: String(position), bytes: Number(bytes) };
    } catch (error) {
      throw translated(error as ServiceError);
    } finally {
      client.close();
    }
  }
}

function call(client: Client, path: string, request: object, timeoutMs: number): Promise<Record<string, unknown>> {
  const write = (value: object) => Buffer.from(JSON.stringify(value));
  const read = (bytes: Buffer) => JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    client.makeUnaryRequest(path, write, read, request, new Metadata(), { deadline }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer ?? {});
    });
  });
}

function translated(error: ServiceError): Error {
  switch (error.code) {
    case status.UNIMPLEMENTED:
      return notEmbedded();
    case status.FAILED_PRECONDITION:
    case status.INVALID_ARGUMENT:
      return invalidField('folder', `cannot be used: ${error.details}`, 'an absolute path that is new or empty');
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return unavailable('The event store did not answer in time; look into the folder before you try again.');
    default:
      return error;
  }
}

const notEmbedded = () => new RefusalError(refusal('UNPROCESSABLE', NOT_EMBEDDED));
