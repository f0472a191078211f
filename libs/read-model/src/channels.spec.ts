import { describe, expect, it } from '@jest/globals';
import { SYSTEM_KEYSPACE, type ChannelAudience, type ChannelEvent, type RecordedEvent } from '@keyledger/contracts';
import { ChannelDirectory } from './channels.js';
import { SILENT } from './log.js';

const AT = '2026-01-01T00:00:00.000Z';

function directoryOf(...audiences: ChannelAudience[]): ChannelDirectory {
  const directory = new ChannelDirectory({ subscribe: async function* () {} }, SILENT);
  audiences.forEach((audience, nth) => directory.note(registered(`channel${nth}`, audience, BigInt(nth))));
  return directory;
}

function registered(channelId: string, audience: ChannelAudience, position: bigint): RecordedEvent<ChannelEvent> {
  const target = { publicKey: { kty: 'EC' }, via: 'pickup' } as const;
  const data = { channelId, name: 'x', type: 'receiver', audience, target, secrets: [], createdAt: AT } as const;
  const names = { commandId: channelId, requestId: channelId, $correlationId: channelId, $causationId: channelId };
  const metadata = { schemaVersion: 1, actor: { type: 'system', id: 'test' }, reason: 'test', ...names } as const;
  const where = { id: channelId, stream: `channel-${channelId}`, revision: 0, position, recordedAt: AT };
  return { ...where, event: { type: 'ChannelRegistered', data: { ...data, secrets: [] } }, metadata };
}

describe('the new secrets of an owner go to', () => {
  const receiverOf = (directory: ChannelDirectory, keyspaceId: string): string | undefined =>
    directory.receiverFor({ keyspaceId, ownerId: 'o' })?.channel.channelId;

  it('his receiver in the keyspace before one for all of his keys, and of several alike to the newest', () => {
    const directory = directoryOf(
      { ownerId: 'o', keyspaceId: 'acme' },
      { ownerId: 'o', keyspaceId: 'acme' },
      { ownerId: 'o' },
      { ownerId: 'another' },
    );
    expect(receiverOf(directory, 'acme')).toBe('channel1');
    expect(receiverOf(directory, 'other')).toBe('channel2');
  });

  it('no receiver that does not name the keyspace of management keys, if it is those that get them', () => {
    expect(receiverOf(directoryOf({ ownerId: 'o' }), SYSTEM_KEYSPACE)).toBeUndefined();
    const named = directoryOf({ ownerId: 'o', keyspaceId: SYSTEM_KEYSPACE }, { ownerId: 'o' });
    expect(receiverOf(named, SYSTEM_KEYSPACE)).toBe('channel0');
  });
});
