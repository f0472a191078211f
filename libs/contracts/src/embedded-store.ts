/**
 * The embedded event store's own gRPC service, beside EventStoreDB's protocol. Requests and responses are UTF-8 JSON as
 * the raw bytes of one gRPC message.
 */
export const EMBEDDED_STORE = {
  /** `{}` → `{storeId, position, bytes, …}`. Only the embedded store has it: others answer UNIMPLEMENTED. */
  statusPath: '/keyledger.eventstore.Admin/Status',
  /** `{folder}` → `{position, bytes}`; FAILED_PRECONDITION with the reason where the folder cannot be used. */
  backupPath: '/keyledger.eventstore.Admin/Backup',
} as const;
