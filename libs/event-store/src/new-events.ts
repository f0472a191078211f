import { EVENT_CATALOG, type CommandContext, type EventMetadata, type LedgerEvent } from '@keyledger/contracts';
import { hash } from 'node:crypto';
import type { NewEvent } from './codec.js';

/** The events that a command causes on a stream, each with what stands beside it. */
export function newEvents<E extends LedgerEvent>(
  stream: string,
  events: readonly E[],
  context: CommandContext,
): NewEvent[] {
  return events.map(({ type, data }, index) => {
    const metadata = metadataOf(type, context);
    const json = { data: JSON.stringify(data), metadata: JSON.stringify(metadata) };
    // The JSON of the list of all that, of which each part is needed by itself as well.
    const content = `[${JSON.stringify(stream)},${index},${JSON.stringify(type)},${json.data},${json.metadata}]`;
    return { id: eventId(content), type, data, metadata, json };
  });
}

/** What stands beside an event of this type that came about in this context. */
export function metadataOf(type: LedgerEvent['type'], context: CommandContext): EventMetadata {
  const { commandId, fingerprint, actor, reason, requestId, clientAddress, userAgent } = context;
  return {
    schemaVersion: EVENT_CATALOG[type].schemaVersion,
    commandId,
    ...(fingerprint !== undefined && { fingerprint }),
    actor,
    reason,
    requestId,
    $correlationId: context.correlationId ?? requestId,
    $causationId: context.causationId ?? commandId,
    ...(clientAddress !== undefined && { clientAddress }),
    ...(userAgent !== undefined && { userAgent }),
  };
}

/**
 * A UUID (version 8, RFC 9562 section 5.8) made of everything that the event is, the command id included. The store
 * takes an append whose ids it has for a repetition, whatever its data are. So ids made of less would let two runs of
 * one command at the same time both succeed, the second with data (a new secret, say) that were never recorded.
 */
function eventId(content: string): string {
  const digest = hash('sha256', content, 'buffer');
  digest[6] = (digest.readUInt8(6) & 0x0f) | 0x80;
  digest[8] = (digest.readUInt8(8) & 0x3f) | 0x80;
  const hex = digest.toString('hex', 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
