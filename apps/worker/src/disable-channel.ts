import { streams } from '@keyledger/contracts';
import { channelDecider } from '@keyledger/domain';
import type { Decisions } from '@keyledger/event-store';
import { idFrom, systemClock, type Logger } from '@keyledger/platform';

/** Sends nothing to a channel any more, because its receiver said that it wants nothing (410). */
export async function disableChannel(
  decisions: Decisions,
  logger: Logger,
  channelId: string,
  reason: string,
): Promise<void> {
  const stream = streams.channel(channelId);
  const { revision } = await decisions.load(channelDecider, stream);
  const commandId = idFrom(`disable ${channelId} ${revision}`);
  const now = systemClock();
  const actor = { type: 'system', id: 'worker' } as const;
  const command = { type: 'DisableChannel', reason, now } as const;
  await decisions.run(channelDecider, stream, command, { commandId, now, actor, reason, requestId: commandId });
  logger.warn({ channelId, reason }, 'a channel was disabled');
}
