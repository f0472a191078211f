/** What a process of ours tells the one that started it (`keyledger up`, a test), over Node's IPC channel. */
export type ParentMessage =
  | { type: 'listening'; port: number }
  /** The first management key, made by this start: the parent shows it once, and nobody stores it. */
  | { type: 'admin-key'; key: string };

/** Gives false where there is no parent to tell: started by hand, by systemd, in a container. */
export function tellParent(message: ParentMessage): boolean {
  if (!process.connected) return false;
  // With a callback a channel that closes meanwhile is no error.
  process.send?.(message, undefined, undefined, () => undefined);
  return true;
}

/**
 * Calls `stop` when the process that started this one is gone, also when it was killed with SIGKILL and could stop
 * nobody. Does nothing for a process that has no IPC channel. `runProcess` calls this; a main without it does so itself.
 */
export function stopWithParent(stop: () => void): void {
  if (process.connected === undefined) return;
  if (process.connected) process.once('disconnect', stop);
  else stop();
}
