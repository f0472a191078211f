import type { NewEvent } from '@keyledger/event-store';
import { randomUUID } from 'node:crypto';

/** An event of ours as an append takes it: a new one each time, of this key and for this reason. */
export function suspension(keyId: string, reason: string): NewEvent {
  const id = randomUUID();
  const names = { commandId: id, requestId: id, $correlationId: id, $causationId: id };
  const metadata = { schemaVersion: 1, actor: { type: 'key', id: 'k1' }, reason, ...names } as const;
  return {
    id,
    type: 'KeySuspended',
    data: { keyId, reason: 'odd', suspendedAt: '2026-01-01T00:00:00.000Z' },
    metadata,
  };
}
