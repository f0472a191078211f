import type { LedgerEvent } from '@keyledger/contracts';

/** What an event is about, for filters and for the reach of a reader. */
export interface Subject {
  keyId?: string;
  keyspaceId?: string;
  ownerId?: string;
}

/** What the event itself says of its subject. Later events of a stream say less than its first. */
export function subjectIn(event: LedgerEvent): Subject {
  switch (event.type) {
    case 'KeyIssued':
    case 'KeyImported': {
      const { keyId, keyspaceId, owner } = event.data;
      return { keyId, keyspaceId, ownerId: owner.id };
    }
    case 'KeyDetailsChanged': {
      const { keyId, changes } = event.data;
      return { keyId, ...(changes.owner?.after && { ownerId: changes.owner.after.id }) };
    }
    case 'KeyspaceCreated':
    case 'KeyspacePolicyChanged':
    case 'KeyspaceArchived':
      return { keyspaceId: event.data.keyspaceId };
    case 'LeakMatched': {
      const { keyId, keyspaceId, owner } = event.data;
      return { keyId, keyspaceId, ownerId: owner.id };
    }
    case 'ChannelRegistered': {
      const { audience } = event.data;
      return audience === 'system' ? {} : { ...audience };
    }
    case 'SecretDeliveryPrepared': {
      const { keyId, keyspaceId, ownerId } = event.data;
      return { keyId, keyspaceId, ownerId };
    }
    case 'NotificationRequested': {
      const { keyspaceId, ownerId, keys } = event.data;
      const [first] = keys;
      return {
        ...(first && { keyId: first.keyId }),
        ...(keyspaceId !== undefined && { keyspaceId }),
        ...(ownerId !== undefined && { ownerId }),
      };
    }
    default: {
      const { keyId } = event.data as { keyId?: unknown };
      return typeof keyId === 'string' ? { keyId } : {};
    }
  }
}
