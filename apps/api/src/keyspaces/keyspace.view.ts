import type { KeyspaceView } from '@keyledger/contracts/http';
import type { KeyspaceState } from '@keyledger/domain';

export function keyspaceView(keyspace: KeyspaceState, revision: number): KeyspaceView {
  const { keyspaceId, name, prefix, environments, policy, createdAt, archivedAt } = keyspace;
  return {
    keyspaceId,
    name,
    prefix,
    environments,
    policy,
    createdAt,
    ...(archivedAt !== undefined && { archivedAt }),
    revision,
  };
}
