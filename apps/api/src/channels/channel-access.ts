import { ADMIN_SCOPES, streams, SYSTEM_KEYSPACE, type ChannelAudience } from '@keyledger/contracts';
import { channelDecider, getsTrail, keyspaceDecider, type ChannelState } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { callerOf, reaches, scopeMissing, unavailable, type Caller, type RefusalError } from '@keyledger/platform';
import type { ChannelDirectory } from '@keyledger/read-model';
import { assertGrantable, noSuchKeyspace, notThere } from '../access.js';

const KNOWN_WITHIN_MS = 2000;

export const noSuchChannel = (channelId: string, field?: string): RefusalError => notThere('channel', channelId, field);

/** Whether a caller has to do with channels of an audience: whoever is bound to keyspaces with those of them only. */
export function reachesAudience({ reach }: Caller, audience: ChannelAudience): boolean {
  if (audience !== 'system' && 'keyspaceId' in audience) return reaches(reach, audience.keyspaceId);
  return reach === 'all';
}

/** @throws RefusalError 403 for what is more than a keyspace of his, 404 for a keyspace that there is not. */
export async function assertAudience(caller: Caller, audience: ChannelAudience, decisions: Decisions): Promise<void> {
  if (audience === 'system' || !('keyspaceId' in audience)) {
    if (caller.reach !== 'all') throw scopeMissing(caller.scope);
    return;
  }
  const { keyspaceId } = audience;
  const { state } = reaches(caller.reach, keyspaceId)
    ? await decisions.load(keyspaceDecider, streams.keyspace(keyspaceId))
    : { state: undefined };
  if (!state) throw noSuchKeyspace(keyspaceId, 'audience.keyspaceId');
}

/**
 * Sending the trail somewhere is exporting it.
 * @throws RefusalError 403 for who may not do that himself
 */
export function assertMayExport(caller: Caller, channel: Pick<ChannelState, 'target' | 'audience'>): void {
  if (!getsTrail(channel)) return;
  const exporter = callerOf(caller.principal, 'audit:export');
  if (!reachesAudience(exporter, channel.audience)) throw scopeMissing('audit:export');
}

/**
 * Naming the public key or the place to which the new secrets of an owner go is getting them.
 * @throws RefusalError 403 for who may not rotate those keys himself; of management keys, for who holds less than they may
 */
export function assertMayReceive(caller: Caller, { type, audience }: Pick<ChannelState, 'type' | 'audience'>): void {
  if (type !== 'receiver') return;
  const rotator = callerOf(caller.principal, 'keys:rotate');
  if (!reachesAudience(rotator, audience)) throw scopeMissing('keys:rotate');
  // What management keys the owner has, now or later, is not asked: they may hold anything.
  if (audience !== 'system' && 'keyspaceId' in audience && audience.keyspaceId === SYSTEM_KEYSPACE)
    assertGrantable(caller, SYSTEM_KEYSPACE, ADMIN_SCOPES);
}

/** The channel as its events make it. @throws RefusalError 404 if it is unknown, removed or out of reach. */
export async function channelFor(
  caller: Caller,
  channelId: string,
  decisions: Decisions,
): Promise<{ channel: ChannelState; revision: number }> {
  if (!/^[0-9A-Za-z]{8,64}$/.test(channelId)) throw noSuchChannel(channelId);
  const { state, revision } = await decisions.load(channelDecider, streams.channel(channelId));
  if (!state || state.removedAt !== undefined || !reachesAudience(caller, state.audience)) {
    throw noSuchChannel(channelId);
  }
  return { channel: state, revision };
}

/** @throws RefusalError 503 while this process does not know every channel yet. */
export async function assertKnown(channels: ChannelDirectory): Promise<void> {
  if (!(await channels.at(0n, KNOWN_WITHIN_MS))) throw unavailable('The channels are not all known here yet.');
}
