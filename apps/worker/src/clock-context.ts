import type { CommandContext, Instant } from '@keyledger/contracts';

/** Context of a command that nobody but time gave. Its id follows from what it is about, so that it happens once. */
export function clockContext(commandId: string, reason: string, now: Instant): CommandContext {
  return { commandId, now, actor: { type: 'clock', id: 'worker' }, reason, requestId: commandId };
}
