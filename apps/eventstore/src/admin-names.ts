/**
 * The store's own gRPC service, beside the protocol's. Requests and responses are UTF-8 JSON as the raw bytes of one
 * gRPC message, so a caller needs no protobuf: `{}` → `StoreStatus`, `{"folder": "/absolute/path"}` → `BackupResult`.
 */
const ADMIN_SERVICE = 'keyledger.eventstore.Admin';
export const ADMIN_STATUS_PATH = `/${ADMIN_SERVICE}/Status`;
export const ADMIN_BACKUP_PATH = `/${ADMIN_SERVICE}/Backup`;

export interface StoreStatus {
  readonly storeId: string;
  readonly pid: number;
  /** The last committed position. */
  readonly position: number;
  readonly bytes: number;
  readonly commits: number;
  readonly failedCommits: number;
  /** Reads and subscriptions that are open now. */
  readonly openReads: number;
  readonly backupRunning: boolean;
  readonly uptimeSeconds: number;
  readonly rssBytes: number;
}

/**
 * FAILED_PRECONDITION when the folder is not absolute, not empty, within the store, or cannot be written, and while
 * another backup runs. The folder is then a data directory: a store started with `KEYLEDGER_DATA_DIR` = folder serves it.
 */
export interface BackupResult {
  /** The last position that the copy holds. */
  readonly position: number;
  readonly bytes: number;
}
